"""When a service that has ended is started again: the backoff, the window in which its ends count, the hold."""

from __future__ import annotations

from dataclasses import dataclass, replace

from clients.attachment_values import ServiceTerms

EXITS_OF_CONFIGURATION = {
    126: "its program was found and could not be run",
    127: "a program was not found",
    78: "it says that it is configured wrongly",
}
UNHEALTHY_MAX = 3
_DOUBLINGS_MAX = 60


@dataclass(frozen=True, slots=True)
class Ends:
    """How a service has ended of late. Times are boottime in seconds."""

    within: tuple[float, ...] = ()
    """Its ends that count: those of the last window."""
    streak: int = 0
    """Ends one after the other, without a run that lasted longer than the window."""


@dataclass(frozen=True, slots=True)
class After:
    """What follows from an end: the next start after `pause_seconds`, or, with `held`, none by itself."""

    ends: Ends
    pause_seconds: float
    escalated: bool
    held: bool


def after_end(ends: Ends, rule: ServiceTerms, *, ran_seconds: float, now: float) -> After:
    """An end that nobody asked for, of a process that ran so long: it counts."""
    streak = 1 if ran_seconds > rule.window_seconds else ends.streak + 1
    within = (*(at for at in ends.within if now - at < rule.window_seconds), now)
    return After(
        Ends(within, streak),
        pause_seconds=pause_seconds(rule, streak),
        escalated=len(within) >= rule.escalate,
        held=len(within) >= rule.hold,
    )


def after_refusal(ends: Ends, rule: ServiceTerms, *, held: bool) -> After:
    """The machine had no room for its process, for which it is not to blame.

    It is tried again more and more seldom; where the machine's guard says so (`held`), which looks itself and costs
    nothing to ask, after the first pause each time.
    """
    waits = ends if held else replace(ends, streak=ends.streak + 1)
    pause = pause_seconds(rule, 1 if held else waits.streak)
    return After(waits, pause_seconds=pause, escalated=False, held=False)


def pause_seconds(rule: ServiceTerms, streak: int) -> float:
    """The pause after so many ends in a row: doubles from the first to the longest."""
    return float(min(rule.backoff_seconds * 2 ** min(streak - 1, _DOUBLINGS_MAX), rule.backoff_seconds_max))


def held_sentence(ends: Ends, rule: ServiceTerms, last_end: str) -> str:
    """Why it is held, for people."""
    count, times = len(ends.within), "time" if len(ends.within) == 1 else "times"
    return f"held: it ended {count} {times} within {_span(rule.window_seconds)}, the last time it {last_end}"


def _span(seconds: float) -> str:
    if seconds >= 120 and seconds % 60 == 0:
        return f"{seconds / 60:g} minutes"
    return f"{seconds:g} s"
