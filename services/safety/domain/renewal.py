"""What is said to a running attempt that asks whether it may go on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum
from typing import Protocol

from services.safety.domain.admission import mode_refusal
from services.safety.domain.attempt import AttemptKey
from services.safety.domain.book import Book
from services.safety.domain.breaker import BreakerRules
from services.safety.domain.mode import Mode, ModeStatus


class RenewalKind(IntEnum):
    """The three answers, the stricter the higher."""

    CONTINUE = 1
    PAUSE = 2
    STOP = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Renewal:
    """The answer to one running attempt; `code` ("mode", "spend", …) and `reason` when it is not to continue.

    `until` is when it may continue by itself, None when only a person or a change can bring that about.
    """

    kind: RenewalKind
    code: str = ""
    reason: str = ""
    until: datetime | None = None


CONTINUE = Renewal(kind=RenewalKind.CONTINUE)
_NEVER = datetime.max


class RenewalGate(Protocol):
    """One part of safety that can interrupt what runs. Spend becomes one of its own in the same list."""

    def renewal(self, attempt: AttemptKey, now: datetime) -> Renewal:
        """Say whether the attempt may go on as far as this part is concerned; changes nothing."""
        ...


@dataclass(frozen=True, slots=True)
class ModeRenewal:
    """FROZEN pauses everything, STOPPED ends everything; a breaker interrupts nothing that runs."""

    mode: ModeStatus

    def renewal(self, attempt: AttemptKey, now: datetime) -> Renewal:
        """The mode's answer, the same for every attempt."""
        match self.mode.mode:
            case Mode.STOPPED:
                return Renewal(kind=RenewalKind.STOP, code="mode", reason=mode_refusal(self.mode).reason)
            case Mode.FROZEN:
                return Renewal(kind=RenewalKind.PAUSE, code="mode", reason=mode_refusal(self.mode).reason)
            case _:
                return CONTINUE


def renew(
    attempts: Sequence[AttemptKey], *, book: Book, gates: Sequence[RenewalGate], rules: BreakerRules, now: datetime
) -> list[Renewal]:
    """Answer each attempt in its order: the strictest of the gates, and of equals the one that lasts longest.

    Permits are prolonged whatever the answer is: a probe that is paused is still the probe.
    """
    held = book.holders()
    for attempt in attempts if held else ():
        for scope in held.get(attempt, ()):
            breaker = book.get_or_new(scope, now)
            book.put(breaker, breaker.renew(attempt, rules, now), now)
    return [max((gate.renewal(attempt, now) for gate in gates), key=_weight) for attempt in attempts]


def _weight(renewal: Renewal) -> tuple[RenewalKind, bool, datetime]:
    until = renewal.until
    return (renewal.kind, until is None, until.replace(tzinfo=None) if until else _NEVER)
