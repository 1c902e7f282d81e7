"""What the ledger forgets and what it must not, also under a clock that is wrong for a moment."""

from __future__ import annotations

from datetime import timedelta

import pytest

from foundation.errors import Exhausted
from services.safety.domain.spend_caps import AccountKey
from tests.safety.spending import DOLLAR, GRACE, Purse

DAY = timedelta(days=1)


async def test_the_ledger_forgets_what_nobody_needs() -> None:
    purse = await Purse.open()
    token = await purse.start("t")
    await purse.call(token, "a")
    await purse.spend.settle(token, "a", DOLLAR)
    await purse.start("child", origin="t")
    await purse.end("t")
    await purse.end("child")
    purse.world.clock.advance(GRACE)
    await purse.spend.sweep()
    book = purse.world.state.spend
    assert not book.grants and not book.reservations and book.balances and book.families
    for days, task in ((91, "later"), (1, "last")):
        purse.world.clock.advance(days * DAY)
        await purse.call(await purse.start(task), "a")
    await purse.spend.sweep()
    await purse.crash()
    book = purse.world.state.spend
    assert {account.window for account in book.balances} == {
        "",
        "2026-04",
        "2026-04-02",
        "2026-04-03",
    } and not book.families
    assert AccountKey("attempt:t", "") not in book.balances


async def test_a_cap_in_all_holds_however_long_nothing_was_spent() -> None:
    purse = await Purse.open(agent=2)
    token = await purse.start("t")
    await purse.call(token, "a")
    await purse.spend.settle(token, "a", 2 * DOLLAR)
    await purse.end("t")
    for name in "ab":
        purse.world.clock.advance(100 * DAY)
        await purse.spend.sweep()
        assert await purse.start("u") == ""
        await purse.call(await purse.start("v", "reader"), name)


async def test_a_clock_that_is_wrong_for_a_moment_frees_no_cap_and_keeps_no_reservation() -> None:
    purse = await Purse.open(fleet_day=2)
    token = await purse.start("t")
    await purse.call(token, "a")
    await purse.spend.settle(token, "a", 2 * DOLLAR)
    right = purse.world.clock.now()
    purse.world.clock.set_now(right + 365 * DAY)
    await purse.spend.sweep()
    purse.world.clock.set_now(right)
    await purse.spend.sweep()
    assert await purse.start("u") == "", "the day is still the same, and its cap is spent"

    purse = await Purse.open()
    await purse.call(await purse.start("t"), "a")
    purse.world.clock.set_now(right + 365 * DAY)
    await purse.end("t")
    purse.world.clock.set_now(right)
    purse.world.clock.advance(GRACE)
    assert await purse.spend.sweep() == 1
    assert purse.booked == (1, 0)


@pytest.mark.parametrize("swept", [True, False])
async def test_a_day_that_was_booked_a_year_ahead_does_not_last_until_then(swept: bool) -> None:
    purse = await Purse.open(fleet_day=2)
    token = await purse.start("t")
    await purse.call(token, "a")
    await purse.spend.settle(token, "a", 2 * DOLLAR)
    right = purse.world.clock.now()
    purse.world.clock.set_now(right + 365 * DAY)
    await purse.call(token, "ahead")
    await purse.end("t")
    if swept:
        await purse.spend.sweep()
    purse.world.clock.set_now(right)
    await purse.spend.sweep()
    await purse.crash()
    assert await purse.start("u") == "", "today's cap is spent as it was"
    for day in (1, 2):
        purse.world.clock.set_now(right + day * DAY)
        token = await purse.start(f"day-{day}")
        for name in "ab":
            await purse.call(token, name)
        with pytest.raises(Exhausted):
            await purse.call(token, "c")
    assert [purse.balance("fleet", f"2026-01-0{day}")[:2] for day in (1, 2, 3)] == [(2, 0), (0, 2), (0, 2)]
    purse.world.clock.set_now(right + timedelta(days=1, hours=12))
    with pytest.raises(Exhausted):
        await purse.call(token, "d")  # small steps back open no day a second time
