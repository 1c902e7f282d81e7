"""The installation: each check is a function that says how it found things and what to do."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path

from cli.doctor.findings import Finding, bad, each, good, note
from cli.projects_file import ProjectsFile
from cli.running import read_running
from cli.session import Connected, Session
from clients.coordinator_values import AgentState
from foundation.quantities import format_size
from foundation.settings import explain

SQLITE_MIN = (3, 51, 3)
DISK_FREE_LITTLE = 2 * 1024**3
DISK_FREE_FAR_TOO_LITTLE = 256 * 1024**2


def findings(session: Session) -> Iterator[Finding]:
    """Every check in turn; one that fails by itself is a finding, too."""
    return each([(check.__name__.strip("_"), partial(check, session)) for check in _CHECKS], bad)


def _python(session: Session) -> Iterator[Finding]:
    yield good("python", f"{platform.python_version()} at {sys.executable}")


def _platform(session: Session) -> Iterator[Finding]:
    if sys.platform == "darwin":
        yield note("platform", "macOS: designed for, not run there yet.", "Report what does not work as written.")
    else:
        yield good("platform", f"{platform.system()} {platform.release()}, {os.cpu_count()} processors")


def _sqlite(session: Session) -> Iterator[Finding]:
    import apsw

    version = apsw.sqlite_lib_version()
    wanted = ".".join(map(str, SQLITE_MIN))
    if tuple(map(int, version.split(".")[:3])) < SQLITE_MIN:
        yield bad("sqlite", f"{version} can damage a database in WAL mode.", f"Install one from {wanted} on.")
    else:
        yield good("sqlite", f"{version}, from {wanted} on")


def _git(session: Session) -> Iterator[Finding]:
    path = shutil.which("git")
    if path:
        yield good("git", path)
    else:
        yield bad("git", "is not installed; agents that look at repositories need it.", "sudo apt-get install git")


def _workspace(session: Session) -> Iterator[Finding]:
    workspace = session.workspace
    if not workspace.state.is_dir():
        yield bad("workspace", f"{workspace.root} has not been initialised.", "quantum init")
        return
    yield good("workspace", str(workspace.root))


def _settings(session: Session) -> Iterator[Finding]:
    changed = [one for one in explain(environ=session.environ, workspace=session.workspace) if one.origin != "default"]
    yield good("settings", f"{len(changed)} are set, the others have their defaults")


def _projects(session: Session) -> Iterator[Finding]:
    for name, folder in ProjectsFile(session.workspace.projects_file).read().items():
        if (session.workspace.root / Path(folder).expanduser()).is_dir():
            yield good("project", f"{name}: {folder}")
        else:
            yield bad("project", f"{name}: {folder} is no folder.", f"quantum projects remove {name}")


def _disk(session: Session) -> Iterator[Finding]:
    free = shutil.disk_usage(session.workspace.root).free
    said = f"{format_size(free)} free"
    if free < DISK_FREE_FAR_TOO_LITTLE:
        yield bad("disk", said, "Make room: a full disk takes no new task.")
    elif free < DISK_FREE_LITTLE:
        yield note("disk", said, "Make room soon.")
    else:
        yield good("disk", said)


def _services(session: Session) -> Iterator[Finding]:
    running = read_running(session.workspace)
    if running is None:
        yield note("services", "nothing runs", "quantum up --detach")
        return
    if "up" not in running.alive:
        yield bad("services", "the supervisor was killed and left its processes behind.", "quantum down")
    with session.connected() as connected:
        for name in ("safety", "coordinator", *running.runners):
            yield _service(session, connected, name)
    word = running.gateway.health(session.workspace)
    if word == "ok":
        yield good("gateway", f"{running.gateway.url}/ says ok")
    else:
        yield bad("gateway", f"{running.gateway.url}/health says {word or 'nothing'}.", "quantum status")


def _service(session: Session, connected: Connected, name: str) -> Finding:
    if connected.serves(name):
        return good("services", f"{name} serves")
    return bad("services", f"{name} does not serve.", f"Its words are in {session.workspace.logs}/{name}.out.")


def _runners(session: Session) -> Iterator[Finding]:
    running = read_running(session.workspace)
    if running is None:
        yield note("runners", "each tries at its start what its machine can do", "quantum up --detach")
        return
    with session.connected() as connected:
        views = [connected.call(connected.runner(name).describe()) for name in running.runners]
    for view in views:
        yield _limits(view.name, view.enforcement)
    for view in views:
        if not view.sandbox:
            yield bad("sandbox", f"{view.name} has none: agents that ask for one are refused.", view.sandbox_missing)
        elif view.sandbox_missing:
            found = f"{view.name} makes them by {view.sandbox}, which can do less, and has no run_as."
            yield note("sandbox", found, view.sandbox_missing)
        else:
            yield good("sandbox", f"{view.name}: {view.sandbox}; outside of one, and of run_as, secrets are reachable")


def _limits(runner: str, enforcement: Mapping[str, str]) -> Finding:
    """How each limit of a tree is held there."""
    by = {how: [name for name in sorted(enforcement) if enforcement[name] == how] for how in ("kernel", "supervised")}
    said = [
        f"the kernel holds {', '.join(by['kernel'])}" if by["kernel"] else "",
        f"the warden measures {', '.join(by['supervised'])}" if by["supervised"] else "",
    ]
    loose = [name for name, how in sorted(enforcement.items()) if how == "none"]
    found = f"{runner}: {'; '.join(filter(None, said))}"
    if not loose:
        return good("limits", found)
    return note("limits", f"{found}; nobody holds {', '.join(loose)}", "A cgroup that may be written holds them all.")


def _agents(session: Session) -> Iterator[Finding]:
    if read_running(session.workspace) is None:
        yield note("agents", "their manifests are read once everything runs", "quantum up --detach")
        return
    with session.connected() as connected:
        agents = connected.call(connected.coordinator.list_agents())
        listed = connected.call(connected.coordinator.list_projects())
    for agent in agents:
        if agent.state is AgentState.INVALID:
            yield bad("agents", f"{agent.name}: {' '.join(agent.faults)}", f"Correct {agent.source}.")
        for notice in agent.notices:
            yield note("agents", f"{agent.name}: {notice}")
    for fault in listed.faults:
        yield bad("projects", fault, f"Correct {session.workspace.projects_file}.")
    sound = sum(agent.state is not AgentState.INVALID for agent in agents)
    yield good("agents", f"{sound} of {len(agents)} can be run")


_CHECKS: tuple[Callable[[Session], Iterator[Finding]], ...] = (
    _python,
    _platform,
    _sqlite,
    _git,
    _workspace,
    _settings,
    _projects,
    _disk,
    _services,
    _runners,
    _agents,
)
