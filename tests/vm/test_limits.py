"""Limits of a tree below a cgroup that systemd has delegated to a user who is not root, held by the kernel."""

from __future__ import annotations

import re
from functools import partial
from typing import Any

import pytest

from tests.runner.escapes import NAMES
from tests.vm.conftest import NewMachine
from tests.vm.machine import Machine
from tests.vm.scene import agent, eventually, found_by_doctor, submit, task, until_healthy

pytestmark = [pytest.mark.long, pytest.mark.timeout(7200)]

HOG = "/opt/quantum/tests/vm/guest/hog.py"
ESCAPES = "/opt/quantum/tests/runner/escapes.py"
GATE = "/home/ann/gate"
LIMIT_MIB = 256


def test_the_kernel_holds_trees_for_a_user_who_is_not_root(new_machine: NewMachine) -> None:
    with new_machine() as machine:
        until_healthy(machine)
        # A tree that could move into the swap would stay below any limit of its memory.
        swap = "fallocate -l 1G /swap && chmod 600 /swap && mkswap /swap && swapon /swap"
        machine.run("sh", "-c", swap, by="root")
        agent(machine, "hog", f"exec python3 {HOG} memory 8 100", memory=f'"{LIMIT_MIB}MB"', effects='"none"')
        agent(machine, "bomb", f"exec python3 {HOG} processes 300", max_processes="64", effects='"none"')
        agent(machine, "busy", f"exec python3 {HOG} cpu 4", cpu="0.5", effects='"none"')

        assert machine.run("id", "-u").out.strip() == "1000"
        limits = [one["found"] for one in found_by_doctor(machine, "limits")]
        assert len(limits) == 1 and re.search(r"the kernel holds cpu, .*memory.*processes", limits[0]), limits
        _require_held(machine, "kernel")
        escaped = _escapes(machine)
        print(f"escapes: {len(escaped)} programs, {sum(escaped.values())} survivors of their tasks")
        assert not any(escaped.values()), escaped

        # The controls: the warden's own looks, and for the escapes nobody at all.
        machine.quantum("config", "set", "kernel_limits", "off")
        machine.quantum("service", "restart", timeout=900)
        _require_held(machine, "supervised")
        free = _unheld(machine)
        print(f"escapes: of {len(free)} programs that nobody watches {sum(map(bool, free.values()))} have survivors")
        assert all(free.values())


def _require_held(machine: Machine, how: str) -> None:
    hog = _run(machine, "hog", how, "memory")
    assert re.fullmatch(r"killed: memory 256 MB limit, tree used [\d.]+ MB.*", hog["reason"]), hog
    over = hog["usage"]["memory_peak_bytes"] / (1 << 20) - LIMIT_MIB
    print(f"{how}: {hog['reason']}; {over:+.0f} MB over the limit")
    if how == "kernel":
        assert over <= 0
    bomb = _run(machine, "bomb", how, "processes")
    print(f"{how}: {bomb['reason']}; it left {bomb['stragglers']} to be killed")
    assert re.fullmatch(r"killed: processes 64 limit.*", bomb["reason"]), bomb
    if how == "kernel":
        busy = _run(machine, "busy", how, "cpu")
        share = float(re.search(r"used ([\d.]+) of a processor", busy["output_tail"])[1])  # type: ignore[index]
        print(f"{how}: four loops took {share:.2f} of a processor with cpu = 0.5")
        assert busy["state"] == "succeeded" and share < 0.75
    left = machine.run("pgrep", "-f", HOG, code=None).out.split()
    assert not left, "nothing of any of them lives on"


def _run(machine: Machine, name: str, how: str, limit: str) -> dict[str, Any]:
    """One task of an agent, once it is over; the limit was held as it was meant to be."""
    task_id = submit(machine, name)
    seen = eventually(lambda: _ended(machine, task_id), f"{name} is over")
    held = {one: how["enforcement"] for one, how in seen["limits"].items()}
    assert held[limit] == how, held
    return seen


def _ended(machine: Machine, task_id: str) -> dict[str, Any] | None:
    seen = task(machine, task_id)
    return seen if seen["state"] in ("succeeded", "failed", "dead", "needs_decision") else None


def _escapes(machine: Machine) -> dict[str, int]:
    """Survivors of each program that tries to outlive its task."""
    machine.run("touch", GATE)
    for name in NAMES:
        agent(
            machine,
            f"escape-{name}".replace("_", "-"),
            f"exec python3 {ESCAPES} {name} marker-{name} {GATE}",
            effects='"none"',
        )
    tasks = {name: submit(machine, f"escape-{name}".replace("_", "-")) for name in NAMES}
    for name, task_id in tasks.items():
        eventually(partial(_ended, machine, task_id), f"{name} is over")
    return {name: _alive(machine, name) for name in NAMES}


def _unheld(machine: Machine) -> dict[str, int]:
    """The same programs without Quantum; their survivors are ended by their pids."""
    found = {}
    for name in NAMES:
        machine.run("rm", "-f", f"{GATE}.over")
        machine.start("python3", ESCAPES, name, f"marker-{name}", GATE)
        found[name] = eventually(partial(_alive, machine, name), f"{name} has survivors")
        machine.run("touch", f"{GATE}.over")
        eventually(partial(_killed, machine, name), f"{name} is ended")
    return found


def _alive(machine: Machine, name: str) -> int:
    return len(machine.run("pgrep", "-f", f"marker-{name}", code=None).out.split())


def _killed(machine: Machine, name: str) -> bool:
    for pid in machine.run("pgrep", "-f", f"marker-{name}", code=None).out.split():
        machine.run("kill", "-9", pid, code=None)
    return not _alive(machine, name)
