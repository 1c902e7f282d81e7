"""What the units say of memory and tasks is what the kernel holds, and who exceeds it is started again."""

from __future__ import annotations

import re

import pytest

from tests.vm.conftest import NewMachine
from tests.vm.image import SOURCE, USER
from tests.vm.machine import Machine
from tests.vm.scene import UNITS, eventually, until_healthy

pytestmark = [pytest.mark.long, pytest.mark.timeout(7200)]

UNIT_FOLDER = f"/home/{USER}/.config/systemd/user"
RUNTIME = "/run/user/1000"
BEYOND_MIB = 2200
"""More than MemoryMax of safety, and less than the machine has."""


def test_the_kernel_holds_what_the_units_say(new_machine: NewMachine) -> None:
    with new_machine() as machine:
        until_healthy(machine)
        names = _unit_names(machine)
        for name in UNITS:
            text = (SOURCE / "systemd" / f"quantum-{name}.service").read_text()
            written = dict(re.findall(r"^(MemoryMax|TasksMax)=(\S+)$", text, re.MULTILINE))
            group = "/sys/fs/cgroup" + _shown(machine, names[name], "ControlGroup")
            held = machine.run("cat", f"{group}/memory.max", f"{group}/pids.max").out.split()
            wanted = [_in_bytes(written.get("MemoryMax", "max")), written["TasksMax"]]
            print(f"{name}: memory.max, pids.max = {held}")
            assert held == wanted, name
            shown = [_shown(machine, names[name], one) for one in ("MemoryMax", "TasksMax")]
            assert shown == [wanted[0].replace("max", "infinity"), wanted[1]]

        machine.run("install", "/opt/quantum/tests/vm/guest/eating.py", _packages(machine), by="root")
        machine.run("sh", "-c", f"echo 'import eating' > {_packages(machine)}/eating.pth", by="root")
        safety = names["safety"]
        machine.run("systemctl", "--user", "restart", safety)
        until_healthy(machine)

        before = _shown(machine, safety, "MainPID"), int(_shown(machine, safety, "NRestarts"))
        _have_it_eat(machine, "memory", BEYOND_MIB)
        eventually(lambda: int(_shown(machine, safety, "NRestarts")) > before[1], "systemd has started it again")
        until_healthy(machine)
        assert _shown(machine, safety, "MainPID") != before[0]
        said = machine.run("dmesg", by="root").out
        print("the kernel: " + next(line for line in said.splitlines() if "Killed process" in line))
        assert "CONSTRAINT_MEMCG" in said and safety in said

        _have_it_eat(machine, "threads", 500)
        came = int(eventually(lambda: _ate(machine), "it can have no more threads").split()[0])
        print(f"threads that safety could start beside its own below TasksMax=128: {came}")
        assert came < 128
        machine.run("systemctl", "--user", "restart", safety)
        until_healthy(machine)

        # The control: without the limit it comes to its end, and nobody kills it.
        machine.run("systemctl", "--user", "set-property", "--runtime", safety, "MemoryMax=infinity")
        unlimited = _shown(machine, safety, "MainPID")
        _have_it_eat(machine, "memory", BEYOND_MIB)
        assert eventually(lambda: _ate(machine), "it has all that it wanted").startswith(str(BEYOND_MIB))
        assert _shown(machine, safety, "MainPID") == unlimited


def _unit_names(machine: Machine) -> dict[str, str]:
    listed = machine.run("ls", UNIT_FOLDER).out.split()
    return {name: next(one for one in listed if one.startswith(f"quantum-{name}-")) for name in UNITS}


def _shown(machine: Machine, unit: str, name: str) -> str:
    return machine.run("systemctl", "--user", "show", unit, f"--property={name}", "--value").out.strip()


def _in_bytes(size: str) -> str:
    return str(int(size[:-1]) << 30) if size.endswith("G") else size


def _packages(machine: Machine) -> str:
    return machine.run("sh", "-c", "echo /opt/venv/lib/python3*/site-packages").out.strip()


def _have_it_eat(machine: Machine, what: str, count: int) -> None:
    machine.run("rm", "-f", f"{RUNTIME}/ate-safety")
    machine.run("sh", "-c", f"echo {what} {count} > {RUNTIME}/eat.part && mv {RUNTIME}/eat.part {RUNTIME}/eat-safety")


def _ate(machine: Machine) -> str:
    """How far it came, once it is over."""
    told = machine.run("cat", f"{RUNTIME}/ate-safety", code=None).out
    return told if told.endswith("over") else ""
