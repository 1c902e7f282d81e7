"""Has the coordinator's own reader look at a proposal before anybody sees it: in a scratch folder, as a child."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from foundation.errors import Internal
from foundation.own_python import child_environment

_HEAD_BYTES = 64 * 1024
_SECONDS = 120
_READER = "services.coordinator.adapters.catalogue_document"


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """An agent as the coordinator would list it."""

    name: str
    kind: str
    aliases: tuple[str, ...]
    script: str
    declared: bool
    faults: tuple[str, ...]
    notices: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalogue:
    """What the coordinator makes of a folder."""

    agents: Mapping[str, Listed]
    builtin: tuple[str, ...]


def read_catalogue(folder: Path, environ: Mapping[str, str]) -> Catalogue:
    """Have a folder read by the coordinator's code, in a process of its own. Raises Internal when that fails."""
    try:
        done = subprocess.run(
            [sys.executable, "-m", _READER, str(folder)],
            capture_output=True,
            timeout=_SECONDS,
            check=True,
            env=child_environment(environ),
            cwd="/",
        )
        document = json.loads(done.stdout)
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        raise Internal("catalogue_unread", f"The coordinator's reader could not look at {folder}: {error}.") from error
    agents = {each["name"]: _listed(each) for each in document["agents"]}
    return Catalogue(agents=agents, builtin=tuple(document["builtin"]))


def _listed(each: Mapping[str, object]) -> Listed:
    texts = {key: tuple(map(str, value)) for key, value in each.items() if isinstance(value, list)}
    return Listed(
        name=str(each["name"]),
        kind=str(each["kind"]),
        aliases=texts["aliases"],
        script=str(each["script"]),
        declared=bool(each["declared"]),
        faults=texts["faults"],
        notices=texts["notices"],
    )


def try_out(agents: Path, files: Sequence[tuple[str, bytes, int]], environ: Mapping[str, str]) -> Catalogue:
    """The catalogue as it would be with these files (path below agents/, content, mode) in place of what is there."""
    with tempfile.TemporaryDirectory(prefix="quantum-adopt-") as scratch:
        folder = Path(scratch, "agents")
        folder.mkdir()
        _copy_heads(agents, folder)
        for name, data, mode in files:
            path = folder / name
            path.parent.mkdir(exist_ok=True)
            path.unlink(missing_ok=True)
            path.write_bytes(data)
            path.chmod(mode | 0o600)
        return read_catalogue(folder, environ)


def _copy_heads(agents: Path, folder: Path) -> None:
    """What the catalogue would look at: the beginnings of the files, and of those beside an agent.toml."""
    if not agents.is_dir():
        return
    for entry in agents.iterdir():
        if entry.is_file() and not entry.is_symlink():
            _copy_head(entry, folder / entry.name)
        elif (entry / "agent.toml").is_file() and not entry.is_symlink():
            (folder / entry.name).mkdir()
            for below in entry.iterdir():
                if below.is_file() and not below.is_symlink():
                    _copy_head(below, folder / entry.name / below.name)


def _copy_head(source: Path, target: Path) -> None:
    try:
        with source.open("rb") as file:
            target.write_bytes(file.read(_HEAD_BYTES))
        shutil.copymode(source, target)
    except PermissionError:
        target.write_bytes(b"")
