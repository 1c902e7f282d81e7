"""A lease that its runner cannot begin says why, and does not stand there for minutes while it could be elsewhere."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from clients.attachment_values import AttemptRef, Credit, Heartbeat, Lease, LeaseTerms, ServiceTerms
from services.agent_runner.app import standstill
from services.agent_runner.warden.protocol import Spawned, Withdraw
from tests.runner.fake_coordinator import FakeCoordinator, RunnerUnderTest
from tests.runner.test_host_hold import Bench, _lease, _newest

FULL = "all 2 slots there are taken"
WARDEN = "the warden there has not started it yet"


async def _beat(bench: Bench, seconds: float = 5.0) -> Heartbeat:
    """One heartbeat, so much later."""
    bench.clock.advance(timedelta(seconds=seconds))
    bench.runner.heartbeat()
    newest = _newest(await bench.said(), Heartbeat)
    assert isinstance(newest, Heartbeat)
    return newest


def _spawn(bench: Bench, *tasks: str) -> None:
    bench.runner.news([Spawned(f"{task}:7", 123, bench.clock.boottime(), 0) for task in tasks])


def _waits(beat: Heartbeat) -> dict[str, str]:
    return {ref.task_id: why for ref, why in beat.waits.items()}


async def test_what_waits_behind_full_slots_says_so_and_goes_back_at_the_next_look(tmp_path: Path) -> None:
    bench = Bench(tmp_path, None, prefetch=240)
    bench.runner.take([_lease("long"), _lease("longer"), _lease("hello")])
    _spawn(bench, "long", "longer")
    assert not _waits(await _beat(bench, 4.9)), "it is on its way"
    beat = await _beat(bench, 0.1)
    assert (_waits(beat), beat.stalled) == ({"hello": FULL}, "")
    assert Withdraw not in map(type, bench.orders), "a machine that has stood still would look like that"
    await _beat(bench)
    assert bench.orders[-1] == Withdraw(["hello:7"], f"It was not begun: {FULL}.")


async def test_nothing_is_taken_ahead_again_until_attempts_are_short(tmp_path: Path) -> None:
    bench = Bench(tmp_path, None, prefetch=240)
    assert _newest(await bench.said(), Credit) == Credit(4), "two slots, and two at hand"
    bench.runner.take([_lease("long"), _lease("longer"), _lease("hello")])
    _spawn(bench, "long", "longer")
    await _beat(bench)
    bench.clock.advance(timedelta(seconds=5))
    bench.runner.heartbeat()
    assert _newest(await bench.said(), Credit) == Credit(2)


async def test_a_slot_that_came_free_in_time_leaves_it_where_it_is(tmp_path: Path) -> None:
    bench = Bench(tmp_path, None)
    bench.runner.take([_lease("long"), _lease("longer"), _lease("hello")])
    _spawn(bench, "long", "longer")
    await _beat(bench)
    _spawn(bench, "hello")
    assert not _waits(await _beat(bench))
    assert Withdraw not in map(type, bench.orders)


async def test_behind_one_that_is_to_run_alone_nothing_stands_and_nothing_new_comes(tmp_path: Path) -> None:
    bench = Bench(tmp_path, None)
    bench.runner.take([_lease("long"), _lease("alone")._replace(alone=True), _lease("hello")])
    _spawn(bench, "long")
    beat = await _beat(bench)
    said = "task alone, which runs alone, waits there for the others to end"
    assert (_waits(beat), beat.stalled) == ({"alone": said, "hello": said}, said)
    await _beat(bench)
    assert bench.orders[-1] == Withdraw(["hello:7"], f"It was not begun: {said}."), "the one itself keeps its place"


async def test_while_one_runs_alone_the_others_go_elsewhere(tmp_path: Path) -> None:
    bench = Bench(tmp_path, None)
    bench.runner.take([_lease("alone")._replace(alone=True), _lease("hello")])
    _spawn(bench, "alone")
    said = "task alone runs alone there until it ends"
    assert _waits(await _beat(bench)) == {"hello": said}
    await _beat(bench)
    assert bench.orders[-1] == Withdraw(["hello:7"], f"It was not begun: {said}.")


async def test_a_warden_that_does_not_start_what_it_has_is_said_and_gets_nothing_more(tmp_path: Path) -> None:
    bench = Bench(tmp_path, None)
    check = LeaseTerms(agent="merge-check", project="", script="/bin/true", folder="/", check=True)
    kept = LeaseTerms("kept", "", "/bin/true", "/", service=ServiceTerms(1, 900, 3, 6, 600))
    bench.runner.take([_lease("hello"), Lease(AttemptRef("check", 7), 1, check), Lease(AttemptRef("kept", 7), 1, kept)])
    beat = await _beat(bench)
    assert _waits(beat) == dict.fromkeys(("hello", "check", "kept"), WARDEN)
    assert beat.stalled == WARDEN
    await _beat(bench)
    assert Withdraw not in map(type, bench.orders), "nobody but the warden knows whether they run"


class _Locked:
    """A keychain that waits for a person."""

    async def fetch(self, names: object) -> dict[str, str]:
        """See `SecretSource`."""
        await asyncio.Event().wait()
        raise AssertionError


async def test_one_that_waits_for_the_keychain_says_so_and_holds_up_no_other(tmp_path: Path) -> None:
    bench = Bench(tmp_path, None, _Locked())
    terms = LeaseTerms("spends", "", "/bin/true", "/", secrets=("openai",))
    bench.runner.take([Lease(AttemptRef("spends", 7), 1, terms)])
    beat = await _beat(bench)
    assert _waits(beat) == {"spends": "its secrets are being fetched from the keychain there"}
    assert beat.stalled == ""


# -- real processes


@pytest.fixture
async def runner(tmp_path: Path) -> AsyncIterator[RunnerUnderTest]:
    runner = RunnerUnderTest(tmp_path, FakeCoordinator(heartbeat_seconds=0.2))
    try:
        yield runner
    finally:
        await runner.close()
    shutil.rmtree(runner.run_dir, ignore_errors=True)


@pytest.mark.long
async def test_hello_beside_stubborn_tasks_comes_back_in_seconds(runner: RunnerUnderTest, tmp_path: Path) -> None:
    await runner.start(max_concurrent_agents=5)
    gate = tmp_path / "gate"
    stubborn = [runner.lease(f"trap '' TERM; while ! test -e {gate}; do sleep 0.1; done") for _ in range(5)]
    runner.coordinator.lease(*stubborn)
    for one in stubborn:
        await runner.coordinator.event(one, "started")
    hello = runner.lease("true")
    runner.coordinator.lease(hello)
    returned = await runner.coordinator.event(hello, "returned")
    assert returned.reason == "It was not begun: all 5 slots there are taken."
    await runner.coordinator.credit(5)
    told = [wait.reason for each in runner.coordinator.seen for wait in each.heartbeat.waits]
    assert set(told) == {"all 5 slots there are taken"}
    print(f"told in {len(told)} heartbeats; it went back after {standstill.OVERDUE_SECONDS:g} s and a heartbeat")
    gate.touch()
    for one in stubborn:
        assert (await runner.coordinator.result(one)).exit_code == 0
