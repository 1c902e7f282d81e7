"""What becomes of safety's state when its database is put back from a backup."""

from __future__ import annotations

from dataclasses import dataclass, replace

from foundation.ids import random_bytes
from services.safety.app.draft import Draft
from services.safety.app.ladder import tighten_in
from services.safety.app.state import SafetyState
from services.safety.domain.audit import Actor
from services.safety.domain.mode import Mode
from services.safety.domain.spend_credential import SECRET_BYTES


@dataclass(frozen=True, slots=True, kw_only=True)
class PuttingBack:
    """Who puts back which backup. `renewing`: after a compromise, so that no token from before is good."""

    backup_id: str
    actor: Actor
    renewing: bool = False


async def put_back(state: SafetyState, asked: PuttingBack) -> tuple[Mode, Mode]:
    """Make the state the one that goes on, in one commit; the mode before and after.

    What was spent since the backup stands in no ledger, so the mode is GUARDED at least until a person has looked. No
    attempt from then goes on: what their calls had reserved is charged in full, as after any end that nobody settles.
    """
    before = state.mode_record.mode

    def work(draft: Draft) -> None:
        for grant in state.spend.live_attempts:
            draft.ledger.end(grant, now=draft.now)
        revoked = [token for token in state.tokens.values() if token.revoked_at is None] if asked.renewing else []
        for token in revoked:
            draft.tokens[token.id] = replace(token, revoked_at=draft.now)
        draft.revocation += len(revoked)
        if asked.renewing:
            draft.ledger.renew_secret(random_bytes(SECRET_BYTES))
        draft.audit(
            act="restore_renewed" if asked.renewing else "restore",
            target=f"backup {asked.backup_id}",
            after=f"{len(revoked)} tokens revoked" if asked.renewing else "",
            by=asked.actor,
        )
        if draft.mode_record.mode < Mode.GUARDED:
            reason = f"backup {asked.backup_id} was put back; what was spent or revoked since is not known here"
            tighten_in(draft, Mode.GUARDED, actor=asked.actor.name, reason=reason, by=asked.actor)

    await state.change(work)
    return before, state.mode_record.mode
