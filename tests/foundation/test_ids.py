"""Identifiers: of one form, sorted by the moment they were made, whatever the clock does."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from foundation.clock import ManualClock, SystemClock
from foundation.ids import (
    FixedRandomness,
    SequentialIds,
    SystemIds,
    SystemRandomness,
    derived_id,
    is_id,
    random_bytes,
)


def test_an_id_has_26_lower_case_characters() -> None:
    made = SystemIds(SystemClock()).new()
    assert is_id(made) and len(made) == 26 and made == made.lower()


@given(st.lists(st.integers(min_value=-5_000, max_value=5_000), min_size=1, max_size=50))
def test_ids_grow_even_when_the_clock_stands_still_or_goes_back(steps: list[int]) -> None:
    clock = ManualClock()
    ids = SystemIds(clock)
    made = [ids.new()]
    for step in steps:
        clock.set_now(clock.now() + timedelta(milliseconds=step))
        made.append(ids.new())
    assert made == sorted(set(made))


@given(st.lists(st.integers(min_value=1, max_value=2_500), min_size=1, max_size=5))
def test_many_at_once_are_like_one_after_the_other(counts: list[int]) -> None:
    ids, one_by_one = SequentialIds(), SequentialIds()
    for count in counts:
        assert ids.many(count) == [one_by_one.new() for _ in range(count)]


def test_many_at_once_grow_among_themselves_and_with_the_others() -> None:
    ids = SystemIds(ManualClock())
    made = [*ids.many(3), ids.new(), *ids.many(3_000), ids.new()]
    assert made == sorted(set(made)) and all(map(is_id, made))
    assert ids.many(0) == []


def test_an_id_begins_with_its_moment() -> None:
    early = SystemIds(ManualClock(datetime(2026, 1, 1, tzinfo=UTC))).new()
    late = SystemIds(ManualClock(datetime(2026, 1, 1, 0, 0, 1, tzinfo=UTC))).new()
    again = SystemIds(ManualClock(datetime(2026, 1, 1, tzinfo=UTC))).new()
    assert early < late
    assert early[:10] == again[:10] != late[:10]
    assert early != again


def test_threads_never_get_the_same_id() -> None:
    ids = SystemIds(ManualClock())
    made: list[list[str]] = [[] for _ in range(4)]

    def work(mine: list[str]) -> None:
        mine.extend(ids.new() for _ in range(500))

    threads = [threading.Thread(target=work, args=(mine,)) for mine in made]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(mine == sorted(mine) for mine in made)
    assert len({one for mine in made for one in mine}) == 2000


def test_sequential_ids_are_the_same_at_each_run() -> None:
    first, second = SequentialIds(), SequentialIds()
    made = [first.new() for _ in range(40)]
    assert made == [second.new() for _ in range(40)] == sorted(made)
    assert all(is_id(one) for one in made)


def test_what_is_not_an_id() -> None:
    good = SequentialIds().new()
    for bad in ("", good[:-1], good + "0", good.replace("0", "u", 1), good[:-1] + "A", "8" + good[1:]):
        assert not is_id(bad)


def test_randomness() -> None:
    assert 3.0 <= SystemRandomness().uniform(3.0, 4.0) <= 4.0
    assert FixedRandomness(0.25).uniform(10.0, 20.0) == 12.5
    assert len(random_bytes(16)) == 16 and random_bytes(16) != random_bytes(16)


def test_a_derived_id_is_the_same_at_each_call_and_has_the_time_of_its_act() -> None:
    clock = ManualClock()
    ids = SystemIds(clock)
    one, two = ids.new(), ids.new()
    clock.advance(timedelta(seconds=1))
    act, later = ids.new(), ids.new()
    derived = {derived_id(made, other) for made in (act, later) for other in (one, two)}
    assert len(derived) == 4
    assert all(is_id(each) and each[:10] == act[:10] for each in derived)
    assert derived_id(act, one) == derived_id(act, one)
