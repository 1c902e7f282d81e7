"""The 30 % rule: automatic trips may hold some agents, never most of the fleet."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from services.safety.domain.attempt import FLEET, is_cloud
from services.safety.domain.book import Book
from services.safety.domain.breaker import BreakerRules, StateName

_HOLDS = frozenset({StateName.OPEN, StateName.HALF_OPEN})
"""What a breaker does by itself; one that a person has forced open is that person's business."""


def too_many_held(book: Book, opening: str, rules: BreakerRules, now: datetime) -> str:
    """Why the breaker of `opening` may not open by itself, as a sentence; empty when it may.

    From `held_agents_min` held agents on, at most `held_share_max` of those that ran in 24 hours may be held. A
    provider is never spared: what it refuses is refused to everybody.
    """
    if is_cloud(opening):
        return ""
    automatic = (scope for scope, breaker in book.all() if breaker.state.name in _HOLDS)
    held = frozenset[str]().union(*_agents_of([*automatic, opening], book, now))
    if len(held) < rules.held_agents_min:
        return ""
    ran = book.roster.agents(now) | held
    if len(held) <= rules.held_share_max * len(ran):
        return ""
    return (
        f"breakers would hold {len(held)} of the {len(ran)} agents that ran in the last 24 hours; at most"
        f" {rules.held_share_max:.0%} are held without a person, so {opening} was not held"
    )


def _agents_of(scopes: Iterable[str], book: Book, now: datetime) -> Iterable[frozenset[str]]:
    for scope in scopes:
        kind, _, name = scope.partition(":")
        match kind:
            case "agent":
                yield frozenset({name})
            case "project":
                yield book.roster.agents(now, project=name)
            case _ if scope == FLEET:
                yield book.roster.agents(now)
