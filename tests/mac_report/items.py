"""What is tried: each an act on the real thing, with its control where there is one."""

from __future__ import annotations

import fcntl
import json
import os
import platform
import signal
import subprocess
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from cli.processes.identity import process
from cli.processes.running import read_running
from cli.service.parts import PARTS
from foundation.clock import SystemClock
from foundation.files import sync
from tests.mac_report.report import IS_MAC, Failed, Item, Scene, need, which

_BACK_WITHIN_SECONDS = 20.0


def until(look: Callable[[], object], what: str, within: float = 30.0) -> float:
    """Look again and again until something holds; seconds that took. Fails after `within`."""
    clock, pause = SystemClock(), threading.Event()
    at = clock.boottime()
    while not look():
        if clock.boottime() - at > within:
            raise Failed(f"not within {within:g} s: {what}")
        pause.wait(0.1)
    return clock.boottime() - at


def machine(scene: Scene) -> str:
    """Which system this is."""
    known = [
        platform.platform(),
        platform.machine(),
        f"Python {platform.python_version()}",
        f"{os.cpu_count()} processors",
    ]
    if IS_MAC:
        known += scene.run("sw_vers").out.splitlines()
    return "\n".join(known)


def full_sync(scene: Scene) -> str:
    """Write and sync a small file fifty times; on a Mac F_FULLFSYNC reaches the drive itself."""
    clock, path = SystemClock(), scene.folder / "sync"
    with path.open("wb") as file:
        at = clock.boottime()
        for _ in range(50):
            file.write(b"x" * 4096)
            file.flush()
            sync(file.fileno())
        took = (clock.boottime() - at) / 50 * 1000
    how = "F_FULLFSYNC" if hasattr(fcntl, "F_FULLFSYNC") else "fsync"
    need(how == "F_FULLFSYNC" or not IS_MAC, "This Python has no F_FULLFSYNC.")
    return f"{how}: {took:.2f} ms each"


def workspace(scene: Scene) -> str:
    """`init`, `up`, an agent, `status`, `stop --all`, `down`, in a folder with a space and an umlaut."""
    scene.workspace.root.mkdir(exist_ok=True)
    scene.quantum("init")
    settings = {"gateway_port": 0, "host_guard": "off"}
    scene.workspace.config_file.write_text(json.dumps(settings))
    scene.quantum("up", "--detach")
    said = scene.quantum("run", "hello").out
    need("Hello from hello" in said, f"hello said: {said}")
    health = json.loads(scene.quantum("status", "--json").out)["health"]
    doctor = scene.quantum("doctor", good=False).out
    scene.quantum("stop", "--all")
    scene.quantum("resume")
    ended = scene.quantum("down").out
    need(read_running(scene.workspace) is None, "something still runs after `down`")
    return f"health {health}\n{ended}\n{doctor}"


def trees(scene: Scene) -> str:
    """A script leaves a process behind: it has ended with its task, and the limits say how they held."""
    mark = scene.folder / "left.pid"
    body = f'python3 -c "import os, sys; sys.exit(0)"; (trap "" TERM; echo $$ > "{mark}"; exec sleep 300) & sleep 1'
    _agent(scene, "leaver", 'memory = "256MB"', body)
    scene.quantum("up", "--detach")
    try:
        task = json.loads(scene.quantum("run", "leaver", "--json", good=False).out.splitlines()[-1])
        need(mark.exists(), "the script did not come so far")
        left = process(int(mark.read_text()))
        need(left is None or not left.alive(), "what the script left behind still runs")
        hog = 'python3 -c "b = bytearray(900_000_000); import time; time.sleep(30)"'
        _agent(scene, "hog", 'memory = "200MB"', hog)
        ended = scene.quantum("run", "hog", good=False)
        need(ended.code != 0, "900 MB below a limit of 200 MB ended well")
        return f"{json.dumps(task, indent=1)[:2500]}\nhog: exit {ended.code}: {ended.said[-300:]}"
    finally:
        scene.quantum("down")


def keychain(scene: Scene) -> str:
    """The user's token lies in the keychain under the label that the runbook looks for, and comes back whole."""
    token = scene.quantum("token", "show").out.strip()
    found = scene.run(which("security"), "find-generic-password", "-l", "quantum-auth", good=False)
    need(found.code == 0, f"`security find-generic-password -l quantum-auth` ended with {found.code}: {found.err}")
    need(token not in found.out, "the token stands in the attributes of its entry")
    return f"an entry with {len(found.out.splitlines())} attributes"


def gauges(scene: Scene) -> str:
    """Processors and memory as the host guard sees them, idle and with one processor busy."""
    from services.agent_runner.adapters.host_darwin import DarwinGauges
    from services.agent_runner.warden.host import RunMark

    seen = DarwinGauges(RunMark("r", 0, "", os.getpid(), 0), lambda: {os.getpid()})
    clock = SystemClock()
    seen.read(clock.boottime(), [])
    until(lambda: sum(range(200_000)) and os.times().user > 1.5, "a second of work", within=30)
    reading = seen.read(clock.boottime(), [])
    need(0 < reading.ours <= reading.busy <= 1, f"shares that cannot be: {reading}")
    need(0 < reading.memory_available_bytes < reading.memory_total_bytes, f"memory that cannot be: {reading}")
    return str(reading)


def leftovers(scene: Scene) -> str:
    """The process group of a test of a merge is ended with it."""
    from merge_guard.leftovers_darwin import Leftovers

    child = subprocess.Popen(["/bin/sh", "-c", "sleep 300 & wait"], start_new_session=True)
    with Leftovers() as left:
        need(left.end(child.pid, 5.0), "it says that something is left")
    need(child.wait(10) == -signal.SIGKILL, "its first process was not killed")
    return "ended"


def sandbox(scene: Scene) -> str:
    """A script in a sandbox writes where it may and nowhere else, and does not see the workspace's state."""
    allowed, forbidden = scene.workspace.root / "out", scene.folder / "forbidden"
    allowed.mkdir(exist_ok=True)
    body = f'echo in > out/in; echo out > "{forbidden}" && exit 3; ls .quantum && exit 4; exit 0'
    _agent(scene, "boxed", 'sandbox = { write = ["out"] }', body)
    _agent(scene, "free", "", f'echo out > "{forbidden}"')
    scene.quantum("up", "--detach")
    try:
        boxed = scene.quantum("run", "boxed", good=False)
        need(boxed.code == 0, f"in its sandbox it ended with {boxed.code}: {boxed.said[-600:]}")
        need((allowed / "in").exists() and not forbidden.exists(), "it wrote where it may not, or not where it may")
        scene.quantum("run", "free")
        need(forbidden.exists(), "the control: without a sandbox it could not write there either")
        return boxed.said[-300:]
    finally:
        scene.quantum("down")


def property_lists(scene: Scene) -> str:
    """`plutil` takes what we write; so does our own model."""
    from cli.service.acting import install
    from cli.service.launchd_rules import faults

    written = install(scene.workspace, {**os.environ, "QUANTUM_KEYCHAIN": "os"})
    said = []
    for path in written.files:
        said.append(scene.run(which("plutil"), "-lint", str(path)).said)
        found = faults(path.read_bytes(), file_name=path.name, mode=path.stat().st_mode)
        need(not found, f"{path.name}: {found}")
    return "\n".join(said)


def launchd(scene: Scene) -> str:
    """Four jobs: loaded, killed, back; a wrong setting is said once; unloaded without a trace; the old verbs work."""
    said = [scene.quantum("service", "install").out]
    listed = scene.run("launchctl", "list").out
    ours = [line for line in listed.splitlines() if "quantum" in line and scene.workspace.key12 in line]
    need(len(ours) >= len(PARTS), f"launchctl list shows {ours}")
    scene.quantum("run", "hello")
    said += _runbook_link(scene)
    for part in PARTS:
        before = _pid(scene, part.name)
        os.kill(before, signal.SIGKILL)
        others = partial(_is_another, scene, part.name, before)
        took = until(others, part.name, _BACK_WITHIN_SECONDS)
        said.append(f"{part.name} killed: back after {took:.1f} s")
    until(lambda: _healthy(scene), "all is well after the kills", 60)
    said.append(scene.run("launchctl", "print", f"gui/{os.getuid()}/{PARTS[0].label(scene.workspace)}").out)
    scene.quantum("service", "stop")
    settings = scene.workspace.config_file.read_bytes()
    scene.workspace.config_file.write_text('{"gateway_prot": 1}')
    said.append(f"wrong setting: {scene.quantum('service', 'start', good=False).said[-300:]}")
    scene.workspace.config_file.write_bytes(settings)
    scene.quantum("service", "start")
    scene.quantum("service", "stop")
    agents = Path.home() / "Library" / "LaunchAgents"
    old = [
        scene.run("launchctl", verb, "-w", str(agents / f"{PARTS[0].label(scene.workspace)}.plist"), good=False)
        for verb in ("load", "unload")
    ]
    said += [f"launchctl {verb} -w: {one.code} {one.said}" for verb, one in zip(("load", "unload"), old, strict=True)]
    scene.quantum("service", "uninstall")
    need(not list(agents.glob(f"*{scene.workspace.key12}*")), "a property list is left")
    return "\n".join(said)


def _runbook_link(scene: Scene) -> list[str]:
    """The runbook's own line, `launchctl load com.quantum.mcp.plist`, means the list that was installed."""
    from cli.runbook.plist_darwin import PLACE, written_list

    scene.quantum("runbook", "install")
    link = scene.workspace.root / PLACE
    need(link.resolve() == written_list(scene.workspace.root).resolve(), f"{PLACE} leads to {link.resolve()}")
    said = scene.run("plutil", "-lint", str(link)).said
    scene.quantum("runbook", "uninstall")
    return [said]


def hooks(scene: Scene) -> str:
    """The merge guard's hooks go into a repository of this machine's git, stand, and come out again."""
    which("git")
    root = scene.folder / "repository"
    scene.run("git", "init", "-q", str(root))
    scene.quantum("projects", "add", "report", str(root))
    scene.quantum("hooks", "install", "report", good=False)
    seen = scene.quantum("hooks", "status", "report", good=False).out
    need("guarded" in seen or "on" in seen, f"the hooks do not stand: {seen}")
    scene.quantum("hooks", "uninstall", "report")
    return seen


def notification(scene: Scene) -> str:
    """A message on the screen, with text that would be part of a script if it were not an argument."""
    done = scene.run(
        which("osascript"),
        *("-e", "on run argv\ndisplay notification (item 2 of argv) with title (item 1 of argv)\nend run"),
        *("Quantum: report", 'It says "done" \\ & nothing else'),
    )
    return f"exit {done.code}; was there a message on the screen?"


def _agent(scene: Scene, name: str, manifest: str, body: str) -> None:
    head = ["#!/bin/sh", "# /// script", "# [tool.quantum]", '# effects = "idempotent"']
    head += [f"# {manifest}"] if manifest else []
    path = scene.workspace.agents / f"{name}.sh"
    path.write_text("\n".join([*head, "# ///", body, ""]))
    path.chmod(0o755)


def _units(scene: Scene) -> dict[str, Any]:
    shown = json.loads(scene.quantum("service", "status", "--json", good=False).out)
    return {unit["name"]: unit for unit in shown["units"]}


def _pid(scene: Scene, part: str) -> int:
    return int(_units(scene)[part]["pid"] or 0)


def _is_another(scene: Scene, part: str, before: int) -> bool:
    return _pid(scene, part) not in (0, before)


def _healthy(scene: Scene) -> bool:
    running = read_running(scene.workspace)
    return running is not None and running.gateway.health(scene.workspace) == "ok"


_WARDEN = "services/agent_runner/warden"
ITEMS = (
    Item("machine", "which system this is", machine, needs_mac=False),
    Item("full-sync", "a sync reaches the drive", full_sync, ("foundation/files.py",), needs_mac=False),
    Item("workspace", "init, up, run, stop, down", workspace, (f"{_WARDEN}/host_darwin.py",), needs_mac=False),
    Item("trees", "what a script leaves behind ends", trees, (f"{_WARDEN}/host_darwin.py",)),
    Item("keychain", "secrets lie in the keychain", keychain, ("foundation/secrets.py",)),
    Item("gauges", "the host guard's figures", gauges, ("services/agent_runner/adapters/host_darwin.py",)),
    Item("leftovers", "a test's process group ends", leftovers, ("merge_guard/leftovers_darwin.py",)),
    Item("sandbox", "sandbox-exec holds", sandbox, (f"{_WARDEN}/sandbox_darwin.py",)),
    Item("hooks", "hooks in a repository", hooks, ("cli/hooks/scripts.py",), needs_mac=False),
    Item("property-lists", "plutil and our model agree", property_lists, ("cli/service/launchd_rules.py",)),
    Item("launchd", "services of launchd", launchd, ("cli/service/launchd_darwin.py", "cli/runbook/plist_darwin.py")),
    Item("notification", "a message on the screen", notification, ("services/safety/adapters/alert_channels.py",)),
)
"""In an order in which each finds what it needs: `workspace` makes the one in which the others work."""
