"""Alerts: one voice per cause, told at least once, escalated when nobody looks, held back when they are too many."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import pytest

from foundation.errors import Exhausted, NotFound, Unavailable
from foundation.log import get_logger
from services.safety.adapters.memory import MemoryStore
from services.safety.app.alerts import Alerts
from services.safety.domain.alert import Alert, AlertRules, Group, Level, Throttle, first, outlived
from services.safety.domain.mode import Mode, StopOrder
from services.safety.ports import AlertMessage, Changes
from tests.safety.world import FAILURE, SUCCESS, World, ended
from tests.waiting import eventually, looks

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
RULES = AlertRules()


def alert(level: Level = Level.WARNING, cause: str = "breaker:agent:build") -> Alert:
    return Alert(cause=cause, level=level, sentence="It has opened.", remedy="Look.")


@dataclass
class Config:
    """What holds for a channel."""

    name: str = "pager"
    level: Level = Level.WARNING
    per_hour: int = 3


@dataclass
class Pager:
    """A channel that keeps what it was told, or fails."""

    config: Config = field(default_factory=Config)
    said: list[AlertMessage] = field(default_factory=list)
    broken: bool = False
    asked: int = 0

    def say(self, message: AlertMessage) -> None:
        """Take one message."""
        self.asked += 1
        if self.broken:
            raise Unavailable("pager_down", "The pager does not answer.")
        self.said.append(message)


def alerts_of(world: World, *channels: Pager, rules: AlertRules = RULES) -> Alerts:
    return Alerts(world.state, channels, rules, workspace="/w", logger=get_logger("safety"))


# -- when


def test_the_first_is_told_at_once_and_repeats_after_the_cool_down() -> None:
    group = first(alert(), NOW)
    assert group.due(RULES, NOW) is Level.WARNING
    group = group.told(Level.WARNING, group.count, NOW)
    assert group.due(RULES, NOW + RULES.cool_down) is None, "nothing new, nothing to say"
    group = group.with_raised(alert(), NOW + MINUTE)
    assert group.due(RULES, NOW + MINUTE) is None
    assert group.due_at(RULES) == NOW + RULES.cool_down
    assert group.due(RULES, NOW + RULES.cool_down) is Level.WARNING
    assert "2 times since 2026-05-01 12:00" in group.message(Level.WARNING)


def test_a_more_urgent_one_does_not_wait() -> None:
    group = first(alert(), NOW).told(Level.WARNING, 1, NOW).with_raised(alert(Level.CRITICAL), NOW + MINUTE)
    assert group.due(RULES, NOW + MINUTE) is Level.CRITICAL


def test_what_nobody_acknowledges_becomes_critical_once() -> None:
    group = first(alert(), NOW).told(Level.WARNING, 1, NOW)
    assert RULES.escalate_after is not None
    late = NOW + RULES.escalate_after
    assert group.due(RULES, late - MINUTE) is None
    assert group.due(RULES, late) is Level.CRITICAL
    assert "Nobody has acknowledged" in group.message(Level.CRITICAL)
    assert group.acknowledged("ann").due(RULES, late) is None
    told = group.told(Level.CRITICAL, 1, late)
    assert told.escalated
    assert told.due(RULES, late + 10 * RULES.escalate_after) is None
    assert first(alert(Level.INFO), NOW).told(Level.INFO, 1, NOW).due(RULES, late) is None
    assert group.due(AlertRules(escalate_after=None), late) is None


def test_what_is_over_is_not_told_and_begins_anew() -> None:
    group = first(alert(), NOW).told(Level.WARNING, 1, NOW).resolved(NOW + MINUTE)
    assert group.due(RULES, NOW + 60 * MINUTE) is None
    again = group.with_raised(alert(), NOW + 2 * MINUTE)
    assert (again.count, again.open, again.due(RULES, NOW + 2 * MINUTE)) == (1, True, None), "the cool-down goes on"
    assert again.due(RULES, NOW + RULES.cool_down) is Level.WARNING


def test_a_channel_says_so_much_an_hour_and_sums_up_the_rest() -> None:
    throttle = Throttle(per_hour=2)
    assert [throttle.lets_through(NOW + n * MINUTE, Level.WARNING) for n in range(5)] == [
        True,
        True,
        False,
        False,
        False,
    ]
    assert throttle.take_summary(NOW + 59 * MINUTE) == ""
    assert throttle.take_summary(NOW + 60 * MINUTE).startswith("3 more alerts")
    assert throttle.take_summary(NOW + 61 * MINUTE) == ""
    assert throttle.lets_through(NOW + 61 * MINUTE, Level.WARNING)


def test_warnings_do_not_use_up_the_hour_of_what_is_critical() -> None:
    throttle = Throttle(per_hour=2)
    assert [throttle.lets_through(NOW, Level.WARNING) for _ in range(3)] == [True, True, False]
    assert [throttle.lets_through(NOW, Level.CRITICAL) for _ in range(3)] == [True, True, False]


def test_old_ones_are_forgotten_before_open_ones() -> None:
    open_one = first(alert(cause="open"), NOW - timedelta(days=100))
    groups = {"open": open_one, "old": first(alert(cause="old"), NOW).resolved(NOW - timedelta(days=8))}
    assert outlived(groups, NOW) == ["old"]
    many = {f"c{n}": first(alert(cause=f"c{n}"), NOW + timedelta(seconds=n)).resolved(NOW) for n in range(1_000)}
    assert outlived({**many, "open": open_one}, NOW) == ["c0"]


# -- told


async def test_a_breaker_that_opens_is_told_once_and_taken_back_when_it_closes() -> None:
    world, pager = await World.start(), Pager()
    alerts = alerts_of(world, pager)
    await world.fail(3)
    assert await alerts.tell_what_is_due() == 1
    assert await alerts.tell_what_is_due() == 0
    [message] = pager.said
    assert message.cause == "breaker:agent:build"
    assert "agent build" in message.text
    assert "quantum breaker" in message.text
    await world.breakers.reset("agent:build", reason="mended", actor="ann")
    [group] = alerts.list()
    assert not group.open


async def test_what_was_raised_survives_a_crash_before_it_was_told() -> None:
    world, pager = await World.start(), Pager()
    await world.fail(3)
    await world.crash()
    await alerts_of(world, pager).tell_what_is_due()
    await world.crash()
    await alerts_of(world, pager).tell_what_is_due()
    assert len(pager.said) == 1


async def test_a_channel_carries_its_level_and_no_less() -> None:
    world, pager = await World.start(), Pager()
    alerts = alerts_of(world, pager)
    await world.modes.tighten(Mode.DRAIN, reason="tonight", actor="ann")
    await alerts.raise_(alert(Level.INFO, "note"))
    assert await alerts.tell_what_is_due() >= 1
    assert [message.cause for message in pager.said if message.level is Level.INFO] == []


async def test_the_hour_is_not_exceeded_whatever_happens() -> None:
    world, pager = await World.start(), Pager()
    alerts = alerts_of(world, pager)
    for number in range(50):
        await alerts.raise_(alert(cause=f"cause-{number}"))
    await alerts.tell_what_is_due()
    assert len(pager.said) == pager.config.per_hour
    world.clock.advance(timedelta(hours=1))
    await alerts.tell_what_is_due()
    assert any("47 more alerts" in message.text for message in pager.said)


async def test_a_channel_that_fails_is_tried_again_and_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.safety.app.alerts.FIRST_PAUSE_SECONDS", 0.0)
    world, broken, pager = await World.start(), Pager(Config("broken"), broken=True), Pager()
    alerts = alerts_of(world, broken, pager)
    await alerts.raise_(alert())
    await alerts.tell_what_is_due()
    assert broken.asked == 3
    assert len(pager.said) == 1, "one way that is closed does not close the others"
    assert {one.channel: one.fault for one in alerts.channels()} == {
        "broken": "The pager does not answer.",
        "pager": "",
    }
    broken.broken = False
    assert [one.fault for one in await alerts.test(by="ann")] == ["", ""]
    assert all(not one.fault for one in alerts.channels())


async def test_a_channel_that_is_closed_is_not_tried_three_times_for_each(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.safety.app.alerts.FIRST_PAUSE_SECONDS", 0.0)
    world, broken, pager = await World.start(), Pager(Config("broken", per_hour=99), broken=True), Pager()
    alerts = alerts_of(world, broken, pager)
    for number in range(10):
        await alerts.raise_(alert(Level.CRITICAL if number == 9 else Level.WARNING, f"cause-{number}"))
    await alerts.tell_what_is_due()
    assert broken.asked == 3 + 9
    assert pager.said[0].level is Level.CRITICAL, "the most urgent first"


async def test_acknowledging_says_who_looks() -> None:
    world, pager = await World.start(), Pager()
    alerts = alerts_of(world, pager)
    await alerts.raise_(alert())
    await alerts.tell_what_is_due()
    await alerts.acknowledge("breaker:agent:build", by="ann")
    world.clock.advance(timedelta(hours=2))
    assert await alerts.tell_what_is_due() == 0
    with pytest.raises(NotFound):
        await alerts.acknowledge("nothing", by="ann")


async def test_it_runs_by_itself() -> None:
    world, pager, stop = await World.start(), Pager(), asyncio.Event()
    alerts = alerts_of(world, pager)
    running = asyncio.create_task(alerts.run(stop))
    await world.tell(*(ended(f"t{n}", FAILURE) for n in range(3)))

    async def told() -> bool:
        return bool(pager.said)

    await eventually(told, "it is told")
    stop.set()
    await running


class FullDisk(MemoryStore):
    """A store that can be full."""

    full = False

    async def commit(self, changes: Changes) -> int:
        """Write, or say that there is no room."""
        if self.full:
            raise Exhausted("disk_full", "The disk is full; nothing was stored.")
        return await super().commit(changes)


class OddPager(Pager):
    """A channel with a fault that nobody foresaw."""

    def say(self, message: AlertMessage) -> None:
        """Fail."""
        self.asked += 1
        raise ValueError("Invalid header value b'Bearer s3cret'")


async def test_neither_a_full_disk_nor_a_fault_in_a_channel_ends_the_teller(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.safety.app.alerts.FIRST_PAUSE_SECONDS", 0.0)
    monkeypatch.setattr("services.safety.app.alerts.IDLE_SECONDS", 0.01)
    store, stop = FullDisk(), asyncio.Event()
    world, pager, odd = await World.start(store), Pager(), OddPager(Config(name="odd"))
    alerts = alerts_of(world, pager, odd)
    await alerts.raise_(alert())
    store.full = True
    running = asyncio.create_task(alerts.run(stop))
    await eventually(lambda: "odd" in alerts.faults, "the odd channel was tried")
    assert "s3cret" not in alerts.faults["odd"]
    async for _ in looks(0.2):
        assert len(pager.said) == 1, "that it was told cannot be written, and is known all the same"
    world.signal.order = StopOrder(actor="bob", reason="", since=None)  # must be recorded, and cannot be
    world.clock.advance(2 * RULES.cool_down)
    await eventually(lambda: len(pager.said) > 1, "it goes on to tell")
    store.full = False
    stop.set()
    await running


async def test_a_thousand_of_one_cause_are_one_message_and_no_thousand_commits() -> None:
    world, pager = await World.start(), Pager()
    alerts = alerts_of(world, pager)
    before = (await world.store.load()).revision
    for _ in range(1_000):
        await alerts.raise_(alert())
    await alerts.tell_what_is_due()
    assert (await world.store.load()).revision - before < 5
    assert len(pager.said) == 1
    kept: Group = (await world.store.load()).alerts["breaker:agent:build"]
    assert kept.count == 1_000


async def test_an_agent_that_cannot_run_as_it_is_set_up_needs_a_person() -> None:
    world, pager = await World.start(), Pager()
    alerts = alerts_of(world, pager)
    await world.tell(replace(ended("t1", FAILURE), misconfigured=True, detail="agents/build.sh is not executable"))
    await alerts.tell_what_is_due()
    assert "agents/build.sh is not executable" in pager.said[0].text
    await world.tell(ended("t2", SUCCESS))
    assert not any(group.open for group in alerts.list())
