"""Figures of the last starts and ends, kept in memory for people who look at the queue."""

from collections import Counter, deque
from collections.abc import Mapping
from datetime import datetime, timedelta

from services.coordinator.domain.task import Task, TaskState

WINDOW = timedelta(minutes=5)


class Figures:
    """Waits of the last 1,000 starts, ends of the last five minutes, and attempts beyond the first."""

    def __init__(self) -> None:
        self._waits: deque[float] = deque(maxlen=1000)
        self._ended_at: deque[datetime] = deque(maxlen=100_000)
        self._restarts: Counter[str] = Counter()

    def observe(self, task: Task) -> None:
        """Look at a task as a commit left it. A short task may come by only once, ended, with its start in it."""
        if task.started_at is None and task.finished_at is None:
            return
        if task.ended and task.finished_at is not None:
            self._ended_at.append(task.finished_at)
        if task.started_at is None or not (task.state is TaskState.RUNNING or task.ended):
            return
        wait = (task.started_at - task.ready_at).total_seconds()
        if wait >= 0:
            self._waits.append(wait)
        if task.attempt > 1 and task.state is TaskState.RUNNING:
            self._restarts[task.agent] += 1

    def waits_seconds(self) -> tuple[float, ...]:
        return tuple(self._waits)

    def restarts(self) -> Mapping[str, int]:
        return dict(self._restarts)

    def ended_recently(self, now: datetime) -> int:
        """Tasks that ended in the last five minutes."""
        while self._ended_at and now - self._ended_at[0] > WINDOW:
            self._ended_at.popleft()
        return len(self._ended_at)
