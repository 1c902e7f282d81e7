"""How many leases a runner keeps at hand: many of short tasks, none of long ones."""

from services.agent_runner.domain.pace import Pace


def settled(seconds: float, *, slots: int = 10, at_hand_max: int = 80) -> int:
    pace = Pace(slots, at_hand_max)
    for _ in range(200):
        pace.observe(seconds)
    return pace.at_hand


def test_short_tasks_are_kept_at_hand_up_to_the_bound() -> None:
    assert settled(0.003) == 80


def test_a_long_task_is_never_at_hand_where_a_more_urgent_one_could_not_overtake_it() -> None:
    assert settled(5.0) == 0
    assert settled(300.0) == 0


def test_between_them_it_is_what_the_slots_use_up_on_the_way() -> None:
    assert 4 <= settled(0.4) <= 6


def test_small_changes_are_not_told() -> None:
    pace = Pace(10, 80)
    assert not pace.observe(0.2)
    changes = sum(pace.observe(0.01) for _ in range(200))
    assert 1 <= changes <= 15
