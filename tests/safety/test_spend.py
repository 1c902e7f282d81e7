"""Spend: no call without a reservation, and no reservation beyond a cap."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import apsw
import pytest

from foundation.errors import Conflict, Denied, Exhausted, Invalid, NotFound, Unauthenticated, Unavailable
from foundation.sqlite.database import Database
from services.safety.adapters.memory import MemoryStore
from services.safety.adapters.sqlite import MIGRATIONS, SqliteStore
from services.safety.app.spend import Spend
from services.safety.domain.attempt import AttemptKey
from services.safety.domain.mode import Mode
from services.safety.domain.renewal import RenewalKind
from services.safety.domain.spend_gate import Tariff
from services.safety.domain.spend_prices import PriceTable, Usage
from services.safety.domain.spend_records import Stage
from services.safety.ports import SafetyStore
from tests.safety.spending import CALL, DOLLAR, GRACE, NO_CAPS, Purse

DAY = timedelta(days=1)


@pytest.fixture(params=["memory", "sqlite"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[SafetyStore]:
    if request.param == "memory":
        yield MemoryStore()
        return
    with Database.open(tmp_path / "safety.db", key=b"\x05" * 32, migrations=MIGRATIONS) as database:
        yield SqliteStore(database)


async def test_a_call_is_reserved_and_settled_once_whatever_is_sent_again(store: SafetyStore) -> None:
    purse = await Purse.open(store, fleet=10)
    token = await purse.start("t")
    first = await purse.call(token, "a")
    assert (first.micros, purse.booked) == (DOLLAR, (0, 1))
    await purse.crash()
    assert await purse.call(token, "a") == first
    settled = await purse.spend.settle(token, "a", 1 * DOLLAR)
    await purse.crash()
    assert await purse.spend.settle(token, "a", 1 * DOLLAR) == settled
    assert purse.booked == (1, 0)
    spend = purse.spend
    for refused in (purse.call(token, "a"), spend.settle(token, "a", 2 * DOLLAR), spend.release(token, "a")):
        with pytest.raises(Conflict, match="settled"):
            await refused
    await purse.call(token, "b")
    with pytest.raises(Conflict, match="another call"):
        await purse.spend.reserve(token, "b", "acme", "words", input_tokens=1, output_tokens=1)


async def test_release_gives_back_and_a_settle_after_it_is_refused(store: SafetyStore) -> None:
    purse = await Purse.open(store)
    token = await purse.start("t")
    await purse.call(token, "a")
    assert [(await purse.spend.release(token, "a")).stage for _ in range(2)] == [Stage.RELEASED] * 2
    await purse.crash()
    assert purse.booked == (0, 0)
    with pytest.raises(Conflict, match="released"):
        await purse.spend.settle(token, "a", 1)
    with pytest.raises(NotFound):
        await purse.spend.settle(token, "nothing", 1)


async def test_tokens_are_priced_rounded_up_and_extended(store: SafetyStore) -> None:
    purse = await Purse.open(store)
    token = await purse.start("t")
    made = await purse.spend.reserve(token, "a", "acme", "words", input_tokens=1_001, output_tokens=1_000)
    assert made.micros == 251 + 2_000  # 250.25 rounded up
    grown = [await purse.spend.extend(token, "a", input_tokens=1_001, output_tokens=2_000) for _ in range(2)]
    assert [one.micros for one in grown] == [251 + 4_000] * 2
    with pytest.raises(Conflict):
        await purse.spend.extend(token, "a", input_tokens=1, output_tokens=1)
    again = await purse.spend.reserve(token, "a", "acme", "words", input_tokens=1_001, output_tokens=1_000)
    assert again == grown[1]
    await purse.crash()
    assert (await purse.spend.settle(token, "a", Usage(4, 1_500))).actual_micros == 3_001


@pytest.mark.parametrize(
    ("model", "tokens", "code"),
    [("nosuch", 1, "unknown_price"), ("words", None, "unbounded_estimate"), ("words", -1, "bad_estimate")],
)
async def test_what_cannot_be_bounded_is_refused(model: str, tokens: int | None, code: str) -> None:
    purse = await Purse.open()
    token = await purse.start("t")
    with pytest.raises(Invalid) as refused:
        await purse.spend.reserve(token, "a", "acme", model, input_tokens=5, output_tokens=tokens)
    assert refused.value.code == code
    with pytest.raises(Denied, match="does not say that it uses other"):
        await purse.spend.reserve(token, "a", "other", model, input_tokens=1, output_tokens=1)
    with pytest.raises(Invalid):
        await purse.call(token, "")
    assert purse.booked == (0, 0)


@pytest.mark.parametrize("cap", ["attempt_total", "agent_total", "cloud_day", "fleet_day", "fleet_month", "fleet"])
async def test_every_cap_holds_at_exactly_its_amount(cap: str) -> None:
    purse = await Purse.open(**{cap: 3})
    token = await purse.start("t")
    for number in range(3):
        await purse.call(token, f"a{number}")
    with pytest.raises(Exhausted, match=r"the spend cap of \$3.00|The spend cap of \$3.00") as refused:
        await purse.call(token, "a3")
    assert refused.value.code == "spend_cap"
    assert purse.booked == (0, 3)


async def test_at_the_cap_the_attempt_pauses_and_goes_on_when_it_is_raised(store: SafetyStore) -> None:
    purse = await Purse.open(store, agent_day=2)
    token = await purse.start("t")
    other = await purse.start("u")
    await purse.call(token, "a")
    await purse.call(token, "b")
    assert await purse.renewed("t") is RenewalKind.CONTINUE
    with pytest.raises(Exhausted):
        await purse.call(token, "c")
    await purse.crash()
    assert [await purse.renewed("t"), await purse.renewed("u")] == [RenewalKind.PAUSE, RenewalKind.CONTINUE]
    assert await purse.start("v") == ""
    assert (purse.refused.scope, purse.refused.code) == ("agent:writer", "spend")
    assert purse.refused.ask_again_at == datetime(2026, 1, 2, tzinfo=UTC)
    epoch = purse.world.state.epoch
    await purse.set_cap("agent:writer", 3, "day")
    assert purse.world.state.epoch > epoch
    await purse.crash()
    alert = purse.world.state.alerts["spend:agent:writer:day"]
    assert alert.open and "What wants to spend more is paused" in alert.sentence
    assert await purse.renewed("t") is RenewalKind.CONTINUE
    assert not purse.world.state.alerts["spend:agent:writer:day"].open
    assert (await purse.call(token, "c")).stage is Stage.HELD
    with pytest.raises(Exhausted):
        await purse.call(other, "d")
    await purse.set_cap("agent:writer", None, "day", clear=True)
    assert await purse.start("w") == ""


async def test_without_the_gate_an_agent_starts_that_cannot_pay() -> None:
    """The control: the same bookings, looked at by gates that know no cap."""
    purse = await Purse.open(agent_day=1)
    token = await purse.start("t")
    await purse.call(token, "a")
    with pytest.raises(Exhausted):
        await purse.call(token, "b")
    assert [await purse.start("v"), await purse.renewed("t")] == ["", RenewalKind.PAUSE]
    purse.spend = Spend(purse.world.state, lambda: Tariff(prices=PriceTable([CALL]), caps=NO_CAPS))
    assert await purse.start("v") != ""
    assert await purse.renewed("t") is RenewalKind.CONTINUE


async def test_a_call_too_large_for_what_is_left_blocks_its_agent_and_no_other() -> None:
    purse = await Purse.open(fleet=3)
    token = await purse.start("t")
    for name in "ab":
        await purse.call(token, name)
    with pytest.raises(Exhausted):
        await purse.spend.reserve(token, "big", "acme", "words", input_tokens=8_000_000, output_tokens=0)
    assert await purse.renewed("t") is RenewalKind.PAUSE
    assert await purse.start("u") == ""
    assert await purse.start("v", "reader") != ""
    await purse.spend.release(token, "a")
    assert await purse.renewed("t") is RenewalKind.CONTINUE


async def test_days_and_months_open_anew_and_never_backwards() -> None:
    purse = await Purse.open(fleet_day=2, fleet_month=3)
    clock = purse.world.clock
    token = await purse.start("t")
    clock.advance(timedelta(hours=23, minutes=59))
    await purse.renewed("t")
    for name in "ab":
        await purse.call(token, name)
    with pytest.raises(Exhausted, match="opens at 2026-01-02 00:00 UTC"):
        await purse.call(token, "c")
    assert await purse.renewed("t") is RenewalKind.PAUSE
    clock.advance(timedelta(minutes=1))
    assert await purse.renewed("t") is RenewalKind.CONTINUE
    await purse.spend.settle(token, "a", DOLLAR)  # booked on the day on which it was promised
    assert purse.balance("fleet", "2026-01-01")[:2] == (1, 1)
    await purse.call(token, "c")
    clock.set_now(clock.now() - timedelta(minutes=10))  # a clock set back opens no day a second time
    with pytest.raises(Exhausted, match="opens at 2026-02-01"):
        await purse.call(token, "d")
    assert purse.balance("fleet", "2026-01-02")[:2] == (0, 1)
    clock.advance(31 * DAY)
    await purse.renewed("t")
    await purse.call(token, "d")


async def test_retries_and_children_inherit_the_cap_of_their_family() -> None:
    purse = await Purse.open(attempt=2)
    token = await purse.start("t")
    await purse.call(token, "a")
    await purse.end("t")
    again = await purse.start("t", fence=2)
    await purse.call(again, "a")  # a key belongs to its attempt
    await purse.end("t", fence=2)
    assert await purse.start("t", fence=3) == ""
    assert await purse.start("retry", origin="t") == ""
    assert await purse.start("stranger") != ""
    await purse.set_cap("attempt:t", 3)
    child = await purse.start("child", origin="t")
    grandchild = await purse.start("grandchild", origin="child")
    await purse.call(child, "a")
    with pytest.raises(Exhausted, match="of task t with its retries and children"):
        await purse.call(grandchild, "a")
    await purse.set_cap("attempt:grandchild", 4)
    await purse.call(grandchild, "a")


async def test_what_nobody_settles_is_charged_in_full_and_can_be_put_right(store: SafetyStore) -> None:
    purse = await Purse.open(store)
    token = await purse.start("t")
    await purse.call(token, "a")
    await purse.call(token, "b")
    await purse.end("t")
    assert await purse.spend.sweep() == 0
    await purse.spend.correct(AttemptKey("t", 1), "b", 0, reason="the bill says so")
    purse.world.clock.advance(GRACE)
    await purse.crash()
    assert await purse.spend.sweep() == 1
    assert purse.booked == (1, 0)
    assert "never settled" in purse.world.state.alerts["spend_charged:writer"].sentence
    await purse.crash()
    with pytest.raises(Unauthenticated):
        await purse.spend.settle(token, "a", 0)
    for _ in range(2):
        await purse.spend.correct(AttemptKey("t", 1), "a", 3 * DOLLAR, reason="the bill says so")
    assert purse.booked == (3, 0)
    with pytest.raises(Conflict):
        await purse.spend.correct(AttemptKey("t", 1), "a", 0, reason="")


async def test_a_reservation_outlives_its_running_attempt_only_while_somebody_renews_it() -> None:
    purse = await Purse.open()
    token = await purse.start("t")
    await purse.call(token, "a")
    for _ in range(10):
        purse.world.clock.advance(GRACE / 2)
        await purse.renewed("t")
        assert await purse.spend.sweep() == 0
    purse.world.clock.advance(GRACE)
    assert await purse.spend.sweep() == 1
    await purse.spend.settle(token, "a", 2 * DOLLAR)  # it lived after all
    assert purse.booked == (2, 0)


async def test_a_settle_above_its_reservation_is_booked_in_full_and_closes_the_scope() -> None:
    purse = await Purse.open(fleet=3)
    token = await purse.start("t")
    await purse.call(token, "a")
    done = await purse.spend.settle(token, "a", 5 * DOLLAR)
    assert (done.overrun, purse.booked) == (4 * DOLLAR, (5, 0))
    assert "cost $5.00, $4.00 more than was reserved" in purse.world.state.alerts["spend_overrun:writer"].sentence
    with pytest.raises(Exhausted):
        await purse.call(token, "b")
    assert await purse.start("u", "reader") == ""


async def test_in_guarded_nothing_new_is_promised_and_what_was_is_settled() -> None:
    purse = await Purse.open()
    token = await purse.start("t")
    held = await purse.call(token, "a")
    await purse.world.modes.tighten(Mode.GUARDED, reason="odd bill", actor="ann")
    with pytest.raises(Unavailable, match="GUARDED"):
        await purse.call(token, "b")
    assert await purse.call(token, "a") == held, "it was promised before"
    assert await purse.start("u") == ""
    assert (purse.refused.code, purse.refused.scope) == ("mode", "fleet")
    await purse.spend.settle(token, "a", DOLLAR)
    assert purse.booked == (1, 0)


async def test_files_that_cannot_be_read_stop_new_spend_alone() -> None:
    purse = await Purse.open()
    token = await purse.start("t")
    await purse.call(token, "a")
    purse.tariff = Tariff(fault="nothing new is spent: prices.toml is not TOML")
    with pytest.raises(Unavailable, match="not TOML"):
        await purse.call(token, "b")
    assert await purse.start("u") == ""
    await purse.spend.settle(token, "a", DOLLAR)


async def test_setting_a_cap_is_recorded() -> None:
    purse = await Purse.open()
    await purse.set_cap("fleet", 100, "month")
    (record,) = [
        record for record in await purse.world.store.audit_after(0, 100) if record.entry.act == "spend_cap_set"
    ]
    assert (record.entry.target, record.entry.before) == ("fleet per month", "no cap")
    assert record.entry.after == "$100.00 (set)"
    await purse.set_cap("agent", 7, "day")
    await purse.set_cap("agent:writer", 9, "day")
    left = await purse.spend.set_cap("agent:writer", "day", None, clear=True, actor="ann", reason="")
    assert left is not None and left.micros == 7 * DOLLAR, "what holds for every agent holds again"
    for scope, per in (("nonsense", "day"), ("fleet", "year"), ("attempt", "day")):
        with pytest.raises(Invalid):
            await purse.set_cap(scope, 1, per)


NONSENSE = [
    "insert into spend_balance values ('fleet', '', -1, 0, 0)",
    "insert into spend_balance values ('fleet', '', 0, -1, 0)",
    "insert into spend_cap values ('fleet', 'year', 1, '', '', 0)",
    "insert into spend_grant values ('t', 1, 't', 'a', 'p', 'id', 'short', 0, null, null, null, null)",
    "insert into spend_grant values ('t', 1, 't', 'a', 'p', 'id', hex(zeroblob(32)), 0, 1, 'fleet', '', 1)",
    "insert into spend_reservation values"
    " ('t', 1, 'k', 't', 'a', 'p', 'm', 0, 0, 0, 0, '', 0, 0, 0, 1, 0, 'held', 1, null)",
    "insert into spend_reservation values"
    " ('t', 1, 'k', 't', 'a', 'p', 'm', 0, 0, 0, 0, '', 0, 0, 0, 1, 0, 'settled', null, 1)",
]


@pytest.mark.parametrize("sql", NONSENSE)
async def test_the_database_refuses_impossible_rows(sql: str, tmp_path: Path) -> None:
    with (
        Database.open(tmp_path / "safety.db", key=b"\x05" * 32, migrations=MIGRATIONS) as database,
        pytest.raises(apsw.ConstraintError),
    ):
        await database.write(lambda connection: connection.execute(sql))
