"""What ann has on her machine, and what she looks at."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from tests.vm.machine import AUTOMATION, Machine
from tests.waiting import until

T = TypeVar("T")
PATIENCE_SECONDS = 600.0
"""Emulated on a busy host, a second can take a minute."""
UNITS = ("safety", "coordinator", "agent-runner", "mcp")


def agent(machine: Machine, name: str, *lines: str, **manifest: str) -> None:
    """Write an agent of shell; `manifest` holds values as TOML writes them."""
    settings = (f"# {key} = {value}" for key, value in manifest.items())
    text = "\n".join(("#!/bin/sh", "# /// script", "# [tool.quantum]", *settings, "# ///", *lines, ""))
    machine.write(f"{AUTOMATION}/agents/{name}.sh", text, "755")


def told_outside(machine: Machine) -> list[list[str]]:
    """The words of each line that scripts have told the world outside."""
    if not machine.outside.exists():
        return []
    return [line.split() for line in machine.outside.read_text(errors="replace").splitlines() if line.split()]


def eventually(look: Callable[[], T | None], what: str) -> T:
    """Look until there is something true."""
    return until(look, what, within=PATIENCE_SECONDS)


def until_healthy(machine: Machine) -> None:
    """Until every unit of ann's is active and the gateway says that all is well."""
    eventually(lambda: healthy(machine), "all units are active and the gateway says ok")


def healthy(machine: Machine) -> bool:
    """See `until_healthy`; asked as a plain process, by which nobody is logged in."""
    # curl first: it costs a tenth of what a Python does.
    if '"ok"' not in machine.run("curl", "-s", "http://127.0.0.1:5005/health", code=None).out:
        return False
    return machine.quantum("service", "status", code=None).code == 0


def logged_in(machine: Machine) -> list[str]:
    """Who is logged in; lingering is no session."""
    shown = machine.run("loginctl", "list-sessions", "--no-legend", by="root").out
    return [line for line in shown.splitlines() if line.strip()]


def processes_of_ann(machine: Machine) -> list[str]:
    """What runs as her."""
    return machine.run("pgrep", "-u", "ann", "-a", by="root", code=None).out.splitlines()


def tasks(machine: Machine) -> dict[str, str]:
    """Each task's state by its id."""
    seen = eventually(lambda: _asked(machine, "tasks", "--limit", "1000"), "the coordinator answers")
    return {one["id"]: one["state"] for one in seen["tasks"]}


def task(machine: Machine, task_id: str) -> dict[str, Any]:
    """All that is known of one."""
    found: dict[str, Any] = eventually(lambda: _asked(machine, "tasks", task_id), "the coordinator answers")["task"]
    return found


def submit(machine: Machine, name: str) -> str:
    """Its id."""
    return str(machine.ask("submit", name)["tasks"][0]["id"])


def found_by_doctor(machine: Machine, part: str) -> list[dict[str, Any]]:
    """What `quantum doctor` says of a part, however slow the machine is."""
    findings = machine.ask("doctor", "--within", "120s", code=None)["findings"]
    return [one for one in findings if one["part"] == part]


def _asked(machine: Machine, *words: str) -> Any:
    """The document; nothing where a busy machine has not answered in time."""
    done = machine.quantum(*words, "--json", code=None)
    return done.document if done.code == 0 else None
