"""Records what a person decided about a task whose attempt ended unseen."""

from foundation.auth import Caller
from foundation.clock import Clock
from services.coordinator.app.acts import Acting, acting
from services.coordinator.app.changes import Changes
from services.coordinator.app.family import release_children
from services.coordinator.app.tasks import require_task
from services.coordinator.app.to_the_end import undisturbed
from services.coordinator.domain.task import Decision, Task, decide
from services.coordinator.ports import Store, StoreTransaction

_SAID = {
    Decision.RUN_AGAIN: "run it again",
    Decision.SUCCEEDED: "count it as succeeded",
    Decision.FAILED: "count it as failed",
}


class Decide:
    """One guarded update; whatever depends on the task is let go or cancelled with it."""

    def __init__(self, store: Store, changes: Changes, *, clock: Clock) -> None:
        self._store = store
        self._changes = changes
        self._clock = clock

    async def __call__(self, task_id: str, decision: Decision, note: str, caller: Caller) -> Task:
        """Return the task as decided. Raises NotFound, and Conflict when there is nothing to decide."""
        said = f"{caller.name} decided to {_SAID[decision]}."
        by, reason = acting(), f"{said} {note}".strip()

        async def decide() -> Task:
            changed = await self._store.write(lambda tx: self._decide(tx, task_id, decision, reason, by))
            self._changes.announce(changed)
            return changed[0]

        return await undisturbed(decide())

    def _decide(self, tx: StoreTransaction, task_id: str, decision: Decision, note: str, by: Acting) -> list[Task]:
        now = self._clock.now()
        before = require_task(tx, task_id)
        after = decide(before, decision, note=note, now=now)
        tx.save([(before, after)])
        states = {"before": before.state.value, "after": after.state.value}
        tx.note_act(by.act("task_decide", f"task {task_id}", **states, reason=note, now=now))
        return [after, *release_children(tx, [after], now=now)]
