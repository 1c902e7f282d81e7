"""Scripts of a coordinator on another host, kept by their SHA-256 for as long as this runner runs."""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
from pathlib import Path

from foundation.errors import Internal, NotFound
from foundation.files import atomic_write
from foundation.projects import Projects, read_projects

BUILTIN = Path(__file__).resolve().parents[3] / "agents"
_Stamp = tuple[int, int, int]


class FetchedScripts:
    """A FetchedFiles. The folder belongs to it, and begins empty.

    It is no part of `.quantum`, which sandboxes hide and other users cannot enter; what was changed in it is fetched
    again before it is run.
    """

    def __init__(self, folder: Path, builtin: Path = BUILTIN) -> None:
        self._folder = folder
        self._builtin = builtin
        self._kept: dict[Path, _Stamp] = {}
        shutil.rmtree(folder, ignore_errors=True)

    def find(self, sha256: str, name: str) -> str | None:
        """Where a script lies that is as it was fetched; None when there is none."""
        path = self._path(sha256, name)
        return str(path) if path in self._kept and self._kept[path] == _stamp(path) else None

    def keep(self, sha256: str, name: str, text: bytes) -> str:
        """Keep a script, executable; returns where. Raises Internal when it is not what was asked for."""
        if hashlib.sha256(text).hexdigest() != sha256:
            raise Internal("other_script", f"What came for {name} is another script: its SHA-256 differs.")
        path = self._path(sha256, name)
        for folder in (self._folder, path.parent):
            folder.mkdir(mode=0o755, parents=True, exist_ok=True)
        atomic_write(path, text, 0o755)
        stamp = _stamp(path)
        assert stamp is not None, "it was written just now"
        self._kept[path] = stamp
        return str(path)

    def builtin(self, path: str, interpreter: tuple[str, ...]) -> tuple[str, tuple[str, ...]]:
        """A script that comes with Quantum, as this machine has it, and what runs it here. Raises NotFound."""
        inside = os.path.realpath(self._builtin)
        found = os.path.realpath(self._builtin / path)
        if not found.startswith(inside + os.sep) or not os.path.isfile(found):
            raise NotFound(
                "no_builtin", f"the agent {path} does not come with the Quantum of this machine; is it an older one?"
            )
        return found, (sys.executable,) if found.endswith(".py") else interpreter

    def _path(self, sha256: str, name: str) -> Path:
        return self._folder / sha256[:24] / name


class ProjectsHere:
    """A ProjectFolders over this runner's own config/projects.toml, read again when it has changed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamp: _Stamp | None = None
        self._projects = Projects()

    def folder(self, name: str) -> str | None:
        """The folder of a project on this machine, None where it has none."""
        stamp = _stamp(self._path)
        if stamp != self._stamp:
            self._stamp, self._projects = stamp, read_projects(self._path)
        return self._projects.folders.get(name)


def _stamp(path: Path) -> _Stamp | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_ctime_ns
