"""`quantum doctor`: each protection that safety keeps while it runs, on and off."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import pytest

from cli.doctor import standing
from cli.doctor.findings import Finding, Mark, worst
from cli.doctor.subject import Subject
from clients.safety_alerts_values import AlertList, AlertView, ChannelView
from clients.safety_audit_values import AuditFault, AuditVerdict
from clients.safety_spend_values import AccountView, CapView, PriceList, SpendView
from clients.safety_values import TokenView
from foundation.tokens import parse
from tests.cli.fakes import PlayedConnection, PlayedCoordinator, PlayedSafety
from tests.cli.initialised import Place

ACCOUNT = AccountView(
    scope="fleet",
    per="day",
    window="2026-01-01",
    spent_micros=0,
    reserved_micros=0,
    cap=CapView(scope="fleet", per="day", micros=50_000_000, origin="default"),
    opens_at=None,
)
TOKEN = TokenView(
    id="",
    name="user",
    scopes=frozenset({"read"}),
    created_at=None,
    expires_at=None,
    last_used_at=None,
    revoked_at=None,
)


@dataclass
class Safety(PlayedSafety):
    """Safety with everything on."""

    token: TokenView = TOKEN
    alerts: Any = None
    verdict: AuditVerdict = field(default_factory=lambda: AuditVerdict(fault=None, records=6, head="", unconfirmed=0))
    account: AccountView = ACCOUNT
    price_fault: str = ""
    open_alerts: tuple[AlertView, ...] = ()
    channels: tuple[ChannelView, ...] = (ChannelView(name="log", fault=""),)

    async def list_tokens(self) -> tuple[TokenView, ...]:
        return (self.token,)


class Parts:
    """The clients of its parts."""

    def __init__(self, safety: Safety) -> None:
        self._safety = safety

    async def verify(self, *, deadline: timedelta) -> AuditVerdict:
        return self._safety.verdict

    async def prices(self) -> PriceList:
        return PriceList(prices=(), fault=self._safety.price_fault)

    async def get(self) -> SpendView:
        return SpendView(accounts=(self._safety.account,), open=(), paused=(), stopped_by="")


@dataclass
class Listing:
    """One that lists."""

    what: Any

    async def list(self) -> Any:
        return self.what


def asked(place: Place, safety: Safety) -> dict[str, Finding]:
    safety.token = replace(safety.token, id=parse(place.token).id)
    safety.audit = safety.spend = Parts(safety)
    safety.budgets, safety.alerts = Listing(()), Listing(AlertList(alerts=safety.open_alerts, channels=safety.channels))
    played: Any = PlayedConnection(PlayedCoordinator(), safety)
    subject = Subject(place)
    subject.connected, subject.serving = played, {"safety": True, "coordinator": True}
    return worst(one for check in standing.CHECKS for one in _checked(check, subject))


def _checked(check: Any, subject: Subject) -> list[Finding]:
    return list(check(subject))


@pytest.fixture
def safety(place: Place) -> Safety:
    place.workspace.audit.mkdir()
    (place.workspace.audit / "checkpoint.json").write_text("{}")
    return Safety(token=replace(TOKEN, created_at=place.clock.now()))


def test_what_safety_keeps_is_on(place: Place, safety: Safety) -> None:
    every = asked(place, safety)
    assert len(every) == len(standing.CHECKS)
    assert not [one for one in every.values() if one.mark is not Mark.OK]


def grow_old(place: Place, safety: Safety) -> None:
    safety.token = replace(safety.token, created_at=place.clock.now() - timedelta(days=3))


def change_the_log(place: Place, safety: Safety) -> None:
    fault = AuditFault(number=3, kind="edited", sentence="Record 3 was edited.")
    safety.verdict = replace(safety.verdict, fault=fault)


def lose_the_checkpoint(place: Place, safety: Safety) -> None:
    (place.workspace.audit / "checkpoint.json").unlink()


def hold_closed(place: Place, safety: Safety) -> None:
    safety.put("agent:build", "forced_closed")


def uncap(place: Place, safety: Safety) -> None:
    safety.account = replace(ACCOUNT, cap=None)


def misprice(place: Place, safety: Safety) -> None:
    safety.price_fault = "config/prices.toml cannot be read."


def silence(place: Place, safety: Safety) -> None:
    safety.channels = (ChannelView(name="mail", fault="It does not answer."),)


def show_nothing(place: Place, safety: Safety) -> None:
    place.workspace.alert_config.write_text('{"channels": {"desktop": {}}}')
    safety.channels = (ChannelView(name="desktop", fault="notify-send ended with 1."),)


def fall_open(place: Place, safety: Safety) -> None:
    safety.put("agent:build", "open", reason="3 in a row failed")


def lose_a_result(place: Place, safety: Safety) -> None:
    at = place.clock.now()
    found = AlertView(
        cause="not_recorded",
        level="critical",
        sentence="What a runner told of task t1 could not be recorded.",
        remedy="",
        first_at=at,
        last_at=at,
        count=1,
        told_at=at,
        escalated=False,
        acknowledged_by="",
        resolved_at=None,
    )
    safety.open_alerts = (found,)


def guard(place: Place, safety: Safety) -> None:
    safety.mode = "GUARDED"


@pytest.mark.parametrize(
    ("part", "take", "line", "mark"),
    [
        ("token rotation", grow_old, "quantum token rotate", Mark.FAIL),
        ("audit log", change_the_log, "quantum audit --verify", Mark.FAIL),
        ("audit log", lose_the_checkpoint, "quantum down && quantum up", Mark.FAIL),
        ("circuit breakers", hold_closed, "quantum breaker reset agent:build", Mark.WARN),
        ("circuit breakers", fall_open, "quantum recover --agent build", Mark.WARN),
        ("mode", guard, "quantum resume", Mark.WARN),
        ("spend caps", uncap, "quantum spend cap fleet", Mark.WARN),
        ("spend caps", misprice, "config/prices.toml", Mark.FAIL),
        ("alerts", lose_a_result, "quantum alerts acknowledge not_recorded", Mark.FAIL),
        ("alerts", silence, "quantum alerts test", Mark.FAIL),
        pytest.param(
            "alerts",
            show_nothing,
            "alert_config.json.aside",
            Mark.FAIL,
            marks=pytest.mark.skipif(sys.platform == "darwin", reason="a Mac has a screen"),
        ),
    ],
)
def test_wrong_while_it_runs(
    place: Place, safety: Safety, part: str, take: Callable[[Place, Safety], None], line: str, mark: Mark
) -> None:
    take(place, safety)
    one = asked(place, safety)[part]
    assert one.mark is mark
    assert line in one.cure
