"""What becomes of safety's state when its database is put back from a backup."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from foundation.ids import random_bytes
from services.safety.app.carry_over import carry_over
from services.safety.app.draft import Draft
from services.safety.app.ladder import tighten_in
from services.safety.app.state import SafetyState
from services.safety.domain.audit import Actor, Head
from services.safety.domain.mode import Mode
from services.safety.domain.spend_caps import CapName
from services.safety.domain.spend_credential import SECRET_BYTES
from services.safety.domain.token import TokenRecord
from services.safety.ports import SafetyStore, Snapshot

RESTORES = frozenset({"restore", "restore_renewed"})
"""The acts under which a log goes on from a backup."""
_PAGE = 1_000


class Fresh(NamedTuple):
    """A new token for one of the workspace's own that may turn out to have ended; `digest` as in `TokenRecord`."""

    id: str
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PuttingBack:
    """Who puts back which backup.

    `present` is the state whose place it takes, None where that cannot be read; `caps` are those that are written down.
    `own` has, by the ids of the tokens that the workspace itself uses, what replaces each if it has ended. With
    `new_tokens` no token from then is good; with `renewing`, after a compromise, nor is the secret behind credentials.
    """

    backup_id: str
    actor: Actor
    present: Snapshot | None = None
    caps: Mapping[CapName, int | None] = field(default_factory=dict)
    own: Mapping[str, Fresh] = field(default_factory=dict)
    new_tokens: bool = False
    renewing: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PutBack:
    """The mode before and after, what was carried over (sentences), and which of the workspace's tokens are new."""

    mode_before: Mode
    mode: Mode
    carried: Sequence[str] = ()
    replaced: Sequence[str] = ()


async def put_back(state: SafetyState, asked: PuttingBack) -> PutBack:
    """Make the state the one that goes on, in one commit.

    Whatever has closed since the backup stays closed, as far as `present` tells. The mode is GUARDED at least until a
    person has looked. No attempt from then goes on: what their calls had reserved is charged in full, as after any end
    that nobody settles.
    """
    before = state.mode_record.mode
    if asked.present is not None:
        state.fill_up_budgets(asked.present.budgets)

    def work(draft: Draft) -> tuple[Sequence[str], Sequence[str]]:
        for grant in state.spend.live_attempts:
            draft.ledger.end(grant, now=draft.now)
        carried: Sequence[str] = ()
        if asked.present is not None:
            carried = carry_over(draft, state, asked.present, caps=asked.caps, by=asked.actor)
        revoked = _revoke_all(draft, state) if asked.renewing or asked.new_tokens else 0
        replaced = _replace_own(draft, state, asked.own)
        if asked.renewing:
            draft.ledger.renew_secret(random_bytes(SECRET_BYTES))
        draft.audit(
            act="restore_renewed" if asked.renewing else "restore",
            target=f"backup {asked.backup_id}",
            before=said_of(asked.present.audit_head) if asked.present is not None else "",
            after=" ".join([*carried, *([f"{revoked} tokens revoked."] if revoked else [])]),
            by=asked.actor,
        )
        if draft.mode_record.mode < Mode.GUARDED:
            reason = f"backup {asked.backup_id} was put back; what was spent or revoked since may not be known here"
            tighten_in(draft, Mode.GUARDED, actor=asked.actor.name, reason=reason, by=asked.actor)
        return carried, replaced

    carried, replaced = await state.change(work)
    return PutBack(mode_before=before, mode=state.mode_record.mode, carried=carried, replaced=replaced)


def _revoke_all(draft: Draft, state: SafetyState) -> int:
    known = {**state.tokens, **draft.tokens}
    revoked = [token for token in known.values() if token.revoked_at is None]
    for token in revoked:
        draft.tokens[token.id] = replace(token, revoked_at=draft.now)
    draft.revocation += len(revoked)
    return len(revoked)


def _replace_own(draft: Draft, state: SafetyState, own: Mapping[str, Fresh]) -> list[str]:
    """Those of the workspace itself that were good then and are not now: else nothing could start, and nobody get in.

    One that was revoked before the backup stays what it is.
    """
    replaced = []
    for old, fresh in own.items():
        then = state.tokens.get(old)
        if then is not None and then.revoked_at is None and _now(draft, then).ended(draft.now):
            draft.tokens[fresh.id] = then.reissued(fresh.id, fresh.digest, draft.now)
            replaced.append(old)
    return replaced


def _now(draft: Draft, token: TokenRecord) -> TokenRecord:
    return draft.tokens.get(token.id, token)


# -- whether a state knows what happened since a backup


def said_of(head: Head) -> str:
    """How the record of a restore names the end of the log whose place it took."""
    return f"the log up to {head.count}, {head.digest}"


async def goes_back_to(present: SafetyStore, head: Head) -> bool:
    """Whether the log of `present` has gone on from `head`, or from a restore that took over what was known there."""
    at = await present.audit_after(head.count - 1, 1)
    if at and at[0].head == head:
        return True
    number, wanted = 0, said_of(head)
    while page := await present.audit_after(number, _PAGE):
        if any(one.entry.act in RESTORES and one.entry.before == wanted for one in page):
            return True
        number = page[-1].number
    return False
