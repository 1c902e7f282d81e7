"""A few tasks that come to an empty queue are added leased already, while safety is asked about them."""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime

from services.coordinator.app.changes import Foretold
from services.coordinator.app.choosing import Choosing
from services.coordinator.app.family import release_children
from services.coordinator.app.holds import Holds
from services.coordinator.app.intake import FEW, outcome_of
from services.coordinator.app.leasing import Reports, last_reports
from services.coordinator.app.rooms import Rooms
from services.coordinator.domain import task as moves
from services.coordinator.domain.failure import FailureClass
from services.coordinator.domain.fleet import project_scope
from services.coordinator.domain.ready import ReadyBoard
from services.coordinator.domain.task import Task
from services.coordinator.ports import Catalogue, StoreTransaction
from services.coordinator.ports_safety import OutboxEntry


class Leading:
    """Tasks whose lease is committed with them. It leaves once they are there and safety has admitted them."""

    def __init__(
        self, before: Sequence[Task], leased: Mapping[str, Task], added: asyncio.Future[Sequence[Task]]
    ) -> None:
        self.before = before
        """As safety is asked about them."""
        self._leased = dict(leased)
        self._added = added
        self._reports: Reports = {}

    def read_along(self, tx: StoreTransaction) -> None:
        """In the transaction that adds them."""
        self._reports = last_reports(tx, self._leased.values())

    def hear(self, task: Task) -> bool:
        """One of them may have been changed since it was added: by a cancel, because nobody else has it."""
        if task.id not in self._leased:
            return False
        self._leased[task.id] = task
        return True

    async def there(self) -> dict[str, Task]:
        """Wait until they are durable; those that were added, as they are by now."""
        added = {task.id for task in await self._added}
        return {id_: task for id_, task in self._leased.items() if id_ in added}

    def report(self, task: Task) -> str:
        """The last report of its agent for its project."""
        return self._reports.get((task.agent, task.project), "")


class Ahead:
    """Finds those that will be next in their queues, ready at once and with room on a runner.

    One group at a time, and only where nothing else may be taking the same room. What is leading gets no other lease,
    because it is never ready in the store.
    """

    def __init__(
        self,
        board: ReadyBoard,
        rooms: Rooms,
        holds: Holds,
        choosing: Choosing,
        wake: Callable[[], None],
    ) -> None:
        self._board = board
        self._rooms = rooms
        self._holds = holds
        self._choosing = choosing
        self._wake = wake
        self.leading: Leading | None = None
        self.room_is_taken = False
        """A round is deciding who gets the room that there is."""

    @contextmanager
    def deciding(self) -> Iterator[None]:
        """Around a round, which says itself when it will take no room."""
        self.room_is_taken = True
        try:
            yield
        finally:
            self.room_is_taken = False

    def hear(self, task: Task) -> bool:
        """A commit has changed a task; returns whether its lease has yet to leave."""
        return self.leading is not None and self.leading.hear(task)

    def foresee(self, foretold: Foretold) -> None:
        """Lease those that can be, before they are added, and wake the round that asks safety about them."""
        if self.room_is_taken or self.leading is not None or self._board.occupied or self._holds.everything:
            return
        tasks = foretold.tasks
        if len(tasks) > FEW or any(task.depends_on or task.not_before for task in tasks):
            return
        assigned, _ = self._rooms.assign(self._next_of(tasks))
        if not assigned or self._holds.stopped is not None:
            return
        leased = {task.id: moves.lease(task, runner) for task, runner in assigned}
        self.leading = Leading([task for task, _ in assigned], leased, foretold.added)
        foretold.tasks = [leased.get(task.id, task) for task in tasks]
        foretold.read_along = self.leading.read_along
        self._wake()

    def _next_of(self, tasks: Sequence[Task]) -> list[Task]:
        found: list[Task] = []
        projects = self._holds.projects()
        for task in tasks:
            if task.labels or not (self._choosing.knows(task.agent) and self._choosing.reachable(task.agent)):
                continue
            self._board.add_empty(task.agent)
            allowed = self._choosing.allowed(task.agent) > sum(other.agent == task.agent for other in found)
            if allowed and self._board.lane(task.agent).complete and project_scope(task.project) not in projects:
                found.append(task)
        return found


def undo(
    tx: StoreTransaction, *, leased: Sequence[Task], absent: Sequence[Task], catalogue: Catalogue, now: datetime
) -> tuple[Sequence[Task], Sequence[OutboxEntry]]:
    """Free tasks whose lease never left, and tell safety of those that it has admitted and that were not added.

    Returns what was changed, those among it that were cancelled meanwhile, and what was posted.
    """
    fences = {task.id: task.fence for task in leased}
    current = tx.tasks(list(fences))
    pairs = [
        (task, moves.hand_back(task, task.fence, reason="", now=now))
        for task in current.values()
        if task.leased and task.fence == fences[task.id]
    ]
    tx.save(pairs)
    changed = [after for _, after in pairs]
    changed += release_children(tx, [task for task in changed if task.ended], now=now)
    kind, said = FailureClass.INFRASTRUCTURE, "It was not accepted."
    posted = tx.post(
        [outcome_of(task, task.fence + 1, kind, detail=said, catalogue=catalogue, now=now) for task in absent]
    )
    return changed, posted
