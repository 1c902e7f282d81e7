"""What is done with the units of a workspace: written, started, stopped, removed; each act proves what it says."""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

from cli.keys.authority import renew_identities
from cli.processes.identity import Process
from cli.processes.running import (
    prove_gone,
    read_running,
    require_free_port,
    require_no_half_isolation,
    require_nothing_runs,
    targets,
)
from cli.processes.spawning import last_words
from cli.processes.starting import UpSettings
from cli.service.ports import NO_MANAGER, Manager, Standing, calling
from cli.service.rendering import values_of
from foundation.clock import Clock, SystemClock
from foundation.errors import Conflict, NotFound, TimedOut, Unavailable, Unsupported
from foundation.files import atomic_write
from foundation.secrets import open_secret_store
from foundation.settings import load
from foundation.workspace import Workspace

HEALTHY_WITHIN = timedelta(seconds=60)
GONE_WITHIN = timedelta(seconds=45)
_LOOK_SECONDS = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What `install` wrote, and what of it was there already, byte for byte."""

    manager: str
    files: Sequence[Path]
    unchanged: Sequence[Path]


def manager_of(workspace: Workspace, environ: Mapping[str, str]) -> Manager:
    """The service manager of this machine. Raises Unsupported where there is none that we know."""
    if sys.platform == "darwin":
        from cli.service.launchd_darwin import Launchd

        return Launchd(workspace, environ, calling(environ))
    if sys.platform == "linux":
        from cli.service.systemd_linux import Systemd

        return Systemd(workspace, environ, calling(environ))
    raise Unsupported(
        "no_service_manager", f"Services are not supported on {sys.platform}.", remedy="quantum up --detach"
    )


def installed(workspace: Workspace, environ: Mapping[str, str] = os.environ) -> bool:
    """Whether units of this workspace are there, whether or not they run."""
    return bool(own_files(workspace, environ))


def own_files(workspace: Workspace, environ: Mapping[str, str]) -> list[Path]:
    """The files of this workspace's units, by their names alone: also those that an older version wrote."""
    folder = manager_of(workspace, environ).folder
    patterns = (f"quantum-*-{workspace.key12}.*", f"com.quantum.*.{workspace.key12}.plist")
    return sorted(path for pattern in patterns for path in folder.glob(pattern) if path.is_file())


def install(workspace: Workspace, environ: Mapping[str, str], *, dry_run: bool = False) -> Written:
    """Write the units; a second time with the same settings changes nothing. Raises Conflict for a runner's folder."""
    if workspace.joined.exists():
        raise Conflict(
            "a_runner_elsewhere",
            f"{workspace.root} is the folder of a runner that joined: it has no services but itself.",
            remedy=f"quantum runner start --detach --folder {workspace.root}",
        )
    manager = manager_of(workspace, environ)
    files = manager.files(values_of(workspace, environ))
    same = [path for path, data in files.items() if path.exists() and path.read_bytes() == data]
    if not dry_run:
        made = _make(manager.folder)
        if made:
            atomic_write(_record(workspace), json.dumps([str(path) for path in made]).encode())
        workspace.logs.mkdir(exist_ok=True)
        for path, data in files.items():
            if path not in same:
                atomic_write(path, data, 0o644)
    return Written(manager=manager.name, files=list(files), unchanged=same)


def start_units(
    workspace: Workspace, environ: Mapping[str, str], *, clock: Clock, within: timedelta = HEALTHY_WITHIN
) -> None:
    """Start what is installed and return once the gateway says that all is well; what runs already is left alone.

    Raises NotFound when nothing is installed, Conflict when `up` runs or the port is taken, TimedOut with the words of
    whoever is not well.
    """
    if not installed(workspace, environ):
        raise NotFound("not_installed", f"{workspace.root} has no services yet.", remedy="quantum service install")
    manager, running = manager_of(workspace, environ), read_running(workspace)
    if running is None or not running.units:
        require_no_half_isolation(workspace)
        require_nothing_runs(workspace)
        settings = require_settings(workspace)
        chosen_by = '"gateway_port": {} in config/agent_config.json'
        require_free_port(settings.gateway_host, settings.gateway_port, chosen_by=chosen_by)
        renew_identities(workspace, open_secret_store(workspace, environ), {}, now=clock.now())
    manager.start()
    _wait_healthy(workspace, manager, clock, within)


def require_settings(workspace: Workspace) -> UpSettings:
    """The settings that units get: those written down, since this shell's own do not reach them. Raises Invalid."""
    return load(UpSettings, environ={}, workspace=workspace)


def stop_units(
    workspace: Workspace,
    environ: Mapping[str, str],
    *,
    clock: Clock | None = None,
    within: timedelta = GONE_WITHIN,
) -> dict[str, Process]:
    """Unload the units and return what ran, by name, each proved gone; nothing starts again until `start_units`.

    What outlives its unit for longer than `within` is killed. Raises Internal naming what would not end.
    """
    ended = targets(workspace)
    manager_of(workspace, environ).stop()
    prove_gone(list(ended.values()), within, clock or SystemClock())
    # Who was killed could not take its record away.
    for path in workspace.units.glob("*.json"):
        path.unlink(missing_ok=True)
    return ended


def uninstall(workspace: Workspace, environ: Mapping[str, str], *, clock: Clock) -> tuple[list[Path], int]:
    """Stop the units and remove their files, and the folders that were made for them; what was removed, what ended.

    A manager that is not there has nothing to be stopped: unless something of them runs all the same, the files go.
    """
    manager = manager_of(workspace, environ)
    files = own_files(workspace, environ)
    if not files:
        return [], 0
    answers, ended = True, dict[str, Process]()
    try:
        ended = stop_units(workspace, environ, clock=clock)
    except Unavailable as error:
        running = read_running(workspace)
        if error.code != NO_MANAGER or (running is not None and running.units):
            raise
        answers = False
    links = [path for unit in files for path in manager.folder.glob(f"*.wants/{unit.name}") if path.is_symlink()]
    for path in (*links, *files):
        path.unlink(missing_ok=True)
    if answers:
        manager.forget()
    for folder in _made_once(workspace):
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()
    _record(workspace).unlink(missing_ok=True)
    if workspace.units.is_dir() and not any(workspace.units.iterdir()):
        workspace.units.rmdir()
    return files, len(ended)


def standing(workspace: Workspace, environ: Mapping[str, str]) -> list[Standing]:
    """How each unit stands; one that is not active says why, by its last words where it has no sentence of its own."""
    return [_with_words(workspace, one) for one in manager_of(workspace, environ).standing()]


def _with_words(workspace: Workspace, one: Standing) -> Standing:
    if one.says or one.state in ("active", "absent", "stopped"):
        return one
    words = last_words(workspace.logs / f"{one.part.process}.out", lines=2)
    return replace(one, says=": ".join(filter(None, (one.result, words))))


def _wait_healthy(workspace: Workspace, manager: Manager, clock: Clock, within: timedelta) -> None:
    deadline, pause = clock.boottime() + within.total_seconds(), threading.Event()
    while True:
        running = read_running(workspace)
        if running is not None and running.gateway.health(workspace) == "ok":
            return
        seen = [_with_words(workspace, one) for one in manager.standing()]
        failed = [one for one in seen if one.state == "failed"]
        if failed or clock.boottime() > deadline:
            wrong = failed or [one for one in seen if one.state != "active"]
            words = " ".join(f"{one.unit} is {one.state}: {one.says or 'it said nothing'}." for one in wrong)
            raise TimedOut(
                "not_healthy",
                f"Not everything is healthy. {words}".strip(),
                remedy="Mend it, then: quantum service start. quantum service status shows each unit.",
            )
        pause.wait(_LOOK_SECONDS)


def _make(folder: Path) -> list[Path]:
    """Make a folder and return what was not there before, the innermost first."""
    made = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    return made


def _record(workspace: Workspace) -> Path:
    """Which folders `install` made, so that `uninstall` takes them away again."""
    return workspace.state / "units_folders.json"


def _made_once(workspace: Workspace) -> list[Path]:
    try:
        return [Path(path) for path in json.loads(_record(workspace).read_bytes())]
    except (OSError, ValueError, TypeError):
        return []
