"""Reads and writes `.quantum/repositories.toml`: the git repositories whose merges are guarded."""

from __future__ import annotations

import fcntl
import json
import os
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from foundation.errors import Invalid
from foundation.files import atomic_write

_HEAD = "# Repositories whose merges are guarded. `quantum hooks install` and `uninstall` write this file.\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardedRepository:
    """One repository. `folder` is a work tree of it, `common_dir` git's own folder; both absolute, links resolved."""

    id: str
    folder: Path
    common_dir: Path
    project: str = ""
    """Empty: it is the workspace's own, or that of a folder in no project."""


@dataclass(frozen=True, slots=True)
class GuardedRepositories:
    """By id; one with a fault is left out and the fault is told."""

    by_id: Mapping[str, GuardedRepository] = field(default_factory=dict)
    faults: tuple[str, ...] = ()


def read_repositories(path: Path) -> GuardedRepositories:
    """Read the file; none means no repositories. Form: `[<id>]` with `folder`, `common_dir` and `project`."""
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return GuardedRepositories()
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        return GuardedRepositories(faults=(f"{path.name} cannot be read: {error}.",))
    found: dict[str, GuardedRepository] = {}
    faults: list[str] = []
    for name, table in document.items():
        words = [table.get(key) for key in ("folder", "common_dir")] if isinstance(table, dict) else []
        project = table.get("project", "") if isinstance(table, dict) else ""
        if not words or not all(isinstance(word, str) and word.startswith("/") for word in (*words, "/")):
            faults.append(f"{path.name}: [{name}] needs folder and common_dir, both absolute.")
            continue
        folder, common_dir = (Path(str(word)) for word in words)
        found[name] = GuardedRepository(id=name, folder=folder, common_dir=common_dir, project=str(project))
    return GuardedRepositories(found, tuple(faults))


def change_repositories(path: Path, *, put: Iterable[GuardedRepository] = (), drop: Iterable[str] = ()) -> None:
    """Replace the file by one with these put in and those ids left out; of two who do so at once, both have their say.

    Raises Invalid, and leaves the file as it was, when it has faults or a name that TOML cannot hold.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = os.open(path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        before = read_repositories(path)
        if before.faults:
            raise Invalid("bad_repositories_file", " ".join(before.faults), remedy=f"Correct {path}.")
        left_out = set(drop)
        after = {name: one for name, one in before.by_id.items() if name not in left_out}
        after.update({one.id: one for one in put})
        if after != dict(before.by_id):
            atomic_write(path, _written(after.values()), 0o600)
    finally:
        os.close(lock)


def require_writable_name(folder: Path) -> None:
    """Raise Invalid for a name that the file cannot hold."""
    try:
        str(folder).encode()
    except UnicodeEncodeError:
        raise Invalid("bad_folder_name", f"{str(folder)!r} is no UTF-8, and cannot be written down.") from None


def _written(repositories: Iterable[GuardedRepository]) -> bytes:
    tables = []
    for one in repositories:
        require_writable_name(one.folder)
        require_writable_name(one.common_dir)
        lines = [f"[{one.id}]", f"folder = {_text(one.folder)}", f"common_dir = {_text(one.common_dir)}"]
        tables.append("\n".join([*lines, *([f"project = {_text(one.project)}"] if one.project else []), ""]))
    return "\n".join([_HEAD, *tables]).encode()


def _text(value: Path | str) -> str:
    """A TOML string: as in JSON, but for the one control character that JSON lets stand."""
    return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007f")
