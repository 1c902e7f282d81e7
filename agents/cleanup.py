#!/usr/bin/env python3
# /// script
# [tool.quantum]
# description = "Shows what projects could do without: build leftovers, caches, old logs; removes it when told to"
# effects = "idempotent"
# timeout = "15m"
# schedule = "30 4 * * sun"
# ///
"""Looks only at what git ignores and nobody tracks; without `apply` nothing is touched."""

from __future__ import annotations

import os
import re
import shutil
import stat
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from kit.attempt import give_up, given, publish, run_git, say

_CACHES = frozenset(
    {
        *("__pycache__", ".pytest_cache", ".mypy_cache", ".ruff_cache", ".hypothesis", ".tox", ".nox"),
        *(".gradle", ".turbo", ".parcel-cache", ".next", ".eslintcache", "htmlcov", ".import_linter_cache"),
    }
)
_LEFTOVERS = frozenset({"build", "dist", "target", ".build", "DerivedData", "out", "bazel-bin", "bazel-out"})
_LOG = re.compile(r".+\.log(\.[\w.-]+)?\Z")
_DAY_SECONDS = 86_400
_ITEMS_MAX = 200


@dataclass(frozen=True, kw_only=True, slots=True)
class Params:
    """`apply` removes what was found; `log_days`: how old a log must be."""

    apply: bool = False
    log_days: int = 30


@dataclass(frozen=True, kw_only=True, slots=True)
class Item:
    """One folder or file that could go."""

    project: str
    path: Path
    kind: str
    bytes: int
    folder: bool


def projects() -> dict[str, Path]:
    """Return the project of this attempt; without one every project of the workspace, by name."""
    name = os.environ.get("QUANTUM_PROJECT", "")
    if name:
        return {name: Path.cwd()}
    file = Path(os.environ.get("QUANTUM_WORKSPACE", "."), "config", "projects.toml")
    try:
        known = tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        give_up(f"{file} cannot be read: {error}.")
    return {name: Path(folder).expanduser() for name, folder in known.items() if isinstance(folder, str)}


def look(project: str, root: Path, params: Params) -> Iterator[Item]:
    """Find what could go. A folder that git ignores as a whole is looked at as a whole, never into."""
    ignored = run_git(
        *("-C", str(root), "ls-files", "--others", "--ignored", "--exclude-standard", "--directory", "-z")
    )
    if ignored.returncode != 0:
        say(f"{project}: {root} is not a git repository; nothing of it is looked at.")
        return
    oldest = datetime.now(UTC).timestamp() - params.log_days * _DAY_SECONDS  # noqa: TID251 - a program of its own
    for name in filter(None, ignored.stdout.split("\0")):
        path = root / name
        kind = _kind(path, oldest)
        if kind:
            folder = not path.is_symlink() and path.is_dir()
            yield Item(project=project, path=path, kind=kind, bytes=_size(path), folder=folder)


def _kind(path: Path, oldest: float) -> str:
    """What it is; empty for what is none of our business. A link stays: what it points to is somewhere else."""
    try:
        status = path.lstat()
    except OSError:
        return ""
    if stat.S_ISDIR(status.st_mode):
        kind = "cache" if path.name in _CACHES else "build" if path.name in _LEFTOVERS else ""
        return "" if kind and _holds_repository(path) else kind
    if not stat.S_ISREG(status.st_mode):
        return ""
    if path.suffix == ".pyc" or path.name in _CACHES:
        return "cache"
    return "log" if _LOG.match(path.name) and status.st_mtime < oldest else ""


def _holds_repository(folder: Path) -> bool:
    return any(".git" in [*folders, *files] for _, folders, files in os.walk(folder))


def _size(path: Path) -> int:
    """Return the room on the disk that a file or a folder takes, in bytes."""
    total = path.lstat().st_blocks * 512
    if path.is_symlink() or not path.is_dir():
        return total
    for parent, folders, files in os.walk(path):
        for name in (*folders, *files):
            try:
                total += os.lstat(os.path.join(parent, name)).st_blocks * 512
            except OSError:
                continue
    return total


def remove(item: Item) -> str:
    """Remove one, without following a link; return why that failed, or nothing."""
    try:
        if item.folder:
            shutil.rmtree(item.path)
        else:
            item.path.unlink(missing_ok=True)
    except OSError as error:
        return f"{item.path}: {error.strerror or error}"
    return ""


def _readable(size: int) -> str:
    amount = float(size)
    for unit in ("bytes", "KB", "MB"):
        if amount < 1024:
            return f"{amount:.0f} {unit}"
        amount /= 1024
    return f"{amount:.1f} GB"


def main() -> None:
    """Look, remove if told to, publish."""
    params = given(Params)
    places = projects()
    items = [item for name, root in places.items() for item in look(name, root, params)]
    items.sort(key=lambda item: -item.bytes)
    faults = [fault for item in items if params.apply and (fault := remove(item))]
    for item in items[:_ITEMS_MAX]:
        say(f"{_readable(item.bytes):>10}  {item.kind:5}  {item.path}")
    total = sum(item.bytes for item in items)
    done = "were removed" if params.apply else 'could go; params {"apply": true} remove them'
    data = {
        "applied": params.apply,
        "bytes": total,
        "count": len(items),
        "projects": {name: sum(item.bytes for item in items if item.project == name) for name in places},
        "kinds": {kind: sum(item.bytes for item in items if item.kind == kind) for kind in ("cache", "build", "log")},
        "items": [
            {"project": item.project, "path": str(item.path), "kind": item.kind, "bytes": item.bytes}
            for item in items[:_ITEMS_MAX]
        ],
        "faults": faults[:_ITEMS_MAX],
    }
    publish("cleanup", f"{len(items)} things, {_readable(total)}, in {len(places)} projects {done}", data)
    for fault in faults:
        print(fault, file=sys.stderr)
    raise SystemExit(1 if faults else 0)


if __name__ == "__main__":
    main()
