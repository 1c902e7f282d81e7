"""What is said to a running attempt that asks whether it may go on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from services.safety.domain.admission import mode_refusal
from services.safety.domain.attempt import AttemptKey
from services.safety.domain.book import Book
from services.safety.domain.breaker import BreakerRules
from services.safety.domain.mode import Mode, ModeStatus


class RenewalKind(StrEnum):
    """The three answers."""

    CONTINUE = "continue"
    PAUSE = "pause"
    STOP = "stop"


@dataclass(frozen=True, slots=True, kw_only=True)
class Renewal:
    """The answer to one running attempt, with the reason when it is not to continue."""

    kind: RenewalKind
    reason: str = ""


_CONTINUE = Renewal(kind=RenewalKind.CONTINUE)


def renew(
    attempts: Sequence[AttemptKey], *, book: Book, mode: ModeStatus, rules: BreakerRules, now: datetime
) -> list[Renewal]:
    """Answer each attempt in its order and prolong the permits that they hold.

    A breaker stops nothing that runs; the mode STOPPED stops everything.
    """
    if mode.mode is Mode.STOPPED:
        return [Renewal(kind=RenewalKind.STOP, reason=mode_refusal(mode).reason)] * len(attempts)
    held = book.holders()
    for attempt in attempts:
        for scope in held.get(attempt, ()):
            breaker = book.get_or_new(scope, now)
            book.put(breaker, breaker.renew(attempt, rules, now), now)
    return [_CONTINUE] * len(attempts)
