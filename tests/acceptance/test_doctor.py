"""`quantum doctor` beside a system that runs: what is done to it is seen in its own line, and the cure mends it."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.acceptance.faults import Fault, Ward
from tests.acceptance.system import System
from tests.acceptance.test_doctor_faults import marks, show

CHOSEN = {"backups": "WARN"}


@pytest.fixture(scope="module")
def bed() -> Iterator[System]:
    """A workspace in a repository whose merges are guarded, with everything up; each fault leaves it as it found it."""
    system = System.make({"script_retry_seconds": 0})
    try:
        system.init()
        for words in (["init", "-q"], ["config", "user.email", "a@example.org"], ["config", "user.name", "Ann"]):
            subprocess.run(["git", *words], cwd=system.root, check=True)
        system.workspace.alert_config.write_text('{"channels": {"desktop": {"level": "critical"}}}')
        system.agent("fails", "exit 3", "retries = 0")
        system.up()
        system.quantum("hooks", "install", code=0)
        yield system
    finally:
        system.end()


@pytest.fixture
def ward(bed: System) -> Iterator[Ward]:
    with ExitStack() as stack:
        yield Ward(bed, stack)


def hook(ward: Ward) -> Path:
    return ward.workspace.root / ".git" / "hooks" / "post-merge"


def typed(*words: str) -> Callable[[Ward], object]:
    return lambda ward: ward.system.quantum(*words, code=0)


def edit_hook(ward: Ward) -> None:
    path = hook(ward)
    path.write_bytes(path.read_bytes() + b"# mine\n")


def bypass(ward: Ward) -> None:
    subprocess.run(["git", "config", "core.hooksPath", ".husky"], cwd=ward.workspace.root, check=True)


def bad_manifest(ward: Ward) -> None:
    ward.system.agent("crooked", "exit 0", 'memory = "much"')
    ward.system.until(lambda: any(one["name"] == "crooked" for one in ward.system.ask("agents")["agents"]))


def open_breaker(ward: Ward) -> None:
    ward.system.quantum("breaker", "force-open", "agent:hello", "--reason", "planted", code=0)


def kill_runner(ward: Ward) -> None:
    """Its supervisor would start it again at once: both are stopped, as on a machine that hangs."""
    running = ward.system.running
    os.kill(running.processes["runner-local"].pid, signal.SIGSTOP)


ONLINE = (
    Fault(name="hook edited", part="merge guard", plant=edit_hook),
    Fault(name="hook not executable", part="merge guard", plant=lambda ward: hook(ward).chmod(0o644)),
    Fault(name="hooks bypassed", part="merge guard", plant=bypass),
    Fault(name="hooks' token gone", part="merge guard", plant=lambda ward: ward.workspace.hooks_token.unlink()),
    Fault(name="manifest not right", part="agents", plant=bad_manifest),
    Fault(name="breaker open", part="circuit breakers", mark="WARN", plant=open_breaker),
    Fault(name="runner drained", part="runners", mark="WARN", plant=typed("runner", "drain", "local")),
    Fault(name="queue paused", part="queue", mark="WARN", plant=typed("queue", "pause")),
    Fault(name="schedule paused", part="schedules", mark="WARN", plant=typed("schedule", "pause", "cleanup")),
    Fault(name="mode guarded", part="mode", mark="WARN", plant=typed("mode", "guarded", "--reason", "planted")),
    Fault(name="order to stop left", part="emergency stop", mark="WARN", plant=typed("stop", "--all")),
    Fault(
        name="fleet without a cap",
        part="spend caps",
        mark="WARN",
        plant=lambda ward: [
            ward.system.quantum("spend", "cap", "fleet", "none", "--per", per, "--reason", "planted", code=0)
            for per in ("day", "month")
        ],
    ),
    Fault(name="runner hangs", part="services", plant=kill_runner),
)


@pytest.mark.long
@pytest.mark.parametrize("fault", [pytest.param(one, id=one.name) for one in ONLINE])
def test_its_own_line_and_the_cure(ward: Ward, fault: Fault) -> None:
    show(ward, fault, typed=True)


def test_all_is_well_nothing_is_changed_and_a_stop_is_seen(shared: System) -> None:
    """One look at everything, the quick share of what is planted above."""
    shared.workspace.alert_config.write_text('{"channels": {"desktop": {"level": "critical"}}}')
    head = shared.ask("audit", "--limit", "1")["records"][0]["number"]
    before = names(shared)
    found = shared.until(lambda: marked(shared, CHOSEN), what="all is well")
    assert names(shared) == before
    assert shared.ask("audit", "--limit", "1")["records"][0]["number"] == head
    shared.quantum("stop", "--all", "--reason", "a drill", code=0)
    shared.until(lambda: marked(shared, {**CHOSEN, "emergency stop": "WARN"}), what="the order to stop is seen")
    shared.quantum("resume", code=0)
    shared.until(lambda: marks(shared) == found, what="all is as it was")


def marked(system: System, other_than_ok: dict[str, str]) -> dict[str, str]:
    """Every part's mark, once these and no others are not OK."""
    found = marks(system)
    if (faults := {part: mark for part, mark in found.items() if mark != "OK"}) != other_than_ok:
        print(faults)
        return {}
    return found


def names(system: System) -> set[str]:
    """Every file, folder and socket of the workspace; SQLite's and the logs' own are written by who runs."""
    return {str(path) for path in system.folder.rglob("*") if not path.name.startswith(".")}
