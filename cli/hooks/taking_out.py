"""Takes the guard out of one repository, and puts back what was there before."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from cli.hooks.places import Place, ask_git, config, hooks_path, is_own, set_config
from cli.hooks.putting_in import PATH_BEFORE, identifier
from cli.hooks.scripts import EVENTS, GUARD, before_of, is_ours, is_there
from foundation.errors import Denied
from foundation.repositories import change_repositories, read_repositories
from foundation.workspace import Workspace


@dataclass(frozen=True, slots=True, kw_only=True)
class TakenOut:
    """What was done, or would be. `left` are hooks that were kept before ours and whose place somebody else has."""

    changed: bool
    restored: tuple[str, ...] = ()
    left: tuple[Path, ...] = ()


def take_out(place: Place, workspace: Workspace, *, dry_run: bool = False) -> TakenOut:
    """Remove our hooks, restore those that were there, and forget the repository. Raises Denied where it cannot be."""
    folders = _folders(place)
    ours = [folder / name for folder in folders for name in EVENTS if is_ours(folder / name)]
    kept = [before_of(folder / name) for folder in folders for name in EVENTS]
    kept = [path for path in kept if is_there(path)]
    free = [path for path in kept if is_ours(_hook_of(path)) or not is_there(_hook_of(path))]
    listed = read_repositories(workspace.repositories_file).by_id
    entries = [one.id for one in listed.values() if one.common_dir == place.common_dir]
    there = bool(ours or kept or entries or identifier(place) or place.beside.exists())
    if there and not dry_run:
        try:
            _restore_path(place)
            for hook in ours:
                hook.unlink()
            for path in free:
                os.rename(path, _hook_of(path))
            for folder in folders:
                (folder / GUARD).unlink(missing_ok=True)
            if place.beside.exists():
                shutil.rmtree(place.beside)
        except OSError as error:
            raise Denied(
                "hooks_not_writable",
                f"The hooks of {place.top} cannot be changed: {error.filename}: {error.strerror}.",
                remedy=f"Look at the rights: ls -ld {place.common_dir} {place.own_hooks}",
            ) from error
        ask_git(place.top, "config", "--local", "--remove-section", "quantum")
        change_repositories(workspace.repositories_file, drop=entries)
    return TakenOut(
        changed=there,
        restored=tuple(_hook_of(path).name for path in free),
        left=tuple(path for path in kept if path not in free),
    )


def forget(folder: Path, workspace: Workspace, *, dry_run: bool = False) -> TakenOut:
    """Take a repository that is gone out of the workspace's file."""
    listed = read_repositories(workspace.repositories_file).by_id
    entries = [one.id for one in listed.values() if one.folder == folder]
    if entries and not dry_run:
        change_repositories(workspace.repositories_file, drop=entries)
    return TakenOut(changed=bool(entries))


def _folders(place: Place) -> list[Path]:
    """Those that are the repository's own and may hold hooks of ours; what stands apart is removed as a whole."""
    path = hooks_path(place)
    candidates = [place.own_hooks, *([place.top / path.folder] if path else [])]
    own = {folder.resolve(): folder for folder in candidates if is_own(place, folder) and folder.is_dir()}
    own.pop(place.beside.resolve(), None)
    return list(own.values())


def _hook_of(before: Path) -> Path:
    return before.with_suffix("")


def _restore_path(place: Place) -> None:
    path = hooks_path(place)
    if path is not None and (place.top / path.folder).resolve() == place.beside.resolve():
        set_config(place, "core.hooksPath", config(place, PATH_BEFORE, local=True))
