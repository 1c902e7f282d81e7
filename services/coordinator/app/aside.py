"""Tasks of a held project are set aside one by one, so that their agent goes on in every other project."""

from collections.abc import Mapping
from datetime import datetime

from services.coordinator.domain.fleet import Parked, project_scope
from services.coordinator.domain.ready import ReadyBoard, entry_of, lane_of
from services.coordinator.domain.task import Task

ASIDE_MAX = 1_000


class Aside:
    """A task that is set aside stays taken on the ready board, so that those behind it come forward.

    At most ASIDE_MAX of a project, or a million refused tasks would be carried in memory: beyond that their agent is
    parked as a whole until the project is let go.
    """

    def __init__(self, board: ReadyBoard) -> None:
        self._board = board
        self._parked: dict[str, Parked] = {}
        self._tasks: dict[str, list[Task]] = {}

    def hold(self, task: Task, refusal: Parked) -> bool:
        """Set a taken task aside that its project's breaker holds; false: something else does, or there is no room."""
        scope = project_scope(task.project)
        if not task.project or refusal.scope != scope or refusal.code != "breaker":
            return False
        self._parked[scope] = refusal
        tasks = self._tasks.setdefault(scope, [])
        if len(tasks) >= ASIDE_MAX:
            return False
        tasks.append(task)
        return True

    def sift(self, tasks: list[Task]) -> list[Task]:
        """Those of taken tasks that may be asked for; the others are set aside, as long as there is room."""
        if not self._parked:
            return tasks
        parked = self._parked
        return [
            task
            for task in tasks
            if (refusal := parked.get(project_scope(task.project))) is None or not self.hold(task, refusal)
        ]

    def release(self, now: datetime | None = None) -> None:
        """Put back those whose time is over, or all."""
        due = [
            scope
            for scope, refusal in self._parked.items()
            if now is None or (refusal.until is not None and refusal.until <= now)
        ]
        for scope in due:
            del self._parked[scope]
            for task in self._tasks.pop(scope, ()):
                self._board.lane(lane_of(task)).put_back(entry_of(task))

    def parked(self) -> Mapping[str, Parked]:
        """What holds each project, by its scope."""
        return dict(self._parked)
