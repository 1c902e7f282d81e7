"""The gauges of the machine, from files and figures as the systems write them."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from services.agent_runner.adapters.host_darwin import DarwinGauges, Ticks
from services.agent_runner.adapters.host_linux import LinuxGauges
from services.agent_runner.adapters.own_services import OwnServices
from services.agent_runner.warden.host import RunMark

MARK = RunMark("run", 1 << 40, "boot", 50, 1)
TAG = (1 << 40) - 7
TAGS = {50: TAG, 60: TAG, 61: TAG - 1, 70: -1, 80: 1 << 50}
HZ = os.sysconf("SC_CLK_TCK")
MEMINFO = "MemTotal:       16777216 kB\nMemFree:         1000000 kB\nMemAvailable:    8388608 kB\nSwapTotal: 0 kB\n"
STALLS = "some avg10=13.08 avg60=5.54 avg300=3.86 total=55947793\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=0\n"


class Machine:
    """A /proc and a /sys/fs/cgroup with what a test writes there."""

    def __init__(self, folder: Path) -> None:
        self.proc, self.cgroup = folder / "proc", folder / "cgroup"
        self.write("proc/meminfo", MEMINFO)
        self.write("proc/pressure/memory", STALLS)
        self.gauges = LinuxGauges(
            MARK, lambda: {10}, proc=self.proc, cgroup=self.cgroup, tag_of=lambda pid: TAGS.get(pid, -1)
        )

    def write(self, name: str, text: str) -> None:
        """One file, by its path from the folder."""
        path = self.proc.parent / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def used(self, *, busy: float, idle: float, **processes: float) -> None:
        """Seconds of all processors, and of processes (`p60=1.5`), since the start."""
        fields = [busy / 2, 0, busy / 4, idle * 0.9, idle * 0.1, busy / 8, busy / 8, 0, busy / 2, 0]
        self.write("proc/stat", "cpu  " + " ".join(str(round(field * HZ)) for field in fields) + "\ncpu0 1 1 1 1\n")
        for name, seconds in processes.items():
            ticks = " ".join(str(round(seconds / 4 * HZ)) for _ in range(4))
            self.write(f"proc/{name[1:]}/stat", f"{name[1:]} (a ) b) S 1 1 1 0 -1 0 0 0 0 0 {ticks} 20 0 1 0 5 0 0\n")


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_shares_are_of_the_time_between_two_readings(machine: Machine) -> None:
    machine.used(busy=100, idle=300, p10=4, p50=40, p60=8, p61=0, p70=30, p80=50)
    first = machine.gauges.read(1.0, [])
    assert (first.busy, first.ours) == (-1.0, -1.0), "of one look no share can be told"
    # The services of `own`, the warden with all that has ended, and what carries a tag of the run; nobody else.
    machine.used(busy=116, idle=304, p10=5, p50=42, p60=10, p61=2, p70=36, p80=53)
    second = machine.gauges.read(2.0, [])
    assert second.busy == pytest.approx(0.8) and second.ours == pytest.approx((1 + 2 + 2 + 2) / 20)


def test_a_tree_that_ends_is_counted_with_the_warden(machine: Machine) -> None:
    machine.used(busy=100, idle=100, p50=40, p60=8)
    machine.gauges.read(1.0, [])
    (machine.proc / "60" / "stat").unlink()
    machine.used(busy=110, idle=110, p50=52)
    assert machine.gauges.read(2.0, []).ours == pytest.approx((52 - 48) / 20)
    machine.used(busy=120, idle=120, p50=0)
    assert machine.gauges.read(3.0, []).ours == 0.0, "what cannot be is not told as negative"


def test_memory_and_stalls(machine: Machine) -> None:
    reading = machine.gauges.read(1.0, [])
    assert reading.memory_available_bytes == 8 << 30 and reading.memory_total_bytes == 16 << 30
    assert reading.memory_stalls_percent == 13.08 and not reading.memory_warned


def test_what_the_system_does_not_have_is_not_known(tmp_path: Path) -> None:
    (tmp_path / "proc").mkdir()
    gauges = LinuxGauges(MARK, lambda: (), proc=tmp_path / "proc", cgroup=tmp_path / "none")
    gauges.read(1.0, [])
    reading = gauges.read(2.0, [])
    assert (reading.busy, reading.ours, reading.memory_available_bytes, reading.memory_stalls_percent) == (
        -1,
        -1,
        -1,
        -1,
    )


V2 = (
    {"cpu.max": "150000 100000\n", "cpu.stat": "usage_usec 5000000\nuser_usec 1\n"},
    {"cpu.stat": "usage_usec 6200000\nuser_usec 1\n"},
    {"memory.max": str(4 << 30), "memory.current": str(3 << 30), "memory.stat": f"anon 5\ninactive_file {1 << 30}\n"},
)
V1 = (
    {"cpu/cpu.cfs_quota_us": "150000", "cpu/cpu.cfs_period_us": "100000", "cpuacct/cpuacct.usage": "5000000000"},
    {"cpuacct/cpuacct.usage": "6200000000"},
    {
        "memory/memory.limit_in_bytes": str(4 << 30),
        "memory/memory.usage_in_bytes": str(3 << 30),
        "memory/memory.stat": f"cache 5\ntotal_inactive_file {1 << 30}\n",
    },
)


@pytest.mark.parametrize(("before", "after", "memory"), [V2, V1], ids=["v2", "v1"])
def test_in_a_container_its_quota_is_the_machine(
    machine: Machine, before: Mapping[str, str], after: Mapping[str, str], memory: Mapping[str, str]
) -> None:
    for name, text in {**before, **memory}.items():
        machine.write(f"cgroup/{name}", text)
    machine.used(busy=100, idle=900, p50=10)
    machine.gauges.read(1.0, [])
    for name, text in after.items():
        machine.write(f"cgroup/{name}", text)
    machine.used(busy=200, idle=900, p50=10.2)
    reading = machine.gauges.read(2.0, [])
    assert reading.busy == pytest.approx(1.2 / 1.5) and reading.ours == pytest.approx(0.2 / 1.5, abs=0.01)
    assert reading.memory_total_bytes == 4 << 30 and reading.memory_available_bytes == 2 << 30


@pytest.mark.parametrize("files", [{"cpu.max": "max 100000\n", "memory.max": "max\n"}, {"cpu/cpu.cfs_quota_us": "-1"}])
def test_without_a_quota_it_is_the_machine_itself(machine: Machine, files: Mapping[str, str]) -> None:
    for name, text in {"cpu.stat": "usage_usec 1\n", "cpu/cpu.cfs_period_us": "100000", **files}.items():
        machine.write(f"cgroup/{name}", text)
    machine.used(busy=100, idle=100)
    machine.gauges.read(1.0, [])
    machine.used(busy=105, idle=105)
    reading = machine.gauges.read(2.0, [])
    assert reading.busy == pytest.approx(0.5, abs=0.01) and reading.memory_total_bytes == 16 << 30


def test_the_services_are_those_of_the_supervisor_as_long_as_it_says_so(tmp_path: Path) -> None:
    runtime = tmp_path / "runtime.json"
    services = OwnServices(runtime, tmp_path / "units")
    assert set(services.pids()) == {os.getpid()}
    runtime.write_text(json.dumps({"processes": {"coordinator": {"pid": 7, "identity": "x"}}}))
    assert set(services.pids()) == {os.getpid(), 7}
    for damaged in ("[]", "{", '{"processes": {"a": {}}}', '{"processes": []}', '{"processes": {"a": 1}}'):
        runtime.write_text(damaged)
        assert set(services.pids()) == {os.getpid()}
    runtime.unlink()
    assert set(services.pids()) == {os.getpid()}


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_the_real_machine_is_read() -> None:
    gauges = LinuxGauges(MARK._replace(warden_pid=os.getpid()), lambda: {os.getpid()})
    gauges.read(0.0, [])
    begun, at = os.times(), 0.0
    while os.times().user - begun.user < 0.3:
        sum(range(10_000))
    reading = gauges.read(at + 1.0, [])
    assert 0 < reading.ours <= reading.busy <= 1
    assert 0 < reading.memory_available_bytes < reading.memory_total_bytes


class FakeMach:
    """Figures as a Mac would give them."""

    def __init__(self) -> None:
        self.now = Ticks(0, 0, 0, 0)
        self.numbers = {"hw.memsize": 16 << 30, "kern.memorystatus_level": 25, "hw.logicalcpu": 8}
        self.seconds: dict[int, float] = {}
        self.group_of: dict[int, int] = {}

    def ticks(self) -> Ticks | None:
        return self.now

    def number(self, name: str) -> int:
        return self.numbers.get(name, -1)

    def cpu_seconds(self, pid: int) -> float:
        return self.seconds.get(pid, 0.0)

    def groups(self) -> dict[int, int]:
        return self.group_of


def test_on_macos_ours_are_the_services_the_warden_and_the_groups_of_the_trees() -> None:
    mach = FakeMach()
    gauges = DarwinGauges(MARK, lambda: {10}, mach)
    # The counters go round.
    mach.now, mach.group_of = Ticks((1 << 32) - 100, 0, 0, 0), {60: 60, 61: 60, 70: 70}
    mach.seconds = {10: 1, 50: 10, 60: 1, 61: 1, 70: 5}
    assert gauges.read(1.0, [60]).busy == -1.0
    mach.now = Ticks(300, 100, 200, 100)
    mach.seconds = {10: 1.5, 50: 10.5, 60: 1.6, 61: 1.8, 70: 9}
    reading = gauges.read(2.0, [60])
    assert reading.busy == pytest.approx(600 / 800) and reading.ours == pytest.approx(2.4 / 8)
    assert (reading.memory_available_bytes, reading.memory_total_bytes) == (4 << 30, 16 << 30)


@pytest.mark.parametrize(("level", "warned"), [(1, False), (2, True), (4, True), (-1, False)])
def test_on_macos_the_kernel_says_itself_whether_memory_is_short(level: int, warned: bool) -> None:
    mach = FakeMach()
    mach.numbers["kern.memorystatus_vm_pressure_level"] = level
    assert DarwinGauges(MARK, lambda: (), mach).read(1.0, []).memory_warned is warned
