"""Which changes are alerts, and in which words."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from services.safety.domain.alert import Alert, AlertBook, Level
from services.safety.domain.attempt import FLEET, Outcome, OutcomeKind, scope_in_words
from services.safety.domain.book import BreakerChange
from services.safety.domain.breaker import StateName
from services.safety.domain.budget import Grade, Standing, in_words
from services.safety.domain.mode import Mode, ModeRecord


def note_breaker(alerts: AlertBook, change: BreakerChange, now: datetime) -> None:
    """A breaker that opened by itself is a warning, that of the fleet critical; one that closed takes it back."""
    cause = f"breaker:{change.scope}"
    if change.after is StateName.OPEN:
        what = scope_in_words(change.scope)
        alerts.raise_(
            Alert(
                cause=cause,
                level=Level.CRITICAL if change.scope == FLEET else Level.WARNING,
                sentence=f"The breaker of {what} has opened: {change.reason}.",
                remedy=f"quantum breaker list; once it is mended, quantum breaker reset {change.scope}.",
            ),
            now,
        )
    elif change.after in (StateName.CLOSED, StateName.FORCED_CLOSED):
        alerts.resolve(cause, now)


def note_ends(alerts: AlertBook, outcomes: Iterable[Outcome], now: datetime) -> None:
    """An agent that cannot run as it is set up needs a person; its next success takes that back. So does a service
    that is held, until whoever starts it again says so.
    """
    for outcome in outcomes:
        cause = f"configuration:{outcome.agent}"
        if outcome.held:
            alerts.raise_(
                Alert(
                    cause=f"service:{outcome.agent}",
                    level=Level.CRITICAL,
                    sentence=f"Service {outcome.agent} is {outcome.detail.rstrip('.')}.",
                    remedy=f"quantum agents {outcome.agent}; once mended, quantum recover --agent {outcome.agent}.",
                ),
                now,
            )
        if outcome.misconfigured:
            why = outcome.detail.rstrip(".")
            alerts.raise_(
                Alert(
                    cause=cause,
                    level=Level.WARNING,
                    sentence=f"Task {outcome.attempt.task} of agent {outcome.agent} is dead: {why}.",
                    remedy=f"quantum agents {outcome.agent} shows how it is set up; quantum retry runs it again.",
                ),
                now,
            )
        elif outcome.kind is OutcomeKind.SUCCESS:
            alerts.resolve(cause, now)


def note_mode(alerts: AlertBook, before: ModeRecord, after: ModeRecord, *, by_itself: bool, now: datetime) -> None:
    """A stricter mode is news; one that nobody asked for is critical."""
    if after.mode > before.mode:
        why = f": {after.reason}" if after.reason else ""
        alerts.raise_(
            Alert(
                cause="mode",
                level=Level.CRITICAL if by_itself else Level.INFO,
                sentence=f"The mode is {after.mode.name}, set by {after.actor or 'safety itself'}{why}.",
                remedy="quantum resume goes back.",
            ),
            now,
        )
    elif after.mode is Mode.NORMAL and before.mode is not Mode.NORMAL:
        alerts.resolve("mode", now)


def note_budget(alerts: AlertBook, before: Grade, after: Standing, now: datetime) -> None:
    """A budget that holds somebody back is a warning, a spent one of the fleet critical, halved retries are news."""
    cause = f"budget:{after.scope}"
    if after.acting is None:
        if before is not Grade.NORMAL:
            alerts.resolve(cause, now)
        return
    if after.grade is before:
        return
    level = Level.INFO if after.grade is Grade.HALVED else Level.WARNING
    alerts.raise_(
        Alert(
            cause=cause,
            level=Level.CRITICAL if after.scope == FLEET and after.grade is Grade.SPENT else level,
            sentence=f"The error budget of {scope_in_words(after.scope)}: {in_words(after)}. {after.acting.evidence}.",
            remedy=f"quantum budget; once it is mended, quantum budget reset {after.scope} --reason …",
        ),
        now,
    )


def note_audit_fault(alerts: AlertBook, sentence: str, now: datetime) -> None:
    """A log that was changed is critical, whatever the reason."""
    alerts.raise_(
        Alert(
            cause="audit",
            level=Level.CRITICAL,
            sentence=f"The audit log is not what it was: {sentence}",
            remedy="quantum audit --verify names the record.",
        ),
        now,
    )
