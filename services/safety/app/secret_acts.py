"""Takes what was done to secrets on this machine into the audit log, once each."""

from __future__ import annotations

from foundation.errors import QuantumError
from foundation.log import get_logger
from services.safety.app.audit import Audit
from services.safety.domain.audit import Actor, AuditEntry
from services.safety.ports import SecretNotes

AT_ONCE_MAX = 100
SOURCE = "quantum secret, on this machine"
_LOG = get_logger("safety")


class TakeUpSecretActs:
    """A note is forgotten once its record is durable; one that is read again after a crash is not recorded again."""

    def __init__(self, audit: Audit, notes: SecretNotes) -> None:
        self._audit = audit
        self._notes = notes
        self._failing = False

    async def sweep(self) -> None:
        """Take up the oldest notes; they wait, and that is told once, while the log cannot be written or they read."""
        try:
            await self._take_up()
        except QuantumError as error:
            if not self._failing:
                _LOG.error(f"What was done to secrets is recorded later: {error.message}", action="secret_acts_wait")
            self._failing = True
        else:
            self._failing = False

    async def _take_up(self) -> None:
        acts, bad = self._notes.waiting(AT_ONCE_MAX)
        if bad:
            _LOG.warning(f"{len(bad)} notes about secrets say nothing and are dropped.", action="bad_secret_note")
        if acts:
            await self._audit.record(
                [
                    AuditEntry(
                        at=act.at,
                        actor=Actor(name=act.user, source=SOURCE),
                        act=act.act,
                        target=f"secret {act.name}",
                        told=f"secret {act.id}",
                    )
                    for act in acts
                ]
            )
        if acts or bad:
            self._notes.forget([*(act.id for act in acts), *bad])
