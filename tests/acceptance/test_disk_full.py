"""A disk that is short takes nothing new, and one that is full loses nothing; both heal by themselves."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.acceptance.conftest import MakeSystem
from tests.acceptance.runs import Runs
from tests.acceptance.system import System
from tests.programs import missing

MB = 1 << 20
DISK_BYTES = 80 * MB
LEAST = 20 * MB
RESERVE = 4 * MB
NOISE = "i=0; while [ $i -lt 2000 ]; do echo line $i of a task on a full disk, which is logged; i=$((i+1)); done"


@contextmanager
def small_disk(make_system: MakeSystem, *, least: int, reserve: int) -> Iterator[System]:
    """A system whose workspace is on a disk of its own, which is small."""
    if os.geteuid() != 0:
        missing("a disk of its own needs root")
    system = make_system(disk_free_bytes_min=least, disk_reserve_bytes=reserve, lease_seconds=4, heartbeat_seconds=1)
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "none", str(system.root)], check=False, capture_output=True
    )
    if mounted.returncode:
        missing(f"nothing can be mounted here: {mounted.stderr.decode().strip()}")
    try:
        yield system.init()
    finally:
        with suppress(AssertionError, OSError):
            system.quantum("down")
        subprocess.run(["umount", "-l", str(system.root)], check=True)


def fill(system: System, leave: int) -> Path:
    """Take all of the disk but so many bytes, again as often as it is given back."""
    path = system.root / "filler"
    free = shutil.disk_usage(system.root).free - leave
    with path.open("ab", buffering=0) as file:
        with suppress(OSError):
            while free > 0:
                free -= file.write(bytes(min(free, 1 << 16)))
        if not leave:
            with suppress(OSError):
                while file.write(bytes(512)):
                    pass
    return path


def noting(system: System, name: str, line: str = "") -> None:
    """An agent that waits at a gate, prints, and notes its end on another disk."""
    notes = system.folder / "notes"
    gate = Runs(system.folder).gate(name).replace("$QUANTUM_WORKSPACE", str(system.folder))
    body = f'echo begin $QUANTUM_TASK_ID >> "{notes}"\n{gate}\n{line}\necho end $QUANTUM_TASK_ID >> "{notes}"'
    system.agent(name, body, 'effects = "none"', 'timeout = "5m"')


def noted(system: System, word: str) -> list[str]:
    """The tasks that have begun, or ended, each as often as it did."""
    path = system.folder / "notes"
    lines = path.read_text().splitlines() if path.exists() else []
    return [line.split()[1] for line in lines if line.startswith(word)]


def _short(system: System) -> None:
    """Short of room: nothing new is taken or started, what runs ends, a cancel is obeyed, people hear of it once."""
    running = [system.ask("submit", "gated")["tasks"][0]["id"] for _ in range(2)]
    system.until(lambda: len(noted(system, "begin")) == 2, what="both run")
    filler = fill(system, LEAST // 2)
    system.until(lambda: system.quantum("submit", "gated").code, what="it is refused")
    refused = system.quantum("submit", "gated")
    status, problem = system.http("POST", "/tasks/queue", {"agent": "gated"})
    print(f"exit {refused.code}: {refused.err.strip()}; HTTP {status} {problem['code']}")
    assert "the disk has" in refused.err and "quantum rotate logs" in refused.err
    assert (status, problem["code"]) == (507, "disk_low")
    system.until(
        lambda: any("the disk has" in each["held_reason"] for each in system.ask("runner", "list")["runners"]),
        what="the runner says why it starts nothing",
    )
    system.quantum("cancel", running[1], code=0)
    with Runs(system.folder).open_gate("gated"):
        system.until(lambda: system.task(running[0])["state"] == "succeeded", what="what ran has ended")
    system.until(lambda: system.task(running[1])["state"] == "cancelled", what="the cancel is obeyed")
    told = system.until(
        lambda: [each for each in system.ask("alerts")["alerts"] if each["cause"] == "disk_low"], what="an alert"
    )
    assert [alert["count"] for alert in told] == [1]
    filler.unlink()


def _full(system: System, count: int, *, reserve: bool) -> int:
    """Full to the last byte while tasks end; returns how many ends were recorded before there was room again."""
    begun = len(noted(system, "begin"))
    before = {name: process.pid for name, process in system.running.processes.items()}
    system.until(lambda: not system.ask("runner", "list")["runners"][0]["held_reason"], what="it heals by itself")
    ids = [system.ask("submit", "noisy")["tasks"][0]["id"] for _ in range(count)]
    system.until(lambda: len(noted(system, "begin")) == begun + count, what="all run")
    fill(system, 0)
    full = shutil.disk_usage(system.root).free
    ended = len(noted(system, "end"))
    with Runs(system.folder).open_gate("noisy"):
        system.until(lambda: len(noted(system, "end")) == ended + count, what="all scripts have ended on a full disk")
    if reserve:
        system.until(lambda: "succeeded" in [system.task(id)["state"] for id in ids], what="the reserve takes an end")
    filler = fill(system, 0)
    system.until(lambda: system.quantum("submit", "noisy").code != 0, what="submits are refused")
    recorded = [system.task(id)["state"] for id in ids].count("succeeded")
    after = {name: process.pid for name, process in system.running.processes.items()}
    filler.unlink()
    system.until(lambda: all(system.task(id)["state"] == "succeeded" for id in ids), what="every end is recorded")
    print(f"{full} bytes free; {recorded} of {count} ends were recorded on the full disk, all of them after it")
    assert full < 64 * 1024 and before == after, "no service has ended of it"
    assert sorted(noted(system, "end")[ended:]) == sorted(ids), "each has run once"
    said = "".join(path.read_text(errors="replace") for path in system.workspace.logs.glob("*.out"))
    assert "Traceback" not in said, said[-3000:]
    with Runs(system.folder).open_gate("noisy"):
        system.until(lambda: system.quantum("run", "noisy").code == 0, what="work goes on")
    return recorded


@pytest.mark.long
def test_short_then_full_then_well_again(make_system: MakeSystem) -> None:
    with small_disk(make_system, least=LEAST, reserve=RESERVE) as system:
        noting(system, "gated", "echo done")
        noting(system, "noisy", NOISE)
        system.up()
        _short(system)
        assert _full(system, 4, reserve=True) > 0


@pytest.mark.long
def test_without_a_reserve_ends_wait_for_room_and_none_is_lost(make_system: MakeSystem) -> None:
    with small_disk(make_system, least=0, reserve=0) as system:
        noting(system, "noisy", NOISE)
        system.up()
        recorded = [_full(system, 10, reserve=False) for _ in range(3)]
        print(f"recorded while it was full: {recorded} of 10 each")
        assert sum(recorded) < 30, "none had to wait: the rare event did not happen"
