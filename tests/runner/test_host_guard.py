"""The decision of the host guard, with a clock that the test moves."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.agent_runner.domain.host_guard import HostGuard, HostLimits, HostReading

DWELL = 5.0
GB = 1 << 30
LIMITS = HostLimits(cpu_share=0.8, memory_available_share=0.1, memory_stalls_percent=10.0, dwell_seconds=DWELL)
QUIET = HostReading(0.0, busy=0.05, ours=0.0, memory_available_bytes=12 * GB, memory_total_bytes=16 * GB)


def _run(readings: Iterable[HostReading], limits: HostLimits = LIMITS) -> list[HostGuard]:
    """The guard after each reading, one a second, the first of them at 100."""
    guards, guard = [], HostGuard(limits)
    for at, reading in enumerate(readings, 100):
        guard = guard.observe(reading._replace(at=float(at)))
        guards.append(guard)
    return guards


def _held(guards: Sequence[HostGuard]) -> list[bool]:
    return [bool(guard.held_reason) for guard in guards]


def _cpu(busy: float, ours: float = 0.0) -> HostReading:
    return QUIET._replace(busy=busy, ours=ours)


def _memory(available: float, stalls: float = 0.0) -> HostReading:
    return QUIET._replace(memory_available_bytes=int(available * GB), memory_stalls_percent=stalls)


def test_others_that_keep_the_processors_busy_hold_starts_and_their_end_lets_them_go_on() -> None:
    guards = _run([QUIET] * 3 + [_cpu(1.0)] * 10 + [QUIET] * 10)
    held = _held(guards)
    first = held.index(True)
    assert 3 + 3 <= first <= 3 + 5, "not for a blip, and not later than the dwelling time"
    assert all(held[first:13]) and not any(held[13 + 5 :])
    assert guards[12].held_reason == "new starts wait: the machine's processors are 100 % busy (limit 80 %)"


def test_a_blip_holds_nothing() -> None:
    assert not any(_held(_run([QUIET] * 6 + [_cpu(1.0)] * 3 + [QUIET] * 6)))


def test_our_own_load_holds_nothing_and_does_not_flap() -> None:
    assert not any(_held(_run([_cpu(1.0, ours=0.9)] * 100)))


def test_with_others_at_work_the_whole_machine_counts() -> None:
    guards = _run([_cpu(1.0, ours=0.5)] * 10)
    assert guards[-1].held_reason == (
        "new starts wait: the machine's processors are 100 % busy (limit 80 %), 50 % with work that is not Quantum's"
    )
    assert not any(_held(_run([_cpu(0.7, ours=0.0)] * 100))), "below the limit there is room"


def test_between_leaving_and_entering_nothing_changes() -> None:
    near = [_cpu(0.75)] * 20
    assert not any(_held(_run(near)))
    assert all(_held(_run([_cpu(1.0)] * 8 + near))[8:])


def test_short_memory_holds_at_once_and_for_the_dwelling_time() -> None:
    guards = _run([QUIET] * 2 + [_memory(1.0)] + [QUIET] * 8)
    assert _held(guards) == [False] * 2 + [True] * 5 + [False] * 4
    assert guards[2].held_reason == (
        "new starts wait: 1GB of the machine's 16GB of memory are available (at least 1.6GB are kept)"
    )


def test_a_floor_is_left_behind_with_room_to_spare() -> None:
    assert (
        _held(_run([_memory(1.5), *[_memory(1.7)] * 20, *[_memory(2.1)] * 6])) == [True] * 21 + [True] * 4 + [False] * 2
    )


def test_stalls_count_where_memory_is_scarce_and_not_where_one_tree_is_at_its_own_limit() -> None:
    guards = _run([_memory(3.0, stalls=14.0)])
    assert guards[0].held_reason == (
        "new starts wait: programs waited for memory in 14 % of the last 10 s (limit 10 %); "
        "3GB of the machine's 16GB of memory are available (at least 1.6GB are kept)"
    )
    assert not any(_held(_run([_memory(14.0, stalls=99.0)] * 20)))


def test_what_the_system_says_itself_counts_without_figures() -> None:
    guards = _run([HostReading(0.0, memory_warned=True)])
    assert guards[0].held_reason.startswith("new starts wait: the system says that memory is short; it is not known")


def test_gauges_that_cannot_be_read_hold_nothing_and_let_go() -> None:
    blind = HostReading(0.0)
    assert not any(_held(_run([blind] * 20)))
    assert not any(_held(_run([_cpu(1.0)] * 8 + [blind] * 20))[8 + 5 :])


def test_two_reasons_are_both_told() -> None:
    both = _memory(0.5)._replace(busy=0.93, ours=0.0)
    reason = _run([both] * 8)[-1].held_reason
    assert "93 % busy (limit 80 %)" in reason and "; 512MB of the machine's 16GB" in reason


READINGS = st.builds(
    lambda busy, part, available, stalls: HostReading(
        0.0, busy, busy * part, int(available * 16 * GB), 16 * GB, stalls, memory_warned=False
    ),
    st.sampled_from((-1.0, 0.0, 0.3, 0.69, 0.71, 0.79, 0.81, 0.95, 1.0)),
    st.sampled_from((0.0, 0.3, 0.5, 0.7, 1.0)),
    st.sampled_from((0.05, 0.11, 0.13, 0.24, 0.26, 0.9)),
    st.sampled_from((-1.0, 0.0, 4.0, 6.0, 12.0, 100.0)),
)
STEPS = st.lists(st.tuples(READINGS, st.floats(0.05, 7.0)), min_size=1, max_size=80)


@given(STEPS)
def test_it_never_changes_more_often_than_it_may(steps: list[tuple[HostReading, float]]) -> None:
    guard, at = HostGuard(LIMITS), 1000.0
    cpu_changes, memory_holds, memory_frees = list[float](), list[float](), list[float]()
    for reading, pause in steps:
        at += pause
        before, guard = guard, guard.observe(reading._replace(at=at))
        if guard.cpu.held != before.cpu.held:
            cpu_changes.append(at)
        if guard.memory.held != before.memory.held:
            (memory_holds if guard.memory.held else memory_frees).append(at)
    assert all(later - earlier >= DWELL for earlier, later in itertools.pairwise(cpu_changes))
    assert all(freed - held >= DWELL for held, freed in zip(memory_holds, memory_frees, strict=False))


@given(STEPS)
def test_it_always_lets_go_when_it_is_quiet(steps: list[tuple[HostReading, float]]) -> None:
    guard, at = HostGuard(LIMITS), 1000.0
    for reading, pause in steps:
        at += pause
        guard = guard.observe(reading._replace(at=at))
    quiet_at = at
    while guard.held_reason:
        at += 1.0
        guard = guard.observe(QUIET._replace(at=at))
        assert at - quiet_at <= 2 * DWELL + 1, "held by nothing"


@given(STEPS)
def test_it_holds_only_what_was_over_a_limit(steps: list[tuple[HostReading, float]]) -> None:
    guard, at = HostGuard(LIMITS), 1000.0
    seen: list[HostReading] = []
    for reading, pause in steps:
        at += pause
        seen.append(reading)
        before, guard = guard, guard.observe(reading._replace(at=at))
        if guard.cpu.held and not before.cpu.held:
            assert any(one.busy >= 0.8 for one in seen) and any(one.busy - one.ours >= 0.4 for one in seen)
        if guard.memory.held and not before.memory.held:
            assert reading.memory_available_bytes < 4 * GB


@pytest.mark.parametrize("pause", [0.01, 0.25, 1.0, 30.0, 7200.0])
def test_however_often_one_looks_a_steady_load_holds_and_its_end_frees(pause: float) -> None:
    guard, at = HostGuard(LIMITS), 0.0
    for _ in range(int(2 * DWELL / pause) + 3):
        at += pause
        guard = guard.observe(_cpu(1.0)._replace(at=at))
    assert guard.held_reason and len(guard.cpu.spans) <= DWELL / pause + 2
    for _ in range(int(2 * DWELL / pause) + 3):
        at += pause
        guard = guard.observe(QUIET._replace(at=at))
    assert not guard.held_reason
