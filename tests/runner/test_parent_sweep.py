"""On macOS a tree is known by tokens and parents: values alone, for no such machine was at hand."""

from __future__ import annotations

from services.agent_runner.warden.parent_sweep import Known, Sighting, assign

FIRST = Sighting(pid=10, parent=1, started=100, tag=7)


def test_a_token_says_it() -> None:
    assert assign([FIRST, Sighting(11, 1, 50, -1)], {}) == {10: Known(100, 7)}


def test_without_a_token_the_parents_say_it_over_generations() -> None:
    child, grandchild = Sighting(11, 10, 101, -1), Sighting(12, 11, 102, -1)
    assert assign([grandchild, child, FIRST], {}) == {pid: Known(pid + 90, 7) for pid in (10, 11, 12)}


def test_an_orphan_without_a_token_stays_known_once_it_was_seen_beside_its_parent() -> None:
    known = assign([FIRST, Sighting(11, 10, 101, -1)], {})
    orphan = Sighting(11, 1, 101, -1)
    later = assign([orphan, Sighting(12, 11, 300, -1)], known)
    assert later == {11: Known(101, 7), 12: Known(300, 7)}
    assert assign([orphan], {}) == {}, "the control: who was never seen is not known"


def test_a_pid_that_is_used_again_is_somebody_else() -> None:
    assert assign([Sighting(11, 1, 500, -1)], {11: Known(101, 7)}) == {}


def test_a_parent_that_is_younger_than_its_child_is_none() -> None:
    assert assign([Sighting(10, 1, 900, 7), Sighting(11, 10, 101, -1)], {}) == {10: Known(900, 7)}


def test_parents_in_a_circle_are_nobody_s() -> None:
    assert assign([Sighting(10, 11, 5, -1), Sighting(11, 10, 5, -1)], {}) == {}
