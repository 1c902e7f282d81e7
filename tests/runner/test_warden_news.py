"""News gathers while many are at work, and never turns the order of what is told of one attempt round."""

from __future__ import annotations

from services.agent_runner.warden.attempt import NEVER
from services.agent_runner.warden.news import News
from services.agent_runner.warden.protocol import Ended, Halted, Paused, Spawned

MANY, FEW = 10, 4


def _spawned(key: str, at: float) -> Spawned:
    return Spawned(key, 100, at, 0)


def _ended(key: str, at: float) -> Ended:
    return Ended(key, -1, b"", 0, "exit", "", at - 1, at, 1.0, 0.1, 5, 0, reported=False, tree_dead=True, stragglers=0)


def test_with_few_at_work_everything_is_told_at_once() -> None:
    news = News(lambda: FEW)
    news.spawned(_spawned("a", 10.0))
    assert news.due <= 10.0
    assert [message[0] for message in news.take(10.0)] == ["a"]
    news.ended(_ended("a", 11.0), 11.0)
    assert len(news.take(11.0)) == 1
    assert news.due == NEVER


def test_with_many_an_end_waits_a_little_and_tells_the_start_too() -> None:
    news = News(lambda: MANY)
    news.spawned(_spawned("a", 10.0))
    assert news.untold("a")
    assert news.take(10.0) == []
    news.ended(_ended("a", 10.01), 10.01)
    assert not news.untold("a")
    assert news.take(10.04) == []
    assert [type(message) for message in news.take(10.08)] == [Ended]
    assert news.due == NEVER


def test_a_start_is_told_after_a_while_though_its_end_does_not_come() -> None:
    news = News(lambda: MANY)
    news.spawned(_spawned("a", 10.0))
    news.spawned(_spawned("b", 10.04))
    news.ended(_ended("x", 10.0), 10.0)
    assert [message[0] for message in news.take(10.052)] == ["x"]
    assert [message[0] for message in news.take(10.06)] == ["a"]
    assert 10.06 < news.due <= 10.12
    news.ended(_ended("a", 10.08), 10.08)
    assert [message[0] for message in news.take(10.14)] == ["a", "b"]


def test_a_pause_is_told_after_its_start() -> None:
    news = News(lambda: MANY)
    news.spawned(_spawned("a", 10.0))
    news.tell(Paused("a", True))
    assert [type(message) for message in news.take(10.0)] == [Spawned, Paused]


def test_in_a_hurry_nothing_is_held_back() -> None:
    news = News(lambda: MANY)
    news.spawned(_spawned("a", 10.0))
    news.hurry()
    news.tell(Halted(True))
    assert [type(message) for message in news.take(10.0)] == [Spawned, Halted]
