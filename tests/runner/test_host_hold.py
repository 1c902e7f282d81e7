"""A held machine: no credit, what waits goes back, what runs goes on, and all of it ends by itself."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from clients.attachment_values import (
    AttemptRef,
    Credit,
    Events,
    FromRunner,
    HostState,
    Lease,
    LeaseTerms,
    Returned,
    Welcome,
)
from foundation.clock import ManualClock
from foundation.disk import FakeDisk
from foundation.log import get_logger
from services.agent_runner.adapters.agent_logs import LogFiles
from services.agent_runner.adapters.host_linux import LinuxGauges
from services.agent_runner.adapters.kept_output import OutputBounds, SlotOutputs
from services.agent_runner.adapters.script_files import LocalScripts
from services.agent_runner.app.host_watch import HostWatch
from services.agent_runner.app.outbox import Outbox
from services.agent_runner.app.reading import Reading
from services.agent_runner.app.runner import Runner
from services.agent_runner.domain.host_guard import HostLimits, HostReading
from services.agent_runner.ports import SecretSource
from services.agent_runner.warden.host import RunMark
from services.agent_runner.warden.protocol import Hold, Message, Refused, Spawned, Start
from tests.runner.fake_coordinator import Offer, RunnerUnderTest
from tests.runner.no_secrets import NoSecrets
from tests.runner.support import WardenUnderTest
from tests.waiting import CLOCK, until

GB = 1 << 30
DISK_LEAST = GB
LIMITS = HostLimits(cpu_share=0.8, memory_available_share=0.1, memory_stalls_percent=10.0, dwell_seconds=5.0)
ROOMY = HostReading(0.0, 0.1, 0.0, 8 * GB, 16 * GB)
FULL = ROOMY._replace(memory_available_bytes=GB)


class FakeGauges:
    """Shows what the test says."""

    def __init__(self) -> None:
        self.shown = ROOMY
        self.trees: Collection[int] = ()

    def read(self, now: float, trees: Collection[int]) -> HostReading:
        """See `HostGauges`."""
        self.trees = trees
        return self.shown._replace(at=now)


class Bench:
    """A runner with its watch, a warden that notes its orders, and a clock that stands still."""

    def __init__(
        self, folder: Path, limits: HostLimits | None, secrets: SecretSource | None = None, *, prefetch: int = 0
    ) -> None:
        self.clock = ManualClock()
        self.outbox = Outbox()
        self.orders: list[Message] = []
        log = get_logger("agent_runner")
        logs = LogFiles(folder / "logs", self.clock, asyncio.get_running_loop(), bytes_max=10**7, files_max=1)
        bounds = OutputBounds(result=1000, head=1000, tail=1000, line=1000, report=1000)
        self.runner = Runner(
            slots=2,
            prefetch=prefetch,
            terms=Welcome(20.0, 5.0, ()),
            enforcement={},
            workspace=str(folder),
            gateway="",
            warden=self,
            reading=Reading(SlotOutputs(folder / "slots", folder / "kept", logs, bounds), 1000, log),
            outbox=self.outbox,
            clock=self.clock,
            log=log,
            secrets=secrets or NoSecrets(),
            scripts=LocalScripts(),
        )
        self.gauges = FakeGauges()
        self.disk = FakeDisk(1 << 40)
        self.watch = HostWatch(
            self.gauges, limits, self.runner, self.clock, disk=self.disk, disk_free_bytes_min=DISK_LEAST
        )
        self.runner.welcome(Welcome(20.0, 5.0, ()), self.clock.boottime())

    def tell(self, *orders: Message) -> None:
        """See `WardenLink`."""
        self.orders += orders

    async def said(self) -> list[FromRunner]:
        """What is said to the coordinator now."""
        async with asyncio.timeout(60):
            return list(await self.outbox.take())

    def look(self, reading: HostReading, times: int = 1) -> None:
        """Let so many seconds pass with such a reading."""
        self.gauges.shown = reading
        for _ in range(times):
            self.clock.advance(timedelta(seconds=1))
            self.watch.look()


def _lease(task: str) -> Lease:
    return Lease(AttemptRef(task, 7), 1, LeaseTerms(agent="hello", project="", script="/bin/true", folder="/"))


def _newest(messages: list[FromRunner], kind: type[FromRunner]) -> FromRunner:
    return [message for message in messages if isinstance(message, kind)][-1]


async def test_a_hold_takes_the_credit_away_and_hands_back_what_waits_and_what_comes(tmp_path: Path) -> None:
    bench = Bench(tmp_path, LIMITS)
    bench.runner.take([_lease("runs"), _lease("waits")])
    bench.runner.news([Spawned("runs:7", 123, bench.clock.boottime(), 0)])
    bench.look(ROOMY)
    assert _newest(await bench.said(), Credit) == Credit(2)
    bench.look(FULL)
    assert bench.gauges.trees == [123]
    reason = bench.runner.host.held_reason
    assert reason.startswith("new starts wait: 1GB of the machine's 16GB")
    assert bench.orders[-1] == Hold(reason)
    said = await bench.said()
    assert said.index(HostState(reason, GB, 0.1)) < said.index(Credit(0)), "why comes before what follows from it"
    bench.runner.news([Refused("waits:7", "host", reason)])
    bench.runner.take([_lease("comes")])
    assert _newest(await bench.said(), Events) == Events(
        [Returned(AttemptRef("waits", 7), reason), Returned(AttemptRef("comes", 7), reason)]
    )
    assert [ref.task_id for ref in bench.runner.refs()] == ["runs"], "what runs goes on"


async def test_it_goes_on_by_itself(tmp_path: Path) -> None:
    bench = Bench(tmp_path, LIMITS)
    bench.look(FULL)
    bench.look(ROOMY, 4)
    assert bench.runner.host.held_reason
    bench.look(ROOMY)
    assert bench.orders[-1] == Hold("")
    said = await bench.said()
    assert _newest(said, HostState) == HostState("", 8 * GB, 0.1) and _newest(said, Credit) == Credit(2)
    bench.runner.take([_lease("a")])
    assert isinstance(bench.orders[-1], Start)


async def test_a_new_stream_hears_of_a_hold_that_is_older(tmp_path: Path) -> None:
    bench = Bench(tmp_path, LIMITS)
    bench.look(FULL)
    bench.runner.welcome(Welcome(20.0, 5.0, ()), bench.clock.boottime())
    said = await bench.said()
    assert _newest(said, HostState) == bench.runner.host and _newest(said, Credit) == Credit(0)


async def test_without_limits_nothing_is_held_and_the_figures_are_told_all_the_same(tmp_path: Path) -> None:
    bench = Bench(tmp_path, None)
    bench.look(FULL._replace(busy=1.0), 20)
    assert bench.runner.host == HostState("", GB, 1.0) and not bench.orders
    assert _newest(await bench.said(), Credit) == Credit(2)


async def test_only_what_changed_noticeably_is_said(tmp_path: Path) -> None:
    bench = Bench(tmp_path, LIMITS)
    bench.look(ROOMY)
    await bench.said()
    told = bench.runner.host
    bench.look(ROOMY._replace(busy=0.19, memory_available_bytes=8 * GB - GB // 4), 3)
    assert bench.runner.host is told
    bench.look(ROOMY._replace(busy=0.21))
    assert bench.runner.host.cpu_share == 0.21
    bench.look(ROOMY._replace(busy=0.21, memory_available_bytes=7 * GB))
    assert bench.runner.host.memory_available_bytes == 7 * GB


def test_a_held_warden_starts_a_merge_check_unless_the_hold_is_about_it_too(tmp_path: Path) -> None:
    warden = WardenUnderTest(tmp_path, at_once=1)
    try:
        warden.send(Hold("the machine is full"), warden.order(warden.shell("true"), "check", beside=True, check=True))
        assert warden.ended("check").status == 0
        warden.send(
            Hold("the disk is short", checks=True), warden.order(warden.shell("true"), "late", beside=True, check=True)
        )
        assert warden.expect(Refused) == Refused("late", "host", "the disk is short")
    finally:
        warden.close()


def test_a_held_warden_starts_nothing_and_lets_what_runs_go_on(tmp_path: Path) -> None:
    warden = WardenUnderTest(tmp_path, at_once=1)
    try:
        gate, mark = tmp_path / "gate", tmp_path / "mark"
        warden.send(
            warden.order(warden.shell(f"while ! test -e {gate}; do sleep 0.01; done"), "runs"),
            warden.order(warden.shell(f"touch {mark}"), "waits"),
        )
        warden.expect(Spawned)
        warden.send(Hold("the machine is full"))
        assert warden.expect(Refused) == Refused("waits", "host", "the machine is full")
        warden.send(warden.order(warden.shell(f"touch {mark}"), "comes"))
        assert warden.expect(Refused) == Refused("comes", "host", "the machine is full")
        gate.touch()
        assert warden.ended("runs").status == 0
        assert not mark.exists()
        warden.send(Hold(""), warden.order(warden.shell(f"touch {mark}"), "later"))
        assert warden.ended("later").status == 0 and mark.exists()
    finally:
        warden.close()


# -- real processes


@contextmanager
def hogs(seconds: float) -> Iterator[None]:
    """A busy loop per processor, each in a session of its own, that ends by itself after a while at the latest."""
    loop = f"import time; end = time.monotonic() + {seconds}\nwhile time.monotonic() < end: pass"
    started = [
        subprocess.Popen([sys.executable, "-c", loop], start_new_session=True) for _ in range(os.cpu_count() or 1)
    ]
    try:
        yield
    finally:
        for one in started:
            one.kill()
            one.wait()


def _held(runner: RunnerUnderTest) -> str:
    states = [each.host.held_reason for each in runner.coordinator.seen if each.WhichOneof("message") == "host"]
    return states[-1] if states else ""


def _gated(runner: RunnerUnderTest, gate: Path) -> Offer:
    return runner.lease(f"while ! test -e {gate}; do sleep 0.01; done")


async def test_a_busy_machine_holds_a_real_runner(runner: RunnerUnderTest, tmp_path: Path) -> None:
    # One per cent: whatever else the machine does meanwhile, it is over the limit as long as the loops turn.
    await runner.start(host_guard="auto", cpu_limit=1, host_guard_seconds=3, max_concurrent_agents=1)
    first, second, third = _gated(runner, tmp_path / "gate"), runner.lease("true"), runner.lease("true")
    runner.coordinator.lease(first, second)
    await runner.coordinator.event(first, "started")
    with hogs(20):
        reason = await runner.coordinator.until(lambda: _held(runner), "a hold")
        returned = await runner.coordinator.event(second, "returned")
        await runner.coordinator.credit(0)
        runner.coordinator.lease(third)
        assert (await runner.coordinator.event(third, "returned")).reason
    assert re.fullmatch(
        r"new starts wait: the machine's processors are \d+ % busy \(limit 1 %\)"
        r"(, \d+ % with work that is not Quantum's)?",
        reason,
    )
    assert returned.reason == reason
    (tmp_path / "gate").touch()
    assert (await runner.coordinator.result(first)).exit_code == 0, "what ran has run on"


async def test_control_without_the_guard_a_busy_machine_starts_what_comes(runner: RunnerUnderTest) -> None:
    await runner.start(host_guard="off", cpu_limit=1, host_guard_seconds=0.5)
    with hogs(20):

        def seen_busy() -> bool:
            told = [each.host.cpu_share for each in runner.coordinator.seen if each.WhichOneof("message") == "host"]
            return bool(told) and told[-1] > 0.5

        await runner.coordinator.until(seen_busy, "a busy machine")
        offer = runner.lease("true")
        runner.coordinator.lease(offer)
        assert (await runner.coordinator.result(offer)).exit_code == 0
        assert not _held(runner)


@pytest.mark.long
async def test_it_goes_on_by_itself_when_the_hog_has_gone(runner: RunnerUnderTest) -> None:
    gauges = LinuxGauges(RunMark("", 1 << 40, "", 0, 0), lambda: ())
    begun = gauges.read(CLOCK.boottime(), ()).at
    await asyncio.to_thread(until, lambda: CLOCK.boottime() - begun > 2, "two seconds to look at")
    if (busy := gauges.read(CLOCK.boottime(), ()).busy) > 0.5:
        pytest.skip(f"the machine is {busy:.0%} busy before the test begins, so that nothing would let go after it")
    await runner.start(host_guard="auto", host_guard_seconds=2)
    with hogs(15):
        reason = await runner.coordinator.until(lambda: _held(runner), "a hold")
        print(f"held: {reason}")
        assert "(limit 80 %)" in reason
    await runner.coordinator.some_credit()
    await runner.coordinator.until(lambda: not _held(runner), "the end of the hold")
    offer = runner.lease("true")
    runner.coordinator.lease(offer)
    assert (await runner.coordinator.result(offer)).exit_code == 0


async def test_a_short_disk_holds_new_starts_also_where_the_guard_is_off_and_lets_them_go_again(tmp_path: Path) -> None:
    for limits in (LIMITS, None):
        bench = Bench(tmp_path, limits)
        bench.disk.free = DISK_LEAST - 1
        bench.look(ROOMY)
        reason = bench.runner.host.held_reason
        assert reason.startswith("new starts wait: the disk has") and bench.orders[-1] == Hold(reason, checks=True)
        bench.disk.free = DISK_LEAST + 1
        bench.look(ROOMY, 10)
        assert bench.runner.host.held_reason, "a disk that hovers there does not flap"
        bench.disk.free = 2 * DISK_LEAST
        bench.look(ROOMY)
        assert bench.orders[-1] == Hold("") and not bench.runner.host.held_reason


async def test_a_merge_check_is_begun_on_a_busy_machine_and_not_on_a_short_disk(tmp_path: Path) -> None:
    bench = Bench(tmp_path, LIMITS)
    bench.look(FULL)
    assert _newest(await bench.said(), Credit) == Credit(0, no_checks=False)
    check = _lease("check")._replace(terms=_lease("").terms._replace(agent="merge-check", check=True))
    bench.runner.take([check, _lease("task")])
    assert [ref.task_id for ref in bench.runner.refs()] == ["check"]
    assert [order.check for order in bench.orders if isinstance(order, Start)] == [True]
    bench.disk.free = 0
    bench.look(FULL)
    assert bench.orders[-1] == Hold(bench.runner.host.held_reason, checks=True)
    assert _newest(await bench.said(), Credit) == Credit(0, no_checks=True)
    bench.runner.take([check._replace(ref=AttemptRef("late", 7))])
    said = _newest(await bench.said(), Events)
    assert said == Events([Returned(AttemptRef("late", 7), "the disk has 0B free, and at least 1GB are kept")])


async def test_another_reason_to_wait_is_told_in_place_of_the_first(tmp_path: Path) -> None:
    bench = Bench(tmp_path, LIMITS)
    bench.look(FULL)
    bench.disk.free = 0
    bench.look(ROOMY, 10)
    reason = bench.runner.host.held_reason
    assert "memory" not in reason and "the disk has 0B free" in reason
    assert bench.orders[-1] == Hold(reason, checks=True)


async def test_two_reasons_to_wait_are_both_said(tmp_path: Path) -> None:
    bench = Bench(tmp_path, LIMITS)
    bench.disk.free = 0
    bench.look(FULL)
    assert "of memory are available" in bench.runner.host.held_reason
    assert "the disk has 0B free" in bench.runner.host.held_reason
