"""The protections that safety keeps while it runs: what it says of each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import partial

from cli.doctor.findings import Protection, broken, each, off, on, untold
from cli.printing import counted
from cli.rotation import RotationSettings
from cli.running import read_running
from cli.session import Connected, Session
from foundation.money import format_dollars
from foundation.quantities import format_duration
from foundation.settings import load
from foundation.tokens import parse

UP = "quantum up --detach"
_VERIFIED_WITHIN = timedelta(minutes=5, seconds=5)


def standing(session: Session) -> Iterator[Protection]:
    """Each of them in turn; all are off while nothing runs, and nothing is started then either."""
    if read_running(session.workspace) is None:
        for what in ALL:
            yield off(what, "Nothing runs, so that nothing starts or spends either.", UP)
        return
    yield from each([("safety", partial(_connected, session))], untold)


def _connected(session: Session) -> Iterator[Protection]:
    with session.connected() as connected:
        yield from asked(session, connected)


def asked(session: Session, connected: Connected) -> Iterator[Protection]:
    """The same, of a safety that is there to be asked."""
    return each([(what, partial(check, session, connected)) for what, check in ALL.items()], untold)


def _mode(session: Session, connected: Connected) -> Iterator[Protection]:
    status = connected.call(connected.safety.get_mode())
    if status.mode == "NORMAL":
        yield on("mode", "NORMAL; `quantum mode guarded` … `quantum stop --all` tighten it")
    else:
        why = f" by {status.actor}" if status.actor else ""
        why += f": {status.reason}" if status.reason else ""
        yield on("mode", f"{status.mode}{why}; `quantum resume` goes back to NORMAL")


def _rotation(session: Session, connected: Connected) -> Iterator[Protection]:
    what = "token rotation"
    own = parse(session.token).id
    token = next(one for one in connected.call(connected.safety.list_tokens()) if one.id == own)
    every = load(RotationSettings, environ=session.environ, workspace=session.workspace).token_rotation_seconds
    age = session.clock.now() - (token.created_at or session.clock.now())
    said = f"your token is {format_duration(timedelta(seconds=int(age.total_seconds())))} old"
    wanted = f"replaced every {format_duration(timedelta(seconds=every))}"
    if age > 2 * timedelta(seconds=every):
        yield broken(what, f"{said}, and should be {wanted}.", "quantum token rotate")
    else:
        yield on(what, f"{said}; {wanted}")


def _audit(session: Session, connected: Connected) -> Iterator[Protection]:
    what, checkpoint = "audit log", session.workspace.audit
    verdict = connected.call(connected.safety.audit.verify(deadline=_VERIFIED_WITHIN), _VERIFIED_WITHIN)
    if verdict.fault is not None:
        yield broken(what, f"It was changed. {verdict.fault.sentence}", "quantum audit --verify")
    elif not any(checkpoint.glob("*")):
        yield broken(
            what, f"Its checkpoint {checkpoint} is gone, so that a cut tail would not show.", f"quantum down && {UP}"
        )
    else:
        yield on(what, f"{counted(verdict.records, 'record')}, as they were written; checkpoint in {checkpoint}")


def _breakers(session: Session, connected: Connected) -> Iterator[Protection]:
    what = "circuit breakers"
    found = connected.call(connected.safety.list_breakers(not_closed=True))
    held_closed = [one.scope for one in found if one.state == "forced_closed"]
    for scope in held_closed:
        yield off(what, f"{scope} is held closed, whatever it counts.", f"quantum breaker reset {scope}")
    if not held_closed:
        yield on(what, f"{counted(len(found), 'breaker')} not closed" if found else "all closed")


def _budgets(session: Session, connected: Connected) -> Iterator[Protection]:
    budgets = connected.call(connected.safety.budgets.list())
    acted_on = [one.scope for one in budgets if one.grade != "normal"]
    said = f"acted on for {', '.join(acted_on)}" if acted_on else "nothing to be acted on"
    yield on("error budgets", f"{counted(len(budgets), 'budget')} over 7 days; {said}")


def _spend(session: Session, connected: Connected) -> Iterator[Protection]:
    what = "spend caps"
    fault = connected.call(connected.safety.spend.prices()).fault
    fleet = [one for one in connected.call(connected.safety.spend.get()).accounts if one.scope == "fleet"]
    caps = {one.per: one.cap.micros for one in fleet if one.cap is not None and one.cap.micros is not None}
    if fault:
        yield broken(what, f"Nothing is spent: {fault}", "Correct config/spend.toml and config/prices.toml.")
    elif not caps:
        yield off(what, "The fleet has no cap.", 'quantum spend cap fleet 50 --per day --reason "a limit"')
    else:
        said = ", ".join(f"{format_dollars(micros)} per {per}" for per, micros in sorted(caps.items()))
        yield on(what, f"the fleet's: {said}")


def _alerts(session: Session, connected: Connected) -> Iterator[Protection]:
    what = "alerts"
    found = connected.call(connected.safety.alerts.list())
    faulty = [one for one in found.channels if one.fault]
    for channel in faulty:
        yield broken(
            what, f"The channel {channel.name} did not carry its last message: {channel.fault}", "quantum alerts test"
        )
    if not faulty:
        still = sum(one.resolved_at is None for one in found.alerts)
        yield on(what, f"{', '.join(one.name for one in found.channels)}; {counted(still, 'alert')} open")


ALL: dict[str, Callable[[Session, Connected], Iterator[Protection]]] = {
    "mode": _mode,
    "token rotation": _rotation,
    "audit log": _audit,
    "circuit breakers": _breakers,
    "error budgets": _budgets,
    "spend caps": _spend,
    "alerts": _alerts,
}
"""By what each is called."""
