"""What no sandbox changes, even inside of what it may write: configuration of ours, and what git runs by itself."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from enum import Enum
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from foundation.workspace import Workspace
from services.agent_runner.warden.sandbox import Places, Scope, Unavailable, open_file, within

# Repositories are looked for in a folder that may be written, this deep and among this many folders.
_DEPTH_MAX = 2
_FOLDERS_MAX = 500
# Nobody else's tree waits while a million files are gone through: further subfolders are not found after so many.
_ENTRIES_MAX = 20_000
# A git that finds this file takes configuration and hooks from the folder that it names; "." is the one it is in.
_COMMONDIR = "commondir"
_COMMONDIR_TEXT = b".\n"
# A folder that has both, and a HEAD, is a repository without any `.git`.
_OF_ITSELF = ("refs", "objects")


class Kind(Enum):
    """How a protected path is there."""

    PRESENT = "present"
    MISSING_FOLDER = "missing folder"
    MISSING_FILE = "missing file"


class Guard(NamedTuple):
    """One protected path; a missing one gets a placeholder (`text`) while a sandbox is there."""

    path: str
    kind: Kind
    text: bytes = b""


class Protection(NamedTuple):
    """`guards` become read-only. `pins` are the folders on the way to them: a folder that could be renamed would take
    its guards along, and another could be put in its place."""

    guards: tuple[Guard, ...]
    pins: tuple[str, ...]


def protection(scope: Scope, places: Places) -> Protection:
    """What has to be kept from a script with this scope; raises Unavailable for what cannot be."""
    found: dict[str, Guard] = {}
    for guard in _wanted(scope, places):
        for path in scope.write:
            if within(path, guard.path):
                raise Unavailable(f"its sandbox may not write {path}: {guard.path} is protected in every sandbox")
            if within(guard.path, path):
                found.setdefault(guard.path, guard)
    pins = {pin for guard in found.values() for pin in _between(guard.path, scope.write)}
    order = sorted(pins - found.keys(), key=lambda path: (path.count("/"), path))
    return Protection(tuple(sorted(found.values())), tuple(order))


def _between(path: str, write: Sequence[str]) -> Iterator[str]:
    outer = next(folder for folder in write if within(path, folder))
    above = os.path.dirname(path)
    while within(above, outer) and above != outer:
        yield above
        above = os.path.dirname(above)


def _wanted(scope: Scope, places: Places) -> Iterator[Guard]:
    yield from _guard(scope, os.path.join(places.workspace, "config"), Kind.MISSING_FOLDER)
    yield from _pinned_state(scope, places)
    workspace = Workspace(Path(places.workspace))
    if workspace.joined.exists():
        # Those of agents without a sandbox lie there, too, from when they were fetched until they run.
        yield from _guard(scope, str(workspace.fetched_scripts), Kind.MISSING_FOLDER)
    for folder in dict.fromkeys((scope.folder, os.path.realpath(places.workspace))):
        yield from _repository(folder, scope, expected=True)
    for path in scope.write:
        parts = path.split("/")
        if ".git" in parts:
            # It may write in the innards of a repository.
            yield from _repository("/".join(parts[: parts.index(".git")]) or "/", scope, expected=False)
        for repository in _repositories(path):
            yield from _repository(repository, scope, expected=False)


def _pinned_state(scope: Scope, places: Places) -> Iterator[Guard]:
    """It is hidden anyway; as a guard, the folders on the way to it cannot be renamed either."""
    if os.path.isdir(places.state):
        yield from _guard(scope, places.state, Kind.MISSING_FOLDER)


def _guard(scope: Scope, path: str, missing: Kind, text: bytes = b"") -> Iterator[Guard]:
    if not any(within(path, folder) or within(folder, path) for folder in scope.write):
        return
    if os.path.islink(path):
        raise Unavailable(f"{path} is a link, and what a link names cannot be protected in a sandbox that may write it")
    yield Guard(path, Kind.PRESENT if os.path.exists(path) else missing, text)


def _repositories(top: str) -> Iterator[str]:
    """Folders with a `.git` in and below one, as deep as is looked."""
    level, seen, entries_left = [top], 0, _ENTRIES_MAX
    for _ in range(_DEPTH_MAX + 1):
        below: list[str] = []
        for folder in level:
            seen += 1
            if seen > _FOLDERS_MAX:
                return
            if os.path.lexists(os.path.join(folder, ".git")):
                yield folder
            try:
                with os.scandir(folder) as entries:
                    for entry in islice(entries, entries_left):
                        entries_left -= 1
                        if entry.name != ".git" and entry.is_dir(follow_symlinks=False):
                            below.append(entry.path)
            except OSError:
                # A file, or nothing that this process can read.
                continue
        level = below


def _repository(folder: str, scope: Scope, *, expected: bool) -> Iterator[Guard]:
    """Guards of a repository; where there is none and one is `expected`, none can be made there."""
    git = os.path.join(folder, ".git")
    if not any(within(git, path) or within(path, git) for path in scope.write):
        return
    if os.path.islink(git):
        raise Unavailable(f"{git} is a link and cannot be protected in a sandbox that may write it")
    if os.path.isdir(git):
        yield from _innards(scope, git)
    elif os.path.exists(git):
        yield Guard(git, Kind.PRESENT)
        for innards in _linked(git):
            yield from _innards(scope, innards)
    elif expected:
        yield Guard(git, Kind.MISSING_FOLDER)
    yield from _of_itself(scope, folder)


def _of_itself(scope: Scope, folder: str) -> Iterator[Guard]:
    """Git looks for a repository in the folder itself, too, where it can make nothing of the `.git` in it: that is to
    find none, or the one that is there."""
    for path in (os.path.join(folder, name) for name in _OF_ITSELF):
        if not os.path.lexists(path) or _is_empty(path):
            yield from _guard(scope, path, Kind.MISSING_FOLDER)
            return
    if os.path.isfile(os.path.join(folder, "HEAD")):
        yield from _innards(scope, folder)


def _is_empty(path: str) -> bool:
    """Whether it is a folder with nothing in it: it may be another sandbox's placeholder."""
    try:
        with os.scandir(path) as entries:
            return next(entries, None) is None
    except OSError:
        return False


def _innards(scope: Scope, git: str) -> Iterator[Guard]:
    hooks, config = os.path.join(git, "hooks"), os.path.join(git, "config")
    if os.path.islink(hooks) or os.path.islink(config):
        # Neither a link nor its aim can be held by itself, so nothing of this repository is written.
        yield Guard(git, Kind.PRESENT)
        return
    yield from _guard(scope, hooks, Kind.MISSING_FOLDER)
    yield from _guard(scope, config, Kind.MISSING_FILE)
    yield from _guard(scope, os.path.join(git, _COMMONDIR), Kind.MISSING_FILE, _COMMONDIR_TEXT)
    for name in ("config.worktree", "modules", "worktrees"):
        path = os.path.join(git, name)
        if os.path.lexists(path):
            yield from _guard(scope, path, Kind.MISSING_FOLDER)


def _linked(git_file: str) -> Iterator[str]:
    """The folders that a `.git` file of a worktree or submodule leads to."""
    try:
        with open_file(git_file) as file:
            text = file.read(4096).decode("utf-8", "surrogateescape")
    except OSError:
        return
    if not text.startswith("gitdir: "):
        return
    own = os.path.realpath(os.path.join(os.path.dirname(git_file), text[len("gitdir: ") :].strip()))
    # A worktree's folder names the common one in its own `commondir`, and lies in its `worktrees`.
    for candidate in (own, os.path.dirname(os.path.dirname(own))):
        if os.path.isfile(os.path.join(candidate, "HEAD")):
            yield candidate
