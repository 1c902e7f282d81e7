"""Cancels tasks, in every state that is open, one or many."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from foundation.clock import Clock
from foundation.ids import Ids
from services.coordinator.app.acts import Acting, acting, tasks_named
from services.coordinator.app.changes import Changes
from services.coordinator.app.family import release_children
from services.coordinator.app.selection import PAGE, SHOWN_MAX, Selection, tasks_of_ids
from services.coordinator.app.to_the_end import to_the_end
from services.coordinator.domain.task import OPEN, Task, request_cancel
from services.coordinator.ports import Store, StoreTransaction, TaskFilter


@dataclass(slots=True)
class Cancelled:
    """What was changed: at most the first 1,000 tasks, and how many in all, descendants included."""

    tasks: list[Task] = field(default_factory=list)
    already_ended: list[str] = field(default_factory=list)
    count: int = 0

    def add(self, changed: Sequence[Task]) -> None:
        """Count them, and show as many as may be shown."""
        self.count += len(changed)
        self.tasks.extend(changed[: SHOWN_MAX - len(self.tasks)])


@dataclass(frozen=True, slots=True)
class _Order:
    """Why tasks are cancelled, and by whom."""

    reason: str
    by: Acting


class Cancel:
    """A page at a time, each in a transaction of its own: a million tasks do not hold up the writer."""

    def __init__(self, store: Store, changes: Changes, *, ids: Ids, clock: Clock) -> None:
        self._store = store
        self._changes = changes
        self._ids = ids
        self._clock = clock

    async def __call__(self, selection: Selection, reason: str) -> Cancelled:
        """Cancel what waits at once, ask for the end of what is held.

        Raises NotFound, and changes nothing, when one of the ids does not exist. A task that ends or changes meanwhile
        is taken as it is found.
        """
        selection.check()
        return await to_the_end(
            self._cancel_all(selection, _Order(reason or "Cancelled by a caller.", acting())),
            lambda done: f"{done.count} tasks were cancelled or are being ended.",
        )

    async def _cancel_all(self, selection: Selection, order: _Order) -> Cancelled:
        done = Cancelled()
        if selection.wanted is None:
            await self._store.read(lambda tx: tasks_of_ids(tx, selection.ids))
            for start in range(0, len(selection.ids), PAGE):
                await self._by_ids(selection.ids[start : start + PAGE], order, done)
        else:
            await self._by_filter(selection.wanted, order, done)
        return done

    async def _by_ids(self, ids: Sequence[str], order: _Order, done: Cancelled) -> None:
        tasks, changed = await self._store.write(lambda tx: self._cancel(tx, tasks_of_ids(tx, ids), order))
        touched = {task.id for task in changed}
        done.already_ended += [task.id for task in tasks if task.ended]
        # Asked again for the end of a running task: nothing changes, and it is on its way all the same.
        again = [task for task in tasks if not task.ended and task.id not in touched]
        done.add([*changed, *again])
        self._changes.announce(changed)

    async def _by_filter(self, wanted: TaskFilter, order: _Order, done: Cancelled) -> None:
        states = (wanted.states or OPEN) & OPEN
        if not states:
            return
        open_ones = replace(wanted, states=states)
        # Tasks that are submitted while this walks on are not meant.
        newest, after = self._ids.new(), ""
        while after < newest:
            page = partial(self._page, wanted=open_ones, after=after, newest=newest, order=order)
            last, changed = await self._store.write(page)
            done.add(changed)
            self._changes.announce(changed)
            if not last:
                return
            after = last

    def _page(
        self, tx: StoreTransaction, *, wanted: TaskFilter, after: str, newest: str, order: _Order
    ) -> tuple[str, Sequence[Task]]:
        page = tx.matching(wanted, after_id=after, limit=PAGE)
        meant = [task for task in page if task.id < newest]
        _, changed = self._cancel(tx, meant, order)
        return (page[-1].id if page else ""), changed

    def _cancel(
        self, tx: StoreTransaction, tasks: Sequence[Task], order: _Order
    ) -> tuple[Sequence[Task], Sequence[Task]]:
        now = self._clock.now()
        pairs = [
            (task, request_cancel(task, reason=order.reason, now=now))
            for task in tasks
            if not task.ended and not task.cancel_requested
        ]
        tx.save(pairs)
        changed = [after for _, after in pairs]
        others = [task.id for task in changed if task.submitted_by != order.by.name]
        if others:
            # Whoever submitted a task may cancel it without a word; of everybody else the audit log hears.
            tx.note_act(order.by.act("task_cancel", tasks_named(others), reason=order.reason, now=now))
        return tasks, [*changed, *release_children(tx, changed, now=now)]
