"""Puts the guard into one repository: its hooks, its identifier, and its line in `.quantum/repositories.toml`."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from cli.hooks.places import HooksPath, Place, config, hooks_path, is_own, set_config
from cli.hooks.scripts import (
    BEFORE,
    EVENTS,
    EXECUTABLE,
    FORWARD,
    GUARD,
    READABLE,
    before_of,
    forwarded,
    is_ours,
    is_there,
    text_of,
)
from foundation.errors import Conflict, Denied
from foundation.files import atomic_write
from foundation.ids import Ids, is_id
from foundation.repositories import (
    GuardedRepository,
    change_repositories,
    read_repositories,
    require_writable_name,
)
from foundation.workspace import Workspace

PATH_BEFORE = "quantum.hooksPathBefore"
"""What `core.hooksPath` said in the repository's own configuration before it was ours."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PutIn:
    """What was done. `hooks` is the folder in which git now looks; `chained` hooks were there, and are run first."""

    id: str
    hooks: Path
    changed: bool
    chained: tuple[str, ...] = ()


def put_in(place: Place, project: str, workspace: Workspace, ids: Ids) -> PutIn:
    """Guard a repository; done again it changes nothing.

    Raises Conflict where another workspace guards it, or a hook stands where none of ours may; Denied where a folder
    cannot be written; Invalid for a name that is no UTF-8.
    """
    _require_ours(place, workspace)
    path = hooks_path(place)
    try:
        if path is not None and _same(place, path, place.beside):
            changed = _write_beside(place, _recorded_before(place))
        elif path is None and is_own(place, place.own_hooks):
            changed = _write_hooks(place.own_hooks)
        elif path is not None and is_own(place, place.top / path.folder):
            changed = _write_hooks(place.top / path.folder)
        else:
            changed = _stand_beside(place, path)
    except OSError as error:
        raise Denied(
            "hooks_not_writable",
            f"The hooks of {place.top} cannot be written: {error.filename}: {error.strerror}.",
            remedy=f"Look at the rights: ls -ld {place.common_dir} {place.own_hooks}",
        ) from error
    chained = tuple(name for name in EVENTS if is_there(before_of(_folder(place) / name)))
    known = _make_known(place, project, workspace, ids)
    return PutIn(id=known.id, hooks=_folder(place), changed=changed or known.changed, chained=chained)


def identifier(place: Place) -> str:
    """The identifier that a repository has in its own configuration; empty: it has none."""
    found = config(place, "quantum.repository", local=True) or ""
    return found if is_id(found) else ""


def _require_ours(place: Place, workspace: Workspace) -> None:
    require_writable_name(place.top)
    require_writable_name(place.common_dir)
    other = config(place, "quantum.workspace", local=True)
    if other is None or Path(other) == workspace.root:
        return
    if identifier(place) in read_repositories(Workspace(Path(other)).repositories_file).by_id:
        raise Conflict(
            "guarded_elsewhere",
            f"{place.top} is guarded by the workspace {other}.",
            remedy=f"quantum --workspace {other} hooks uninstall {place.top}",
        )


@dataclass(frozen=True, slots=True)
class _Known:
    id: str
    changed: bool


def _make_known(place: Place, project: str, workspace: Workspace, ids: Ids) -> _Known:
    """Write the identifier into the repository, then the repository into the workspace's file."""
    listed = read_repositories(workspace.repositories_file).by_id
    found = identifier(place)
    entry = listed.get(found)
    if not found or (entry and entry.common_dir != place.common_dir and _still_has(entry, found)):
        found, entry = ids.new(), None  # the folder is a copy of a repository that is guarded itself
    # Linked work trees share one entry: the first one's folder stays, as long as it is there.
    keep = entry is not None and entry.common_dir == place.common_dir and entry.folder.is_dir()
    folder = entry.folder if entry and keep else place.top
    wanted = GuardedRepository(id=found, folder=folder, common_dir=place.common_dir, project=project)
    changed = entry != wanted
    for name, value in (("quantum.workspace", str(workspace.root)), ("quantum.repository", found)):
        if config(place, name, local=True) != value:
            set_config(place, name, value)
            changed = True
    change_repositories(workspace.repositories_file, put=[wanted])
    return _Known(found, changed)


def _still_has(entry: GuardedRepository, found: str) -> bool:
    there = Place(top=entry.folder, common_dir=entry.common_dir)
    return entry.folder.is_dir() and entry.common_dir.is_dir() and identifier(there) == found


def _folder(place: Place) -> Path:
    path = hooks_path(place)
    return place.own_hooks if path is None else Path(os.path.normpath(place.top / path.folder))


def _same(place: Place, path: HooksPath, folder: Path) -> bool:
    return (place.top / path.folder).resolve() == folder.resolve()


def _recorded_before(place: Place) -> str:
    try:
        return os.fsdecode((place.beside / BEFORE).read_bytes()).removesuffix("\n")
    except FileNotFoundError:
        return str(place.own_hooks)


def _stand_beside(place: Place, path: HooksPath | None) -> bool:
    """Stand apart from a folder of hooks that is not the repository's own, which is not touched, and forward to it."""
    if path is not None and path.scope not in ("local", "global", "system"):
        raise Conflict(
            "hooks_path_of_one_work_tree",
            f"core.hooksPath of {place.top} is set for this work tree alone ({path.value}).",
            remedy=f"git -C {place.top} config --worktree --unset core.hooksPath, then try again.",
        )
    _write_beside(place, path.folder if path else str(place.own_hooks))
    # What is to be restored is kept before it is replaced.
    set_config(place, PATH_BEFORE, path.value if path and path.scope == "local" else None)
    set_config(place, "core.hooksPath", str(place.beside))
    return True


def _write_beside(place: Place, before: str) -> bool:
    place.beside.mkdir(parents=True, exist_ok=True)
    changed = _write(place.beside / BEFORE, os.fsencode(before) + b"\n", READABLE)
    for name in forwarded(place.top / before):
        changed |= _write(place.beside / name, text_of(FORWARD), EXECUTABLE)
    return _write_hooks(place.beside) or changed


def _write_hooks(folder: Path) -> bool:
    """Write our scripts into a folder. Raises Conflict, before anything is changed, for a hook that cannot be kept."""
    folder.mkdir(parents=True, exist_ok=True)
    foreign = [folder / name for name in EVENTS if is_there(folder / name) and not is_ours(folder / name)]
    for hook in foreign:
        if is_there(before_of(hook)):
            raise Conflict(
                "two_hooks_before",
                f"{hook} was replaced since the guard was put in, and {before_of(hook).name} is kept beside it.",
                remedy=f"Make one of the two, as {hook}, remove the other, and try again.",
            )
    changed = _write(folder / GUARD, text_of(GUARD), READABLE)
    for hook in foreign:
        os.rename(hook, before_of(hook))
    for name in EVENTS:
        changed |= _write(folder / name, text_of(name), EXECUTABLE)
    return changed


def _write(path: Path, data: bytes, mode: int) -> bool:
    if not path.is_symlink() and path.is_file() and path.read_bytes() == data and path.stat().st_mode & 0o777 == mode:
        return False
    atomic_write(path, data, mode)
    return True
