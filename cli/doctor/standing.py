"""The protections that safety keeps while it runs: what it says of each."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from cli.doctor.files import choose_channel, has_screen
from cli.doctor.findings import Finding, aside, fail, ok, quoted, warn
from cli.doctor.running import asking
from cli.doctor.subject import Subject
from cli.keys.token_rotation import RotationSettings
from cli.output.printing import counted
from cli.session import Connected
from foundation.money import format_dollars
from foundation.quantities import format_duration
from foundation.tokens import parse

_VERIFIED_WITHIN = timedelta(minutes=5, seconds=5)
_HOLDING = ("open", "half_open", "forced_open")


@asking("safety", "mode")
def mode(subject: Subject, connected: Connected) -> Iterator[Finding]:
    """The ladder from NORMAL to STOPPED. A stop file is the line `emergency stop`'s own."""
    status = connected.call(connected.safety.get_mode())
    if status.mode == "NORMAL" or status.stop_file:
        yield ok("mode", f"{status.mode}; `quantum mode guarded` … `quantum stop --all` tighten it")
    else:
        why = (f" by {status.actor}" if status.actor else "") + (f": {status.reason}" if status.reason else "")
        yield warn("mode", f"{status.mode}{why}", "quantum resume")


@asking("safety", "token rotation")
def rotation(subject: Subject, connected: Connected) -> Iterator[Finding]:
    """Whether tokens are replaced in time."""
    part, own = "token rotation", parse(subject.session.token).id
    token = next(one for one in connected.call(connected.safety.list_tokens()) if one.id == own)
    every = subject.settings(RotationSettings).token_rotation_seconds
    now = subject.session.clock.now()
    age = now - (token.created_at or now)
    said = f"your token is {format_duration(timedelta(seconds=int(age.total_seconds())))} old"
    wanted = f"replaced every {format_duration(timedelta(seconds=every))}"
    if age > 2 * timedelta(seconds=every):
        yield fail(part, f"{said}, and should be {wanted}.", "quantum token rotate")
    else:
        yield ok(part, f"{said}; {wanted}")


@asking("safety", "audit log")
def audit(subject: Subject, connected: Connected) -> Iterator[Finding]:
    """The whole log is read again, seal by seal."""
    part, checkpoint = "audit log", subject.here.audit
    verdict = connected.call(connected.safety.audit.verify(deadline=_VERIFIED_WITHIN), _VERIFIED_WITHIN)
    if verdict.fault is not None:
        yield fail(part, f"It was changed. {verdict.fault.sentence}", "quantum audit --verify")
    elif not any(checkpoint.glob("*")):
        yield fail(part, f"Its checkpoint {checkpoint} is gone, so that a cut tail would not show.", subject.restart)
    else:
        yield ok(part, f"{counted(verdict.records, 'record')}, as they were written; checkpoint in {checkpoint}")


@asking("safety", "circuit breakers")
def breakers(subject: Subject, connected: Connected) -> Iterator[Finding]:
    """Which hold something, and which are kept from it."""
    part, found = "circuit breakers", connected.call(connected.safety.list_breakers(not_closed=True))
    for one in found:
        name = one.scope.removeprefix("agent:")
        if one.state == "forced_closed":
            said = f"{one.scope} is held closed, whatever it counts."
            yield warn(part, said, f"quantum breaker reset {quoted(one.scope)}")
        elif one.state in _HOLDING:
            line = f"quantum recover --agent {quoted(name)}"
            line = line if one.scope.startswith("agent:") else f"quantum breaker reset {quoted(one.scope)}"
            yield warn(part, f"{one.scope} is {one.state.replace('_', ' ')}: {one.reason}", line)
    if not found:
        yield ok(part, "all closed")


@asking("safety", "error budgets")
def budgets(subject: Subject, connected: Connected) -> Iterator[Finding]:
    """Those that something is done about."""
    part, every = "error budgets", connected.call(connected.safety.budgets.list())
    acted_on = [one for one in every if one.grade != "normal"]
    for one in acted_on:
        line = f"quantum budget reset {quoted(one.scope)} --reason 'its cause was removed'"
        yield warn(part, f"{one.scope}: {one.grade.replace('_', ' ')}, {one.evidence}", line)
    if not acted_on:
        yield ok(part, f"{counted(len(every), 'budget')} over 7 days; nothing to be acted on")


@asking("safety", "spend caps")
def spend(subject: Subject, connected: Connected) -> Iterator[Finding]:
    """The fleet's, and whether anything can be spent at all."""
    part, folder = "spend caps", subject.here.config_file.parent
    fault = connected.call(connected.safety.spend.prices()).fault
    fleet = [one for one in connected.call(connected.safety.spend.get()).accounts if one.scope == "fleet"]
    caps = {one.per: one.cap.micros for one in fleet if one.cap is not None and one.cap.micros is not None}
    if fault:
        named = folder / ("prices.toml" if "prices.toml" in fault else "spend.toml")
        yield fail(part, f"Nothing is spent: {fault}", aside(named))
    elif not caps:
        line = 'quantum spend cap fleet 50 --per day --reason "a limit"'
        yield warn(part, "The fleet has no cap.", line)
    else:
        said = ", ".join(f"{format_dollars(micros)} per {per}" for per, micros in sorted(caps.items()))
        yield ok(part, f"the fleet's: {said}")


OURS = "not_recorded"
"""The cause of the coordinator's alert about what it could not record."""


@asking("safety", "alerts")
def alerts(subject: Subject, connected: Connected) -> Iterator[Finding]:
    """Whether they reach anybody, and whether one of them is of a fault of ours."""
    part, found = "alerts", connected.call(connected.safety.alerts.list())
    ours = [one for one in found.alerts if one.cause == OURS and not one.resolved_at and not one.acknowledged_by]
    for one in ours:
        cure = f"quantum doctor --bundle quantum-report.tar.gz && quantum alerts acknowledge {OURS}"
        yield fail(part, one.sentence, cure)
    faulty = [one for one in found.channels if one.fault]
    for channel in faulty:
        said = f"The channel {channel.name} did not carry its last message: {channel.fault}"
        alone = {one.name for one in found.channels} <= {"log", "desktop"}
        if channel.name == "desktop" and alone and not has_screen(subject.session.environ):
            cure = subject.then_restart(f"{aside(subject.here.alert_config)} && {choose_channel(subject)}")
            yield fail(part, f"{said} There is no screen here.", cure)
        else:
            yield fail(part, said, "quantum alerts test")
    if not faulty and not ours:
        still = sum(one.resolved_at is None for one in found.alerts)
        yield ok(part, f"{', '.join(one.name for one in found.channels)}; {counted(still, 'alert')} open")


CHECKS = (mode, rotation, audit, breakers, budgets, spend, alerts)
