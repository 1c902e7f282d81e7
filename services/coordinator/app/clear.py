"""Clears the queue of what waits, and takes a clearing back."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from foundation.auth import Caller
from foundation.clock import Clock
from foundation.errors import NotFound, QuantumError
from foundation.ids import Ids, derived_id, is_id
from services.coordinator.app.acts import Acting, acting
from services.coordinator.app.changes import Changes
from services.coordinator.app.family import release_children
from services.coordinator.app.merges_task import is_check
from services.coordinator.app.one_of_a_name import refuse_second
from services.coordinator.app.open_tasks import OpenTasksCap
from services.coordinator.app.selection import PAGE
from services.coordinator.app.to_the_end import to_the_end
from services.coordinator.domain.copying import DEAD_ENDS, copy_of
from services.coordinator.domain.task import WAITING, Effects, Task, TaskState, lose_parent, request_cancel
from services.coordinator.ports import Catalogue, Store, StoreTransaction, TaskFilter

UNDO_FACT = "undone_clearing:"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cleared:
    """How many tasks were (or would be) cancelled; `clearing_id` names them for the undoing, "" for none."""

    count: int
    clearing_id: str


class Clear:
    """Cancels tasks that wait and that no runner holds; whatever runs, runs on."""

    def __init__(self, store: Store, changes: Changes, *, ids: Ids, clock: Clock) -> None:
        self._store = store
        self._changes = changes
        self._ids = ids
        self._clock = clock

    async def __call__(self, agent: str, reason: str, caller: Caller, *, dry_run: bool) -> Cleared:
        """Clear the waiting tasks of one agent ("": of all) and of whoever depends on them.

        A dry run counts without the dependents of other agents, which only the clearing itself finds.
        """
        if dry_run:
            return Cleared(count=await self._store.read(lambda tx: _count(tx, agent)), clearing_id="")
        return await to_the_end(
            self._clear(agent, reason, caller),
            lambda done: f"{done.count} tasks were cleared; undo: quantum queue undo {done.clearing_id}.",
        )

    async def _clear(self, agent: str, reason: str, caller: Caller) -> Cleared:
        clearing = self._ids.new()
        said = f"Cleared from the queue by {caller.name} (clearing {clearing}). {reason}".strip()
        count, after, by = 0, "", acting()
        while after < clearing:
            page = partial(self._page, agent=agent, after=after, clearing=clearing, reason=said, by=by)
            last, changed = await self._store.write(page)
            count += len(changed)
            self._changes.announce(changed)
            if not last:
                break
            after = last
        return Cleared(count=count, clearing_id=clearing if count else "")

    def _page(
        self, tx: StoreTransaction, *, agent: str, after: str, clearing: str, reason: str, by: Acting
    ) -> tuple[str, Sequence[Task]]:
        found = tx.matching(TaskFilter(states=WAITING, agent=agent), after_id=after, limit=PAGE)
        # Tasks that are submitted while this walks on are not meant.
        meant = {task.id: task for task in found if task.id < clearing and not task.leased}
        _add_dependents(tx, meant)
        now = self._clock.now()
        pairs = [
            (task, request_cancel(task, reason=reason, now=now)._replace(clearing=clearing)) for task in meant.values()
        ]
        tx.save(pairs)
        if pairs:
            whose = f"waiting tasks of {agent}" if agent else "all waiting tasks"
            told = f"{len(pairs)} cancelled, clearing {clearing}"
            tx.note_act(by.act("queue_clear", whose, after=told, reason=reason, now=now))
        return (found[-1].id if found else ""), [cleared for _, cleared in pairs]


def _add_dependents(tx: StoreTransaction, meant: dict[str, Task]) -> None:
    """Whatever is blocked on a cleared task goes with it, under the same clearing, so that it can come back with it."""
    wave = list(meant)
    while wave:
        blocked = [task for task in tx.blocked_on(wave) if task.id not in meant]
        meant.update((task.id, task) for task in blocked)
        wave = [task.id for task in blocked]


def _count(tx: StoreTransaction, agent: str) -> int:
    waiting = sum(number for (name, state), number in tx.counts().items() if state in WAITING and agent in ("", name))
    held, after = 0, ""
    while page := tx.held(after_id=after, limit=PAGE):
        held += sum(1 for task in page if task.state is TaskState.QUEUED and agent in ("", task.agent))
        after = page[-1].id
    return waiting - held


class UndoClear:
    """Submits the tasks of a clearing again, as new tasks, once."""

    def __init__(
        self,
        store: Store,
        catalogue: Catalogue,
        changes: Changes,
        cap: OpenTasksCap,
        *,
        ids: Ids,
        clock: Clock,
    ) -> None:
        self._store = store
        self._catalogue = catalogue
        self._changes = changes
        self._cap = cap
        self._ids = ids
        self._clock = clock

    async def __call__(self, clearing: str, caller: Caller) -> int:
        """Return how many tasks were restored; 0 when that was done before. Raises NotFound, Exhausted.

        Goes on where an interrupted undoing stopped, so that no task is restored twice.
        """
        return await to_the_end(
            self._restore(clearing, caller), lambda restored: f"{restored} tasks of clearing {clearing} were restored."
        )

    async def _restore(self, clearing: str, caller: Caller) -> int:
        restored, by = 0, acting()
        while True:
            page = partial(self._page, clearing=clearing, caller=caller, by=by)
            tasks, more = await self._store.write(page)
            restored += len(tasks)
            self._changes.announce(tasks)
            if not more:
                return restored

    def _page(self, tx: StoreTransaction, *, clearing: str, caller: Caller, by: Acting) -> tuple[Sequence[Task], bool]:
        # The fact names the act and where it stands, so that an interrupted one goes on and a finished one stays so.
        act, _, after = (tx.fact(UNDO_FACT + clearing) or f"{self._ids.new()}:").partition(":")
        found = tx.in_clearing(clearing, after_id=after, limit=PAGE) if is_id(clearing) else ()
        if not found:
            if not after:
                raise NotFound("unknown_clearing", f"There is no clearing “{clearing[:80]}”.")
            return (), False
        self._cap.claim(tx, len(found))
        now = self._clock.now()
        again = [task for task in found if not is_check(self._catalogue, task.agent)]
        copies = [self._copy(tx, task, act, clearing, caller, now) for task in again]
        refuse_second(tx, self._catalogue, copies)
        tx.insert(copies)
        lost = release_children(tx, [copied for copied in copies if copied.ended], now=now)
        tx.set_fact(UNDO_FACT + clearing, f"{act}:{found[-1].id}")
        tx.note_act(by.act("queue_clear_undo", f"clearing {clearing}", after=f"{len(copies)} restored", now=now))
        newest = {task.id: task for task in (*copies, *lost)}
        return list(newest.values()), len(found) == PAGE

    def _copy(self, tx: StoreTransaction, task: Task, act: str, clearing: str, caller: Caller, now: datetime) -> Task:
        """The task as it was, under a new id and at its old place in the queue."""
        depends_on = _moved_parents(tx, task, act, clearing)
        parents = tx.tasks(depends_on) if depends_on else {}
        copied = copy_of(
            task,
            id=derived_id(act, task.id),
            depends_on=depends_on,
            unmet_parents=any(_waits(parents.get(name)) for name in depends_on),
            effects=self._effects(task),
            submitted_by=caller.name,
            now=now,
        )
        lost = next((parent for parent in parents.values() if parent.state in DEAD_ENDS), None)
        if lost is not None:
            return lose_parent(copied, lost, now=now)
        return copied._replace(ready_at=task.ready_at) if copied.state is TaskState.QUEUED else copied

    def _effects(self, task: Task) -> Effects:
        try:
            return Effects(self._catalogue.find(task.agent).effects)
        except QuantumError:
            # Its agent is gone for now: it waits as it was, and `why` says so.
            return task.effects


def _moved_parents(tx: StoreTransaction, task: Task, act: str, clearing: str) -> list[str]:
    """Parents that were cleared as well are waited for in their new form; one that is deleted had succeeded."""
    old = tx.tasks(task.depends_on) if task.depends_on else {}
    return [
        derived_id(act, name) if parent.clearing == clearing else name
        for name, parent in ((name, old.get(name)) for name in task.depends_on)
        if parent is not None
    ]


def _waits(parent: Task | None) -> bool:
    """A parent that is not there yet is restored by a later page."""
    return parent is None or parent.state is not TaskState.SUCCEEDED
