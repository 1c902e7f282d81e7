"""The links of the runbook's command names in one workspace: made, taken away, looked at.

Everything of ours lies in `.runbook/`: the shim, a link `quantum` to the command of this installation, and a list of
the folders that we made. At each name is a relative link to the shim, so that the workspace may be moved, and whatever
else is there is the user's own.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from cli.runbook.commands import SOURCE, places
from foundation.errors import Conflict
from foundation.files import atomic_write

HOME, SHIM, COMMAND, FOLDERS, IGNORE = ".runbook", "shim", "quantum", "folders", ".gitignore"
_IGNORED = f"{COMMAND}\n{FOLDERS}\n"
"""What is of this machine alone; the rest may be committed, and works wherever `quantum` is on PATH."""


class State(StrEnum):
    """What is at the place of a name."""

    LINKED = "linked"
    OWN = "yours"
    FREE = "free"


@dataclass(frozen=True, slots=True, kw_only=True)
class Changed:
    """What was done, or would be: places, seen from the workspace. `kept` are the user's own files."""

    changed: tuple[str, ...]
    already: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()


def links(root: Path, platform: str = sys.platform) -> Mapping[str, str]:
    """What the link at each place says: relative to the shim, right also where its folder is a link to elsewhere.

    On macOS there is one more, to the property list that is written by `quantum service install`.
    """
    shim = root.resolve() / HOME / SHIM
    wanted = {place: os.path.relpath(shim, (root / place).parent.resolve()) for place in places()}
    if platform == "darwin":
        from cli.runbook.plist_darwin import PLACE, written_list

        wanted[PLACE] = str(written_list(root))
    return wanted


def states(root: Path, platform: str = sys.platform) -> Mapping[str, State]:
    """What is at each place of a workspace."""
    return {place: _state_of(root / place, target) for place, target in links(root, platform).items()}


def _state_of(path: Path, target: str) -> State:
    if not os.path.lexists(path):
        return State.FREE
    return State.LINKED if path.is_symlink() and os.readlink(path) == target else State.OWN


def install(root: Path, *, dry_run: bool = False, platform: str = sys.platform) -> Changed:
    """Put a link at each free place. Overwrites nothing, and a second time changes nothing.

    Raises Conflict when `.runbook` is something of the user's.
    """
    found, wanted = states(root, platform), links(root, platform)
    _refuse_strange(root / HOME)
    free = [place for place, state in found.items() if state is State.FREE]
    if not dry_run:
        _make_home(root / HOME)
        free = [place for place in free if _link(root, root / place, wanted[place])]
    return Changed(
        changed=tuple(free),
        already=tuple(place for place, state in found.items() if state is State.LINKED),
        kept=tuple(place for place, state in found.items() if state is not State.LINKED and place not in free),
    )


def uninstall(root: Path, *, dry_run: bool = False, platform: str = sys.platform) -> Changed:
    """Take our links, the folders that we made for them, and `.runbook/` away. `kept` is what is not ours."""
    linked = tuple(place for place, state in states(root, platform).items() if state is State.LINKED)
    home = root / HOME
    if not dry_run:
        for place in linked:
            (root / place).unlink()
        if os.path.lexists(home) and _is_ours(home):
            for name in _made(home):
                _remove_if_empty(root / name)
            for name in (SHIM, COMMAND, FOLDERS, IGNORE):
                (home / name).unlink(missing_ok=True)
            _remove_if_empty(home)
    left = () if dry_run or not home.is_dir() else tuple(f"{HOME}/{name}" for name in sorted(os.listdir(home)))
    return Changed(changed=linked, kept=left)


def command_of_this_installation() -> Path | None:
    """The command `quantum` beside the Python that we run in, else the one on PATH; None where there is none."""
    beside = Path(sys.executable).parent / "quantum"
    if os.access(beside, os.X_OK):
        return beside
    found = shutil.which("quantum")
    return Path(found).absolute() if found else None


def recorded_command(root: Path) -> Path | None:
    """The command that the links of a workspace call; None while there are none, or none was to be had."""
    recorded = root / HOME / COMMAND
    return Path(os.readlink(recorded)) if recorded.is_symlink() else None


def _refuse_strange(home: Path) -> None:
    if not os.path.lexists(home) or _is_ours(home):
        return
    raise Conflict(
        "not_ours", f"{home} is something of yours.", remedy="Give it another name, and type the line once more."
    )


def _is_ours(home: Path) -> bool:
    """Whether the folder is one that we made, or an empty one; also where some of it is gone."""
    if home.is_symlink() or not home.is_dir():
        return False
    names = set(os.listdir(home))
    return not names or SHIM in names or (IGNORE in names and (home / IGNORE).read_text() == _IGNORED)


def _make_home(home: Path) -> None:
    """The shim first: with it the folder is known as ours, also after a crash."""
    home.mkdir(exist_ok=True)
    atomic_write(home / SHIM, (SOURCE / SHIM).read_bytes(), 0o755)
    atomic_write(home / IGNORE, _IGNORED.encode(), 0o644)
    command = command_of_this_installation()
    (home / COMMAND).unlink(missing_ok=True)
    if command is not None:
        (home / COMMAND).symlink_to(command)


def _link(root: Path, path: Path, target: str) -> bool:
    """Make one; False when something has come to be there meanwhile."""
    if not path.parent.exists():
        _note(root / HOME, str(path.parent.relative_to(root)))
        path.parent.mkdir()
    try:
        path.symlink_to(target)
    except FileExistsError:
        return False
    return True


def _note(home: Path, folder: str) -> None:
    made = dict.fromkeys((*_made(home), folder))
    atomic_write(home / FOLDERS, "".join(f"{name}\n" for name in made).encode(), 0o644)


def _made(home: Path) -> list[str]:
    """The folders that we made: names that the table has, whatever else may stand there."""
    try:
        noted = (home / FOLDERS).read_text().splitlines()
    except OSError:
        return []
    return [name for name in noted if name in {os.path.dirname(place) for place in places()} - {""}]


def _remove_if_empty(folder: Path) -> None:
    if folder.is_dir() and not os.listdir(folder):
        folder.rmdir()
