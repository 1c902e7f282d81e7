"""Privileged acts: written with what they did, and told to safety's audit log until it has answered."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from foundation.auth import caller_or_none, current_source
from foundation.errors import Exhausted, TimedOut, Unavailable
from foundation.log import get_logger
from services.coordinator.ports import Store
from services.coordinator.ports_safety import Act, AuditLog

BATCH = 500
IDS_NAMED_MAX = 20

_log = get_logger("coordinator")


@dataclass(frozen=True, slots=True, kw_only=True)
class Acting:
    """Who acts, taken before the work goes to the store's own thread, where nobody knows it any more."""

    name: str
    token_id: str
    source: str

    def act(self, act: str, target: str, *, now: datetime, before: str = "", after: str = "", reason: str = "") -> Act:
        """One privileged act of theirs."""
        return Act(
            at=now,
            actor=self.name,
            actor_id=self.token_id,
            source=self.source,
            act=act,
            target=target,
            before=before,
            after=after,
            reason=reason,
        )


def acting() -> Acting:
    """Who makes the call that is being answered; the coordinator itself outside of one."""
    caller = caller_or_none()
    if caller is None:
        return Acting(name="coordinator", token_id="", source="the coordinator itself")
    return Acting(name=caller.name, token_id=caller.token_id, source=current_source())


def tasks_named(ids: Sequence[str]) -> str:
    """`task t1`, or `3 tasks: t1 t2 t3`, with the first twenty of many."""
    if len(ids) == 1:
        return f"task {ids[0]}"
    more = " …" if len(ids) > IDS_NAMED_MAX else ""
    return f"{len(ids)} tasks: {' '.join(ids[:IDS_NAMED_MAX])}{more}"


class TellActs:
    """Tells safety what waits, oldest first. What it has not answered for is told again, under the same id."""

    def __init__(self, store: Store, audit_log: AuditLog) -> None:
        self._store = store
        self._audit_log = audit_log
        self._away = False

    async def step(self) -> None:
        """Tell everything that waits; while safety cannot be asked, or cannot write, it waits on."""
        while acts := await self._store.read(lambda tx: tx.acts(limit=BATCH)):
            try:
                await self._audit_log.record(acts)
            except (Unavailable, TimedOut, Exhausted) as error:
                if not self._away:
                    _log.warning(f"The audit log is told later: {error.message}", action="audit_waits")
                self._away = True
                return
            self._away = False
            last = acts[-1].number
            await self._store.write(lambda tx: tx.forget_acts(last))  # noqa: B023 - done before the next round
