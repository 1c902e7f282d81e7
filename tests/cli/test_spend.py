"""`quantum spend`: what it shows, and caps with the line that undoes them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import date

import pytest

from clients.safety_spend_values import (
    AccountView,
    CapView,
    PausedAttempt,
    PriceList,
    PriceView,
    ReservationView,
    SpendView,
)
from tests.cli.conftest import Quantum
from tests.cli.fakes import NOW, PlayedSafety

OPEN = ReservationView(
    task_id="t1",
    fence=7,
    key="call-1",
    agent="poet",
    provider="acme",
    model="words-1",
    input_tokens=10,
    output_tokens=20,
    reserved_micros=250_000,
    stage="charged",
    actual_micros=250_000,
    made_at=NOW,
    ended_at=NOW,
)
DAY = AccountView(
    scope="fleet",
    per="day",
    window="2026-01-01",
    spent_micros=49_750_000,
    reserved_micros=250_000,
    cap=CapView(scope="fleet", per="day", micros=50_000_000, origin="default"),
    opens_at=NOW,
)
EVER = AccountView(scope="fleet", per="total", window="", spent_micros=1, reserved_micros=0, cap=None, opens_at=None)


@dataclass
class PlayedSpend:
    """A ledger that is full for today."""

    caps: list[tuple[str, str, int | None, str]] = field(default_factory=list)
    corrected: list[tuple[str, int, str, int]] = field(default_factory=list)
    stopped_by: str = ""
    day_cap: CapView | None = DAY.cap

    async def get(self) -> SpendView:
        """What there is."""
        paused = PausedAttempt(task_id="t1", fence=7, agent="poet", reason="the cap is reached")
        return SpendView(
            accounts=(replace(DAY, cap=self.day_cap), EVER), open=(OPEN,), paused=(paused,), stopped_by=self.stopped_by
        )

    async def prices(self) -> PriceList:
        """One."""
        price = PriceView(
            provider="acme",
            model="words-1",
            valid_from=date(2026, 1, 1),
            valid_until=None,
            input_micros=250_000,
            output_micros=2_000_000,
            call_micros=0,
        )
        return PriceList(prices=(price,), fault="")

    async def set_cap(self, scope: str, per: str, micros: int | None, *, reason: str) -> CapView:
        """As asked."""
        self.caps.append((scope, per, micros, reason))
        return CapView(scope=scope, per=per, micros=micros, origin="set", actor="user", reason=reason, at=NOW)

    async def clear_cap(self, scope: str, per: str, *, reason: str = "") -> CapView | None:
        """None is left."""
        self.caps.append((scope, per, -1, reason))
        return None

    async def correct(self, task_id: str, fence: int, key: str, micros: int, *, reason: str) -> ReservationView:
        """As asked."""
        self.corrected.append((task_id, fence, key, micros))
        return OPEN


@pytest.fixture
def spend(played_safety: PlayedSafety) -> PlayedSpend:
    played = PlayedSpend()
    played_safety.spend = played
    return played


def test_it_shows_what_is_left_what_is_open_and_who_is_paused(quantum: Quantum, spend: PlayedSpend) -> None:
    said = quantum("spend").out.splitlines()
    assert said[1].split() == ["fleet", "2026-01-01", "$49.75", "$0.25", "$50.00", "(default)", "$0.00"]
    assert said[2].split() == ["fleet", "all", "time", "$0.000001", "$0.00", "-", "-"]
    assert any(line.startswith("t1:7") and "charged" in line for line in said)
    assert said[-1] == "Task t1 (poet) is paused: the cap is reached."
    spend.stopped_by = "nothing new is spent: prices.toml is not TOML"
    assert quantum("spend").out.startswith("Nothing new is spent: prices.toml is not TOML")


def test_one_document_with_amounts_in_millionths(quantum: Quantum, spend: PlayedSpend) -> None:
    day, ever = quantum("spend", "--json").document["accounts"]
    assert (day["remaining_micros"], ever["remaining_micros"], ever["cap"]) == (0, None, None)
    (price,) = quantum("spend", "prices", "--json").document["prices"]
    assert (price["valid_from"], price["valid_until"], price["output_micros"]) == ("2026-01-01", None, 2_000_000)


def test_a_cap_is_set_with_the_line_that_undoes_it(quantum: Quantum, spend: PlayedSpend) -> None:
    done = quantum("spend", "cap", "agent:poet", "2.5", "--per", "day", "--reason", "launch")
    assert done.out == (
        "agent:poet, per day: a cap of $2.50 (set).\n  undo: quantum spend cap agent:poet --clear --per day\n"
    )
    assert quantum("spend", "cap", "fleet", "none").out.startswith("fleet, in all: no cap.\n")
    assert quantum("spend", "cap", "agent:poet", "--per", "day", "--clear").out == "agent:poet, per day: no cap.\n"
    assert spend.caps == [
        ("agent:poet", "day", 2_500_000, "launch"),
        ("fleet", "total", None, ""),
        ("agent:poet", "day", -1, ""),
    ]


def test_the_cap_that_was_set_before_is_what_undoing_brings_back(quantum: Quantum, spend: PlayedSpend) -> None:
    spend.day_cap = CapView(scope="fleet", per="day", micros=1_050_000_000, origin="set")
    assert quantum("spend", "cap", "fleet", "1", "--per", "day").out.endswith(
        "undo: quantum spend cap fleet 1050.00 --per day\n"
    )
    spend.day_cap = CapView(scope="fleet", per="day", micros=None, origin="set")
    assert (
        quantum("spend", "cap", "fleet", "1", "--per", "day", "--json").document["undo"]
        == "quantum spend cap fleet none --per day"
    )


@pytest.mark.parametrize(
    ("words", "code"),
    [(("fleet",), 2), (("fleet", "1", "--clear"), 2), (("fleet", "much"), 65), (("fleet", "1", "--per", "year"), 2)],
)
def test_a_cap_that_is_not_right_is_refused(
    quantum: Quantum, spend: PlayedSpend, words: tuple[str, ...], code: int
) -> None:
    assert quantum("spend", "cap", *words).code == code
    assert spend.caps == []


def test_a_charge_is_put_right(quantum: Quantum, spend: PlayedSpend) -> None:
    assert quantum("spend", "settle", "t1:7", "call-1", "0.25").out == "Call call-1 of task t1 has cost $0.25.\n"
    assert spend.corrected == [("t1", 7, "call-1", 250_000)]
    assert quantum("spend", "settle", "t1", "call-1", "0.25").code == 65
