"""Drains runners and lets them go on; who is drained stays so over restarts of the runner and of the coordinator."""

import json
from collections.abc import Callable, Mapping

from foundation.auth import Caller
from foundation.clock import Clock
from foundation.errors import Invalid
from services.coordinator.app.acts import acting
from services.coordinator.app.attachments import Attachments
from services.coordinator.app.dispatch import DRAINED
from services.coordinator.app.holdings import Holdings
from services.coordinator.app.to_the_end import undisturbed
from services.coordinator.domain.names import NAME_RULE, is_name
from services.coordinator.ports import Store, StoreTransaction

DRAINED_FACT = "drained_runners"


class Drains:
    """The coordinator alone hands out work, so what it gives no more is nearly all that a drain takes, and nothing has
    to be undone at the runner. What lies there unstarted is called back, and again when the runner is attached anew.
    """

    def __init__(
        self,
        store: Store,
        attachments: Attachments,
        holdings: Holdings,
        *,
        recall: Callable[[str, str], None],
        wake: Callable[[], None],
        clock: Clock,
    ) -> None:
        """`recall(runner, reason)` brings back what a runner has not started, and ends its services."""
        self._store = store
        self._attachments = attachments
        self._holdings = holdings
        self._recall = recall
        self._wake = wake
        self._clock = clock

    async def load(self) -> None:
        """Before the first runner attaches."""
        self._attachments.drained.update(await self._store.read(_drained))

    async def drain(self, name: str, reason: str, caller: Caller) -> tuple[bool, int]:
        """Give a runner nothing new; whether that changed anything, and how many run there still.

        Raises Invalid for what cannot be the name of a runner.
        """
        if not is_name(name):
            raise Invalid("bad_name", f"“{name[:80]}” cannot be the name of a runner: {NAME_RULE}.")
        said = f"Drained by {caller.name} at {self._clock.now():%Y-%m-%d %H:%M:%S} UTC. {reason}".strip()
        changed = await self._set(name, said)
        load = self._holdings.load_of(name)
        return changed, load.tasks - load.unspawned + load.services + load.checks

    async def resume(self, name: str) -> bool:
        """Let it have work again. Returns False when nobody had drained it."""
        return await self._set(name, "")

    async def _set(self, name: str, said: str) -> bool:
        by, now = acting(), self._clock.now()

        def change(tx: StoreTransaction) -> bool:
            drained = dict(_drained(tx))
            if (name in drained) == bool(said):
                return False
            drained.pop(name, None)
            if said:
                drained[name] = said
            tx.set_fact(DRAINED_FACT, json.dumps(drained) if drained else None)
            act = "runner_drain" if said else "runner_resume"
            tx.note_act(by.act(act, f"runner:{name}", reason=said, now=now))
            return True

        async def set_it() -> bool:
            changed = await self._store.write(change)
            if changed:
                self._follow(name, said)
            return changed

        return await undisturbed(set_it())

    def _follow(self, name: str, said: str) -> None:
        if said:
            self._attachments.drained[name] = said
            self._recall(name, DRAINED)
        else:
            self._attachments.drained.pop(name, None)
        self._wake()


def _drained(tx: StoreTransaction) -> Mapping[str, str]:
    kept: Mapping[str, str] = json.loads(tx.fact(DRAINED_FACT) or "{}")
    return kept
