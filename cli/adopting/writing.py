"""Writes a proposal so that it is there whole or not at all, and takes it back byte for byte."""

from __future__ import annotations

import base64
import fcntl
import hashlib
import json
import os
import shutil
import stat
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from foundation.errors import Conflict, NotFound
from foundation.files import atomic_write, sync, sync_directory, write_all
from foundation.workspace import Workspace

PLAN, APPLIED, UNDONE = "plan.json", "applied", "undone"
LATEST = "latest"


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One file that is to become another. `before` is the digest of what is there, empty where nothing is."""

    path: Path
    before: str
    after: bytes
    mode: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Entry:
    """A change as the journal has it."""

    path: str
    before: str
    after: str
    mode: int
    mtime_ns: int
    kept: str
    """What it held before, in base64; empty for a file that was made."""
    scrap: str
    folder: str
    """A folder that was made for it; empty for none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Undone:
    """What an undo did: files that are as before, and those that somebody has edited since and that were left."""

    id: str
    restored: tuple[str, ...]
    edited: tuple[str, ...]


def apply(workspace: Workspace, changes: Sequence[Change], *, now: datetime) -> str:
    """Write them all, and return the id of the journal with which they are taken back.

    What an apply that was killed has left half done is taken back first. Raises Conflict when a file is no longer as
    it was when it was read, or no longer where it was, and OSError; then none of them stays written.
    """
    with _locked(workspace) as root:
        mend(root)
        changed = [str(change.path) for change in changes if not _is_as_read(change.path, change.before)]
        if changed:
            raise Conflict(
                "changed_since",
                f"Of what was read has changed meanwhile: {', '.join(changed[:5])}.",
                remedy="Nothing was written. Look at the proposal again.",
            )
        journal = _new_journal(root, now)
        entries = _remember(journal, changes)
        try:
            for entry, change in zip(entries, changes, strict=True):
                _write(entry, change.after)
            _sync_folders(entries)
        except (Conflict, OSError):
            mend(root)
            raise
        _mark(journal, APPLIED)
        return journal.name


def undo(workspace: Workspace, which: str = LATEST) -> Undone:
    """Take an apply back. Files that were edited since are left, and named; the others are as they were.

    Raises NotFound when there is none of that id.
    """
    with _locked(workspace) as root:
        mend(root)
        journal = _find(root, which)
        entries = _read_plan(journal)
        edited = [entry.path for entry in entries if not _ours(entry)]
        restored = [entry.path for entry in reversed(entries) if _ours(entry) and _take_back(entry)]
        _sync_folders(entries)
        if not edited:
            _mark(journal, UNDONE)
        return Undone(id=journal.name, restored=tuple(reversed(restored)), edited=tuple(edited))


def unfinished(workspace: Workspace) -> list[str]:
    """Applies that were cut short; the next apply or undo takes them back."""
    root = workspace.state / "adopt"
    return [journal.name for journal in _journals(root) if not _is_marked(journal, APPLIED, UNDONE)]


def mend(root: Path) -> None:
    """Take back what a killed apply has left. A file that was edited meanwhile stays as it is."""
    for journal in _journals(root):
        if _is_marked(journal, APPLIED, UNDONE):
            continue
        entries = _read_plan(journal)
        for entry in reversed(entries):
            Path(entry.scrap).unlink(missing_ok=True)
            if _ours(entry):
                _take_back(entry)
        _sync_folders(entries)
        _mark(journal, UNDONE)


@contextmanager
def _locked(workspace: Workspace) -> Iterator[Path]:
    root = workspace.state / "adopt"
    workspace.state.mkdir(mode=0o700, exist_ok=True)
    root.mkdir(mode=0o700, exist_ok=True)
    descriptor = os.open(root / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Conflict("adopting", "Another quantum adopt writes in this workspace just now.") from None
        yield root
    finally:
        os.close(descriptor)


def _journals(root: Path) -> list[Path]:
    """Those with a plan: without one, nothing was written yet."""
    return sorted(plan.parent for plan in root.glob(f"*/{PLAN}"))


def _new_journal(root: Path, now: datetime) -> Path:
    name = now.strftime("%Y%m%dT%H%M%SZ")
    number = 1
    while True:
        journal = root / (name if number == 1 else f"{name}-{number}")
        try:
            journal.mkdir(mode=0o700)
        except FileExistsError:
            number += 1
            continue
        sync_directory(root)
        return journal


def _remember(journal: Path, changes: Sequence[Change]) -> list[_Entry]:
    """Everything that taking back needs, durable before the first file is touched."""
    entries = []
    for number, change in enumerate(changes):
        kept, mtime, mode = "", 0, change.mode
        if change.before:
            status = change.path.stat()
            kept, mtime, mode = _kept(change), status.st_mtime_ns, stat.S_IMODE(status.st_mode)
        parent = change.path.parent
        entries.append(
            _Entry(
                path=str(change.path),
                before=change.before,
                after=hashlib.sha256(change.after).hexdigest(),
                mode=mode,
                mtime_ns=mtime,
                kept=kept,
                scrap=str(parent / f".quantum-adopt-{journal.name}-{number}"),
                folder="" if parent.is_dir() else str(parent),
            )
        )
    plan = json.dumps({"root": _root_of(journal), "changes": [asdict(entry) for entry in entries]}, indent=1)
    atomic_write(journal / PLAN, plan.encode(), 0o600)
    return entries


def _kept(change: Change) -> str:
    data = change.path.read_bytes()
    if hashlib.sha256(data).hexdigest() != change.before:
        raise Conflict("changed_since", f"{change.path} has changed just now.", remedy="Nothing was written.")
    return base64.b64encode(data).decode()


def _write(entry: _Entry, data: bytes) -> None:
    path = Path(entry.path)
    if entry.folder:
        path.parent.mkdir(mode=0o755, exist_ok=True)
    if not _is_as_read(path, entry.before):
        raise Conflict("changed_since", f"{path} has changed just now.", remedy="Nothing stays written.")
    _replace(entry, data, keeps=path if entry.before else None)


def _replace(entry: _Entry, data: bytes, *, keeps: Path | None) -> None:
    """The new content in the old one's place, with its owner, mode and attributes."""
    scrap, path = Path(entry.scrap), Path(entry.path)
    descriptor = os.open(scrap, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        write_all(descriptor, data)
        if keeps is not None:
            status = keeps.stat()
            if (status.st_uid, status.st_gid) != (os.geteuid(), os.getegid()):
                os.fchown(descriptor, status.st_uid, status.st_gid)
            shutil.copystat(keeps, scrap)
            os.utime(scrap)  # what it holds is new, and `make` and the catalogue must see that
        os.fchmod(descriptor, entry.mode)
        sync(descriptor)
    finally:
        os.close(descriptor)
    os.replace(scrap, path)


def _sync_folders(entries: Sequence[_Entry]) -> None:
    """All names are durable, before the journal says that all is done."""
    for folder in sorted({Path(entry.path).parent for entry in entries}):
        for each in (folder, folder.parent):
            if each.is_dir():
                sync_directory(each)


def _ours(entry: _Entry) -> bool:
    """Whether a file is as we left it or as it was before, its mode too: nobody has edited it in between."""
    path = Path(entry.path)
    found = _digest(path)
    return found in (entry.after, entry.before) and (not found or stat.S_IMODE(path.stat().st_mode) == entry.mode)


def _take_back(entry: _Entry) -> bool:
    path = Path(entry.path)
    if not entry.before:
        path.unlink(missing_ok=True)
        folder = Path(entry.folder) if entry.folder else None
        if folder is not None and folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()
        return True
    if _digest(path) == entry.after != entry.before:
        _replace(entry, base64.b64decode(entry.kept), keeps=path)
    os.chmod(path, entry.mode)
    # What it holds is what it held; only then is it the same file for `make` and for backups.
    os.utime(path, ns=(path.stat().st_atime_ns, entry.mtime_ns))
    return True


def _find(root: Path, which: str) -> Path:
    journals = [journal for journal in _journals(root) if not _is_marked(journal, UNDONE)]
    chosen = [journal for journal in journals if which in (LATEST, journal.name)]
    if not chosen:
        known = ", ".join(journal.name for journal in journals[-5:])
        said = f"There is nothing of “{which}” to undo." if which != LATEST else "There is nothing to undo."
        raise NotFound("nothing_adopted", said, remedy=f"These can be undone: {known}." if known else "")
    return chosen[-1]


def _read_plan(journal: Path) -> list[_Entry]:
    document: Mapping[str, Any] = json.loads((journal / PLAN).read_bytes())
    was, now = document.get("root", ""), _root_of(journal)
    return [_moved(_Entry(**each), was, now) for each in document["changes"]]


def _root_of(journal: Path) -> str:
    """The workspace that a journal lies in."""
    return os.path.realpath(journal.parents[2])


def _moved(entry: _Entry, was: str, now: str) -> _Entry:
    """An entry as it is right where the workspace is now: it may have been moved, or be a copy, since."""
    paths = {name: getattr(entry, name) for name in ("path", "scrap", "folder")}
    within = {name: path for name, path in paths.items() if was and path.startswith(f"{was}/")}
    return replace(entry, **{name: now + path.removeprefix(was) for name, path in within.items()})


def _mark(journal: Path, name: str) -> None:
    atomic_write(journal / name, b"", 0o600)


def _is_marked(journal: Path, *names: str) -> bool:
    return any((journal / name).exists() for name in names)


def _is_as_read(path: Path, before: str) -> bool:
    """Whether a file is still what it was, and its folder no link to somewhere else."""
    return _digest(path) == before and os.path.realpath(path.parent) == str(path.parent)


def _digest(path: Path) -> str:
    if path.is_symlink():
        return "a link"  # adopt reads and writes none: somebody has put it there since
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except (FileNotFoundError, NotADirectoryError):
        return ""
