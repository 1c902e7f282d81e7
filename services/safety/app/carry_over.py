"""What a database that is put back takes over from the one whose place it takes: what closes, nothing that opens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from foundation.money import format_dollars
from services.safety.app.draft import Draft
from services.safety.app.ladder import tighten_in
from services.safety.app.state import SafetyState
from services.safety.domain.attempt import FLEET
from services.safety.domain.audit import Actor
from services.safety.domain.spend_caps import AccountKey, CapName, Caps
from services.safety.domain.token import TokenRecord
from services.safety.ports import Snapshot

NAMED_MAX = 5
"""Tokens and breakers that a sentence names; it counts the rest."""


def carry_over(
    draft: Draft, state: SafetyState, present: Snapshot, *, caps: Mapping[CapName, int | None], by: Actor
) -> Sequence[str]:
    """Make the draft of `state` no laxer than `present` is, and say as sentences what that has changed.

    Tokens end where they have ended there; a stricter mode, a breaker or an error budget that holds somebody, what was
    counted and spent, and a lower cap stay. `caps` are those that are written down. The counts of error budgets are
    `state.fill_up_budgets`, before the draft.
    """
    said = [
        _tokens(draft, state, present),
        _mode(draft, present, by),
        _breakers(draft, present, by),
        _budgets(draft, present),
        _spend(draft, state, present),
        _caps(draft, present, caps),
    ]
    return [one for one in said if one]


def _tokens(draft: Draft, state: SafetyState, present: Snapshot) -> str:
    ended: list[TokenRecord] = []
    for token in state.tokens.values():
        there = present.tokens.get(token.id)
        if there is None or there.digest != token.digest or (closed := token.closed_as(there)) == token:
            continue
        draft.tokens[token.id] = closed
        draft.must_be_durable = True
        if closed.ended(draft.now) and not token.ended(draft.now):
            ended.append(token)
    draft.revocation = max(draft.revocation, present.revocation) + len(ended)
    names = [f"{token.name} ({token.id})" for token in ended]
    return _sentence(
        names, "token that was revoked or replaced since stays so", "tokens that were revoked or replaced since stay so"
    )


def _mode(draft: Draft, present: Snapshot, by: Actor) -> str:
    there = present.mode
    if there.mode <= draft.mode_record.mode:
        return ""
    tighten_in(draft, there.mode, actor=there.actor, reason=there.reason, by=by)
    return f"The mode stays {there.mode.name}{f': {there.reason}' if there.reason else ''}."


def _breakers(draft: Draft, present: Snapshot, by: Actor) -> str:
    held = []
    for scope, there in sorted(present.breakers.items()):
        here = draft.book.get_or_new(scope, draft.now)
        kept = here.held_as(there, draft.now, epoch=draft.book.epoch + 1)
        if kept is not here:
            draft.book.put(here, kept, draft.now, actor=by.name)
            held.append(f"{scope} ({kept.state.name.replace('_', ' ')})")
    return _sentence(held, "breaker that holds somebody since stays", "breakers that hold somebody since stay")


def _budgets(draft: Draft, present: Snapshot) -> str:
    held = [one.scope for one in present.budgets.standings if draft.budgets.act_as(one)]
    return _sentence(
        sorted(held), "error budget that is short since stays so", "error budgets that are short since stay so"
    )


def _spend(draft: Draft, state: SafetyState, present: Snapshot) -> str:
    """What was promised to calls there counts as spent: nobody will settle it."""
    raised: dict[AccountKey, int] = {}
    for account, there in present.spend.balances.items():
        here = draft.ledger.balance(account)
        known = here.spent + here.reserved if here else 0
        if (more := there.spent + there.reserved - known) > 0:
            draft.ledger.book_as_elsewhere(account, more, there.used_at)
            raised[account] = more
    if not raised:
        return ""
    fleet = raised.get(AccountKey(FLEET, ""), max(raised.values()))
    return f"{format_dollars(fleet)} that were spent or promised since count on."


def _caps(draft: Draft, present: Snapshot, written: Mapping[CapName, int | None]) -> str:
    caps, kept = Caps(written, draft.ledger.was_set), []
    for name, there in present.spend.caps.items():
        here = caps.holding(name)
        if there.micros is not None and (here is None or here.micros is None or there.micros < here.micros):
            draft.ledger.set_cap(name, there)
            kept.append(f"{name.scope} per {name.per}")
    return _sentence(sorted(kept), "cap that was lowered since stays", "caps that were lowered since stay")


def _sentence(names: Sequence[str], one: str, several: str) -> str:
    if not names:
        return ""
    rest = f" and {len(names) - NAMED_MAX} more" if len(names) > NAMED_MAX else ""
    return f"{len(names)} {one if len(names) == 1 else several}: {', '.join(names[:NAMED_MAX])}{rest}."
