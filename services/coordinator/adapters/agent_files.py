"""Reads the agents of one folder: scripts, and folders with an agent.toml."""

import contextlib
import hashlib
import os
import stat
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from services.coordinator.domain.agent import AgentSpec
from services.coordinator.domain.interpreters import interpreter_of, is_script
from services.coordinator.domain.manifest import Manifest, manifest_of_script, manifest_of_toml
from services.coordinator.domain.names import NAME_RULE, alias_of, is_name

HEAD_BYTES = 64 * 1024
TRAVELLING_BYTES_MAX = 1024 * 1024
"""Scripts up to this size are sent to runners on other hosts."""
TOML = "agent.toml"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

# What must change when a file changes: inode, size, time of change and mode.
Stamp = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class AgentFolder:
    """A folder of agents. Those of the built-in one run under our own Python, where what they import is installed."""

    path: Path
    builtin: bool

    def builtin_path(self, script: str) -> str:
        """Where a script lies below the agents that come with Quantum; empty for one that does not come with it."""
        return str(Path(script).relative_to(self.path.absolute())) if self.builtin and script else ""

    def source(self, path: Path) -> str:
        """A file as shown to people."""
        if not path.is_relative_to(self.path):
            return str(path)
        shown = path.relative_to(self.path)
        return f"builtin:{shown}" if self.builtin else str(Path(self.path.name) / shown)


@dataclass(frozen=True, slots=True)
class Found:
    """A file that declares or is an agent, and the stamp under which it was found."""

    folder: AgentFolder
    path: Path
    stamp: Stamp


def find_agents(folder: AgentFolder) -> Iterator[Found]:
    """Yield every candidate of a folder, by name; a folder that is not there has none.

    Symbolic links are followed only within the folder: one that leads elsewhere (as the runbook's own command names
    do) is no agent.
    """
    try:
        entries = sorted(os.scandir(folder.path), key=lambda entry: entry.name)
    except OSError:
        return
    inside = os.path.realpath(folder.path)
    for entry in entries:
        if entry.name.startswith((".", "_")):
            continue
        path = Path(entry.path)
        if entry.is_dir(follow_symlinks=False):
            path = path / TOML
        elif entry.is_symlink() and not _leads_inside(entry.path, inside):
            continue
        found = stamp_of(path)
        if found is not None:
            yield Found(folder, path, found)


def _leads_inside(path: str, folder: str) -> bool:
    return os.path.dirname(os.path.realpath(path)) == folder


def stamp_of(path: Path) -> Stamp | None:
    """The stamp of a regular file; None when there is none."""
    try:
        status = path.stat()
    except OSError:
        return None
    if not stat.S_ISREG(status.st_mode):
        return None
    return (status.st_ino, status.st_size, status.st_mtime_ns, status.st_mode)


def read_agent(found: Found) -> AgentSpec | None:
    """The agent of a file; None for a file that is no script. What cannot be read becomes a fault, never an error."""
    try:
        if found.path.name == TOML:
            return _from_toml(found)
        return _from_script(found.folder, found.path, found.path.stem, None)
    except OSError as error:
        name = found.path.parent.name if found.path.name == TOML else found.path.stem
        return AgentSpec(name=name, source=found.folder.source(found.path), faults=(f"It cannot be read: {error}.",))


def _from_toml(found: Found) -> AgentSpec:
    folder = found.path.parent
    try:
        manifest = manifest_of_toml(found.path.read_bytes()[:HEAD_BYTES].decode())
    except UnicodeDecodeError:
        manifest = Manifest(faults=(f"Its {TOML} is not UTF-8.",))
    script = _script_of(folder, manifest)
    if script is None:
        wanted = manifest.script or f"{folder.name}.*, run.* or main.*"
        beside = "" if wanted.startswith("/") else f' beside its {TOML}; name it with `script = "…"`'
        fault = f"There is no script {wanted}{beside}."
        return _spec(found.folder, found.path, folder.name, manifest, "", (), (fault,))
    spec = _from_script(found.folder, script, folder.name, manifest)
    assert spec is not None
    return spec


def _script_of(folder: Path, manifest: Manifest) -> Path | None:
    """The script that an agent.toml is about: in its folder, of its name beside the folder, or where it says."""
    if manifest.script.startswith("/"):
        # Spelled out in full by whoever may write here: no link that somebody else put there decides what is run.
        return Path(manifest.script) if stamp_of(Path(manifest.script)) is not None else None
    if manifest.script:
        named = folder / manifest.script
        return named if stamp_of(named) is not None and _leads_inside(str(named), os.path.realpath(folder)) else None
    for place, stems in ((folder, (folder.name, "run", "main")), (folder.parent, (folder.name,))):
        inside = os.path.realpath(place)
        for path in sorted(place.iterdir()):
            if path.stem in stems and path.name != TOML and stamp_of(path) and _leads_inside(str(path), inside):
                head, executable = _head(path)
                if is_script(path.name, head, executable=executable):
                    return path
    return None


def script_elsewhere(toml: Path) -> str:
    """The whole path that an agent.toml names as its script, whether or not anything is there; empty for none."""
    try:
        named = manifest_of_toml(toml.read_bytes()[:HEAD_BYTES].decode()).script
    except (OSError, UnicodeDecodeError):
        return ""
    return named if named.startswith("/") else ""


def _from_script(folder: AgentFolder, path: Path, name: str, manifest: Manifest | None) -> AgentSpec | None:
    head, executable = _head(path)
    if manifest is None and not is_script(path.name, head, executable=executable):
        return None
    declared = manifest or manifest_of_script(head)
    interpreter = interpreter_of(path.name, head, executable=executable)
    if folder.builtin and path.suffix == ".py":
        interpreter = (sys.executable,)
    return _spec(folder, path, name, declared, str(path.absolute()), interpreter, ())


def _head(path: Path) -> tuple[str, bool]:
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    return head.decode(errors="replace"), os.access(path, os.X_OK)


def text_that_travels(script: str) -> bytes | None:
    """The whole text of a script; None when it is too large to be sent to other hosts."""
    with open(script, "rb") as file:
        text = file.read(TRAVELLING_BYTES_MAX + 1)
    return text if len(text) <= TRAVELLING_BYTES_MAX else None


def _sha256(folder: AgentFolder, script: str) -> str:
    text = None if folder.builtin or not script else text_that_travels(script)
    return "" if text is None else hashlib.sha256(text).hexdigest()


def _spec(
    folder: AgentFolder,
    path: Path,
    name: str,
    manifest: Manifest | None,
    script: str,
    interpreter: tuple[str, ...],
    faults: tuple[str, ...],
) -> AgentSpec:
    known = manifest or Manifest()
    if not is_name(name):
        faults = (*faults, f"Its name must be {NAME_RULE}; rename the file.")
    faults = (*faults, *known.faults)
    alias = alias_of(name)
    return AgentSpec(
        name=name,
        aliases=tuple(dict.fromkeys((*((alias,) if alias else ()), *known.aliases))),
        kind=known.kind,
        description=known.description,
        script="" if faults else script,
        script_sha256=_sha256(folder, script),
        builtin=folder.builtin_path(script),
        source=folder.source(path),
        declared=manifest is not None,
        faults=faults,
        effects=known.effects,
        timeout=known.timeout,
        idle_timeout=known.idle_timeout,
        memory_bytes=known.memory_bytes,
        processes_max=known.processes_max,
        open_files_max=known.open_files_max,
        retries=known.retries,
        uses=known.uses,
        env=known.env,
        schedule=known.schedule,
        required=known.required,
        concurrency_max=known.concurrency_max,
        params_as_arguments=known.params_as_arguments,
        interpreter=known.interpreter or interpreter,
        output_bytes_max=known.output_bytes_max,
        cpu_cores=known.cpu_cores,
        cpu_time=known.cpu_time,
        work_files_max=known.work_files_max,
        work_bytes_max=known.work_bytes_max,
        run_as=known.run_as,
        secrets=known.secrets,
        secret_params=known.secret_params,
        sandbox=known.sandbox,
        labels=known.labels,
        health_every=known.health_every,
        changed_at=_changed_at(str(path), script),
    )


def _changed_at(*paths: str) -> datetime | None:
    """The latest change of these files: the moment that nobody can date back, so that a moved file counts too."""
    moments = []
    for path in [path for path in paths if path]:
        with contextlib.suppress(OSError):
            moments.append(os.stat(path).st_ctime_ns // 1000)
    return _EPOCH + timedelta(microseconds=max(moments)) if moments else None
