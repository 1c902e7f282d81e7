"""Units of workspaces whose folder is gone: it was moved or removed, and what was installed for it stayed."""

from __future__ import annotations

import plistlib
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from cli.service.acting import manager_of
from foundation.workspace import Workspace

CURE = "quantum service uninstall --gone"
_OURS = re.compile(r"(?:quantum-[a-z-]+-([0-9a-f]{12})\.service|com\.quantum\.[a-z-]+\.([0-9a-f]{12})\.plist)")


@dataclass(frozen=True, slots=True)
class Gone:
    """A workspace that is not where its units look for it."""

    workspace: Workspace
    units: tuple[str, ...]

    @property
    def said(self) -> str:
        """As a sentence."""
        where = self.workspace.root
        return f"{len(self.units)} units of a workspace in {where} are here, and that folder is not there any more."


def gone(workspace: Workspace, environ: Mapping[str, str]) -> list[Gone]:
    """Those that this user's manager still has, by path. A workspace that is on a disk that is not there now is among
    them: nobody can tell. `workspace` is any one of this user's."""
    found: defaultdict[Path, list[str]] = defaultdict(list)
    for path in sorted(manager_of(workspace, environ).folder.glob("*quantum*")):
        match = _OURS.fullmatch(path.name)
        for root in _root(path) if match else ():
            key12 = match[1] or match[2] if match else ""
            # Only what `uninstall` finds by the same name; anything else is not ours to touch.
            if not root.exists() and Workspace(root).key12 == key12:
                found[root].append(path.name)
    return [Gone(Workspace(root), tuple(units)) for root, units in sorted(found.items())]


def _root(path: Path) -> Iterator[Path]:
    """The folder that a unit works in."""
    try:
        data = path.read_bytes()
        if path.suffix == ".plist":
            yield Path(plistlib.loads(data)["WorkingDirectory"])
        else:
            line = re.search(r"^WorkingDirectory=(.+)$", data.decode(), flags=re.MULTILINE)
            yield from [Path(line[1].replace("%%", "%"))] if line else ()
    except (OSError, ValueError, KeyError, TypeError, plistlib.InvalidFileException):
        return  # whatever it is, it is none of ours that could be told to be gone
