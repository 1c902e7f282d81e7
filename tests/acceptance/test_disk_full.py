"""A disk that is short takes nothing new, and one that is full loses nothing; both heal by themselves."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import suppress
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


@pytest.fixture
def small(make_system: MakeSystem) -> Iterator[System]:
    """A system whose workspace is on a disk of its own, which is small."""
    if os.geteuid() != 0:
        missing("a disk of its own needs root")
    system = make_system(disk_free_bytes_min=LEAST, disk_reserve_bytes=RESERVE, lease_seconds=4, heartbeat_seconds=1)
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


def test_a_short_disk_refuses_submits_and_holds_starts_and_ends_what_runs(small: System) -> None:
    noting(small, "gated", "echo done")
    small.up()
    running = [small.ask("submit", "gated")["tasks"][0]["id"] for _ in range(2)]
    small.until(lambda: len(noted(small, "begin")) == 2, what="both run")
    filler = fill(small, LEAST // 2)
    small.until(lambda: small.quantum("submit", "gated").code != 0, what="submits are refused")
    refused = small.quantum("submit", "gated")
    status, problem = small.http("POST", "/tasks/queue", {"agent": "gated"})
    print(f"exit {refused.code}: {refused.err.strip()}; HTTP {status} {problem['code']}")
    assert "the disk has" in refused.err and "quantum rotate logs" in refused.err
    assert (status, problem["code"]) == (507, "disk_low")
    small.until(
        lambda: any("the disk has" in each["held_reason"] for each in small.ask("runner", "list")["runners"]),
        what="the runner says why it starts nothing",
    )
    small.quantum("cancel", running[1], code=0)
    with Runs(small.folder).open_gate("gated"):
        small.until(lambda: small.task(running[0])["state"] == "succeeded", what="what ran has ended")
    small.until(lambda: small.task(running[1])["state"] == "cancelled", what="a cancel is obeyed")
    alerts = small.until(
        lambda: [each for each in small.ask("alerts")["alerts"] if each["cause"] == "disk_low"], what="an alert"
    )
    assert len(alerts) == 1 and alerts[0]["count"] == 1
    filler.unlink()
    accepted = small.until(lambda: small.quantum("submit", "gated", "--json"), what="it is taken again")
    small.until(lambda: (a := small.quantum("submit", "gated")).code == 0 and a, what="it heals by itself")
    del accepted


def test_a_full_disk_loses_no_task_and_no_end(small: System) -> None:
    noisy = "i=0; while [ $i -lt 2000 ]; do echo line $i of a task on a full disk, which is logged; i=$((i+1)); done"
    noting(small, "noisy", noisy)
    small.up()
    before = {name: process.pid for name, process in small.running.processes.items()}
    ids = [small.ask("submit", "noisy")["tasks"][0]["id"] for _ in range(8)]
    small.until(lambda: len(noted(small, "begin")) == 8, what="all run")
    filler = fill(small, 0)
    full = shutil.disk_usage(small.root).free
    with Runs(small.folder).open_gate("noisy"):
        small.until(lambda: len(noted(small, "end")) == 8, what="all scripts have ended on a full disk")
    fill(small, 0)
    small.until(lambda: small.quantum("submit", "noisy").code != 0, what="submits are refused")
    recorded = sum(small.task(id)["state"] == "succeeded" for id in ids)
    after = {name: process.pid for name, process in small.running.processes.items()}
    filler.unlink()
    small.until(lambda: all(small.task(id)["state"] == "succeeded" for id in ids), what="every end is recorded")
    print(f"{full} bytes free when they ended; {recorded} of 8 ends were recorded on the full disk, all after it")
    assert full < 64 * 1024
    assert before == after, "no service has ended of it"
    assert sorted(noted(small, "begin")) == sorted(ids) == sorted(noted(small, "end")), "each has run once"
    said = "".join(path.read_text(errors="replace") for path in small.workspace.logs.glob("*.out"))
    assert "Traceback" not in said, said[-3000:]
    with Runs(small.folder).open_gate("noisy"):
        small.until(lambda: (a := small.quantum("run", "noisy")).code == 0 and a, what="work goes on")
