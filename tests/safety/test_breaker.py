"""The breaker by itself: when it opens, how it closes, and that it neither sticks nor forgets."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.safety.domain.breaker import (
    LEGAL_MOVES,
    Breaker,
    BreakerRules,
    Closed,
    ForcedClosed,
    ForcedOpen,
    HalfOpen,
    Open,
    StateName,
)
from services.safety.domain.deadline import Deadline
from tests.safety.world import FAILURE, NEUTRAL, RULES, SUCCESS, key

NOW = datetime(2026, 5, 1, tzinfo=UTC)
CLOSED = Breaker(scope="agent:build")


def opened(trips: int = 0) -> Breaker:
    return replace(
        CLOSED, epoch=7, state=Open(deadline=Deadline.after(RULES.open_for(trips, 0.5), now=NOW), trips=trips)
    )


def probing(successes: int = 0) -> Breaker:
    before = replace(opened(), state=HalfOpen(trips=0, successes=successes))
    return before.admit(key("probe"), RULES, NOW, epoch=9)


def record(breaker: Breaker, *kinds: object, **more: object) -> Breaker:
    for number, kind in enumerate(kinds):
        breaker = breaker.record(key(f"r{number}"), kind, RULES, NOW, epoch=breaker.epoch + 1, **more)  # type: ignore[arg-type]
    return breaker


@given(st.lists(st.sampled_from([SUCCESS, FAILURE, NEUTRAL]), max_size=60))
def test_opens_exactly_when_the_rules_say(kinds: list[object]) -> None:
    """Against a reference that keeps the plain list of counted ends."""
    counted: list[bool] = []
    breaker = CLOSED
    for kind in kinds:
        breaker = record(breaker, kind)
        if kind is not NEUTRAL:
            counted.append(kind is FAILURE)
        window = counted[-20:]
        third = counted[-3:] == [True] * 3
        half = len(window) >= 8 and 2 * sum(window) >= len(window) and counted[-1] and kind is FAILURE
        assert isinstance(breaker.state, Open) == (third or half)
        if isinstance(breaker.state, Open):
            return
        assert (breaker.attempts, breaker.failures) == (len(window), sum(window))


def test_a_full_clean_window_changes_nothing() -> None:
    full = record(CLOSED, *[SUCCESS] * 20)
    assert record(full, SUCCESS) is full


def test_what_was_admitted_before_the_last_change_is_not_counted() -> None:
    breaker = replace(CLOSED, epoch=5)
    assert record(breaker, FAILURE, admitted_epoch=4) is breaker
    assert record(breaker, FAILURE, admitted_epoch=5).consecutive == 1
    assert record(breaker, FAILURE, admitted_epoch=0).consecutive == 1


def test_open_listens_to_nobody_and_holds_until_its_time() -> None:
    breaker = opened()
    assert record(breaker, SUCCESS, FAILURE) is breaker
    assert not breaker.lets_through(key("a"), NOW + timedelta(seconds=299))
    assert breaker.lets_through(key("a"), NOW + timedelta(seconds=300))


def test_one_probe_and_the_same_one_again() -> None:
    breaker = probing()
    assert breaker.lets_through(key("probe"), NOW)
    assert not breaker.lets_through(key("other"), NOW)
    later = NOW + timedelta(seconds=30)
    again = breaker.admit(key("probe"), RULES, later, epoch=10)
    assert again == breaker.renew(key("probe"), RULES, later), "its permit begins when it is told again"


def test_a_clock_that_is_set_moves_every_wait_with_it() -> None:
    step = timedelta(days=400)
    assert not opened().shifted(step).lets_through(key("a"), NOW + step + timedelta(seconds=299))
    assert opened().shifted(step).lets_through(key("a"), NOW + step + timedelta(seconds=300))
    assert probing().shifted(-step).as_of(NOW - step, epoch=10).holder == key("probe")
    assert Breaker(scope="fleet").shifted(step) == Breaker(scope="fleet")


def test_on_load_no_wait_is_longer_than_it_was_meant_to_be() -> None:
    past = NOW - timedelta(days=400)
    assert opened().loaded(past).lets_through(key("a"), past + timedelta(seconds=300))
    assert opened().loaded(NOW + timedelta(seconds=100)) == opened()


def test_two_successes_close_and_counting_begins_anew() -> None:
    once = probing().record(key("probe"), SUCCESS, RULES, NOW, epoch=10)
    assert isinstance(once.state, HalfOpen)
    assert once.holder is None
    closed = once.admit(key("next"), RULES, NOW, epoch=11).record(key("next"), SUCCESS, RULES, NOW, epoch=11)
    assert (closed.state, closed.epoch, closed.consecutive, closed.attempts) == (Closed(), 11, 0, 0)


def test_a_probe_that_fails_opens_for_twice_as_long() -> None:
    again = probing(successes=1).record(key("probe"), FAILURE, RULES, NOW, epoch=10, jitter=0.5)
    assert again.state == Open(deadline=Deadline.after(timedelta(seconds=600), now=NOW), trips=1)


def test_a_probe_that_says_nothing_gives_its_permit_back() -> None:
    breaker = probing(successes=1).record(key("probe"), NEUTRAL, RULES, NOW, epoch=10)
    assert breaker.state == HalfOpen(trips=0, successes=1)


def test_only_the_probe_is_listened_to() -> None:
    breaker = probing()
    for kind in (SUCCESS, FAILURE, NEUTRAL):
        assert breaker.record(key("old"), kind, RULES, NOW, epoch=10) is breaker
        assert breaker.record(key("probe", fence=2), kind, RULES, NOW, epoch=10) is breaker


def test_a_permit_that_nobody_renews_expires_and_a_renewed_one_does_not() -> None:
    breaker = probing()
    later = NOW + RULES.permit_time
    assert breaker.as_of(later, epoch=10).holder is None
    renewed = breaker.renew(key("probe"), RULES, NOW + timedelta(seconds=20))
    assert renewed.as_of(later, epoch=10).holder == key("probe")
    assert breaker.renew(key("other"), RULES, later) is breaker


def test_a_service_that_starts_gives_a_probe_its_full_time() -> None:
    restarted = probing().loaded(NOW + timedelta(hours=1))
    assert restarted.as_of(NOW + timedelta(hours=1), epoch=10).holder == key("probe")


@pytest.mark.parametrize("set_back", [timedelta(0), timedelta(minutes=1), timedelta(days=400)])
def test_time_left_is_never_more_than_the_full_time(set_back: timedelta) -> None:
    before = NOW - set_back
    assert opened().as_of(before, epoch=10).lets_through(key("a"), before + timedelta(seconds=300))
    assert probing().as_of(before, epoch=10).as_of(before + RULES.permit_time, epoch=10).holder is None


def test_forced_open_stays_and_forced_closed_ends() -> None:
    held = CLOSED.force_open(actor="ann", reason="looking", epoch=1)
    assert held.state == ForcedOpen(actor="ann")
    assert not held.as_of(NOW + timedelta(days=9000), epoch=2).lets_through(key("a"), NOW)
    free = held.force_closed(actor="ann", reason="", lasting=timedelta(hours=1), now=NOW, epoch=2)
    assert isinstance(free.state, ForcedClosed)
    assert record(free, *[FAILURE] * 9) is free
    assert free.as_of(NOW + timedelta(hours=1), epoch=3).state == Closed()
    assert held.reset(reason="fixed", epoch=2).lets_through(key("a"), NOW)


@given(st.integers(0, 10_000), st.floats(0, 1, exclude_max=True))
def test_open_time_doubles_to_its_cap_within_the_jitter(trips: int, jitter: float) -> None:
    length = RULES.open_for(trips, jitter).total_seconds()
    nominal = min(300 * 2 ** min(trips, 20), 3600)
    assert 0.8 * nominal <= length <= 1.2 * nominal
    assert RULES.open_for(trips, 0.5).total_seconds() == nominal


@pytest.mark.parametrize("state", list(StateName))
def test_every_state_can_be_left(state: StateName) -> None:
    assert LEGAL_MOVES[state]


def test_other_numbers_are_obeyed() -> None:
    rules = BreakerRules(consecutive_failures=1)
    assert isinstance(CLOSED.record(key("a"), FAILURE, rules, NOW, epoch=1).state, Open)
