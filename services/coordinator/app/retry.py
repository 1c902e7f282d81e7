"""Submits ended tasks again, as new ones."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from foundation.auth import Caller
from foundation.clock import Clock
from foundation.errors import Conflict, Invalid
from foundation.ids import Ids
from services.coordinator.app.changes import Changes
from services.coordinator.app.keys import RequestKey, key_of
from services.coordinator.app.merges_task import is_check, refuse_by_hand
from services.coordinator.app.one_of_a_name import refuse_second
from services.coordinator.app.open_tasks import OpenTasksCap
from services.coordinator.app.selection import IDS_MAX, Selection, tasks_of_ids
from services.coordinator.app.to_the_end import undisturbed
from services.coordinator.domain.copying import copy_of
from services.coordinator.domain.request import digest_of_parts
from services.coordinator.domain.task import ENDED, Effects, Task, TaskState
from services.coordinator.ports import Catalogue, Store, StoreTransaction, TaskFilter

# What a filter without states means: whatever ended badly by itself.
FAILED_STATES = frozenset({TaskState.FAILED, TaskState.DEAD})


@dataclass(frozen=True, slots=True, kw_only=True)
class Retried:
    """The new tasks, in the order in which the originals were named or made."""

    tasks: Sequence[Task]


class Retry:
    """All of them in one commit, like a submit."""

    def __init__(
        self,
        store: Store,
        catalogue: Catalogue,
        changes: Changes,
        cap: OpenTasksCap,
        *,
        keys_good_for: timedelta,
        ids: Ids,
        clock: Clock,
    ) -> None:
        self._store = store
        self._catalogue = catalogue
        self._changes = changes
        self._cap = cap
        self._keys_good_for = keys_good_for
        self._ids = ids
        self._clock = clock

    async def __call__(self, selection: Selection, key: str, caller: Caller) -> Retried:
        """Make new tasks with the payload of ended ones.

        By ids every one must have ended, else Conflict; a filter means those that match and have ended (without states:
        failed and dead). At most 10,000, else Invalid. Raises NotFound for an agent that is gone.
        """
        selection.check()
        request_key = self._key(selection, key, caller) if key else None
        now = self._clock.now()

        async def add() -> Sequence[Task]:
            tasks, new = await self._store.write(lambda tx: self._retry(tx, selection, request_key, caller, now))
            if new:
                self._changes.announce(tasks)
            return tasks

        return Retried(tasks=await undisturbed(add()))

    def _key(self, selection: Selection, key: str, caller: Caller) -> RequestKey:
        wanted = selection.wanted
        parts = ["retry", selection.ids, wanted and [sorted(wanted.states), wanted.agent, wanted.project]]
        return key_of(key, caller, digest_of_parts(parts), self._keys_good_for)

    def _retry(
        self,
        tx: StoreTransaction,
        selection: Selection,
        key: RequestKey | None,
        caller: Caller,
        now: datetime,
    ) -> tuple[Sequence[Task], bool]:
        known = None if key is None else key.replay(tx, now=now)
        if known is not None:
            return known, False
        originals = self._originals(tx, selection)
        self._cap.claim(tx, len(originals))
        copies = self._copies(tx, originals, caller, now)
        refuse_second(tx, self._catalogue, copies)
        tx.insert(copies)
        if key is not None:
            key.remember(tx, copies, now=now)
        return copies, True

    def _originals(self, tx: StoreTransaction, selection: Selection) -> Sequence[Task]:
        if selection.wanted is not None:
            return [task for task in _matching(tx, selection.wanted) if not is_check(self._catalogue, task.agent)]
        tasks = tasks_of_ids(tx, selection.ids)
        for task in tasks:
            if not task.ended:
                raise Conflict(
                    "not_ended",
                    f"Task {task.id} is {task.state}; only ended tasks are retried, and nothing was changed.",
                    remedy=f"See `quantum why {task.id}`.",
                )
        return tasks

    def _copies(self, tx: StoreTransaction, originals: Sequence[Task], caller: Caller, now: datetime) -> list[Task]:
        moved = {task.id: self._ids.new() for task in originals}
        parents = tx.tasks(list({parent for task in originals for parent in task.depends_on} - moved.keys()))
        effects = {agent: self._effects(agent) for agent in {task.agent for task in originals}}
        return [
            copy_of(
                task,
                id=moved[task.id],
                depends_on=(depends_on := _parents_of(task, moved, parents)),
                unmet_parents=any(_waits(parent, parents) for parent in depends_on),
                effects=effects[task.agent],
                submitted_by=caller.name,
                now=now,
            )
            for task in originals
        ]

    def _effects(self, agent: str) -> Effects:
        spec = self._catalogue.find(agent)
        refuse_by_hand(spec)
        if spec.faults:
            said = f"Agent “{agent}” cannot be run, its manifest has faults: {' '.join(spec.faults)}"
            raise Invalid("agent_invalid", said)
        return Effects(spec.effects)


def _matching(tx: StoreTransaction, wanted: TaskFilter) -> Sequence[Task]:
    states = wanted.states & ENDED if wanted.states else FAILED_STATES
    if not states:
        return ()
    found = tx.matching(replace(wanted, states=states), after_id="", limit=IDS_MAX + 1)
    if len(found) > IDS_MAX:
        raise Invalid(
            "too_many_tasks",
            f"More than {IDS_MAX} tasks match; nothing was changed.",
            remedy="Narrow the filter by agent, project or state.",
        )
    return found


def _parents_of(task: Task, moved: Mapping[str, str], parents: Mapping[str, Task]) -> list[str]:
    """A parent that is retried in the same call is waited for anew; one that retention has deleted had succeeded."""
    kept = []
    for name in task.depends_on:
        parent = parents.get(name)
        if name in moved:
            kept.append(moved[name])
        elif parent is None:
            continue
        elif parent.ended and parent.state is not TaskState.SUCCEEDED:
            raise Conflict(
                "parent_failed",
                f"Task {task.id} depends on {name} ({parent.agent}), which is {parent.state}; nothing was changed.",
                remedy=f"Retry both in one call: `quantum retry {name} {task.id}`.",
            )
        else:
            kept.append(name)
    return kept


def _waits(parent_id: str, parents: Mapping[str, Task]) -> bool:
    parent = parents.get(parent_id)
    return parent is None or parent.state is not TaskState.SUCCEEDED
