"""Git's own locks: taking the one on the index, knowing those on refs again, and removing none that is not ours."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from foundation.errors import Conflict, Unavailable
from foundation.files import write_all
from merge_guard.intent import FileMark, Intent
from merge_guard.values import Repository


def take_index_lock(intent: Intent) -> None:
    """Lock the index as git does, by making index.lock, with our marker in it.

    Raises Conflict when somebody has it, Unavailable when it cannot be written; nothing is left then.
    """
    try:
        descriptor = os.open(intent.index_lock, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError as error:
        raise Conflict("index_locked", "git is at work in it at the moment (index.lock is there).") from error
    except OSError as error:
        raise Unavailable("repository_not_writable", f"{intent.index_lock}: {error.strerror}.") from error
    try:
        write_all(descriptor, intent.marker)
    except OSError as error:
        intent.index_lock.unlink()
        raise Unavailable("repository_not_writable", f"{intent.index_lock}: {error.strerror}.") from error
    finally:
        os.close(descriptor)


def holds_index_lock(intent: Intent) -> bool:
    """Whether index.lock is there and is ours: it holds the marker, or it was cut off while that was written."""
    try:
        content = intent.index_lock.read_bytes()
    except FileNotFoundError:
        return False
    if content == intent.marker:
        return True
    # An empty one may be anybody's; git's own starts with an index's signature.
    return content != b"" and intent.marker.startswith(content)


def drop_index_lock(intent: Intent) -> None:
    """Let go of the index, if it is we who hold it."""
    if holds_index_lock(intent):
        intent.index_lock.unlink()


def ref_locks(intent: Intent, repository: Repository) -> list[Path]:
    """The locks that moving HEAD takes, HEAD's first; the last is that of a reftable."""
    branch = [repository.common_dir / f"refs/heads/{intent.branch}.lock"] if intent.branch else []
    return [Path(intent.git_dir, "HEAD.lock"), *branch, repository.common_dir / "reftable" / "tables.list.lock"]


def mark(path: Path) -> FileMark | None:
    """What tells a file from another one that gets its name later; None: there is none."""
    try:
        found = os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    return FileMark(path=str(path), device=found.st_dev, inode=found.st_ino, changed_ns=found.st_ctime_ns)


def left_ref_locks(intent: Intent, repository: Repository) -> list[Path]:
    """The locks on refs that a killed git of ours left. Call only while no git of ours runs.

    Ours are those whose marks are recorded. Where git was killed before that, ours is a lock on the branch that
    sets it to our target, and with it an empty one on HEAD that is no younger: git takes HEAD's first and lets it
    go last. A lock that somebody has open is left alone in any case.
    """
    present = [found for path in ref_locks(intent, repository) if (found := mark(path))]
    known = [found for found in present if found in intent.locks]
    if not known and not intent.locks:
        goal = f"{intent.target}\n".encode()
        setting = [found for found in present if _content(Path(found.path)) == goal]
        empty = [found for found in present if _content(Path(found.path)) == b""]
        known = [
            *setting,
            *(one for one in empty if any(one.changed_ns <= other.changed_ns for other in setting)),
        ]
    return [Path(found.path) for found in known if not _is_open(found)]


def _content(path: Path) -> bytes:
    with contextlib.suppress(FileNotFoundError):
        return path.read_bytes()
    return b"?"


def _is_open(found: FileMark) -> bool:
    """Whether a process that we may look at has the file open, as far as /proc tells; without one: no."""
    proc = Path("/proc")
    for process in proc.iterdir() if proc.is_dir() else ():
        if not process.name.isdecimal():
            continue
        with contextlib.suppress(OSError):
            for descriptor in (process / "fd").iterdir():
                with contextlib.suppress(OSError):
                    other = os.stat(descriptor)
                    if (other.st_dev, other.st_ino) == (found.device, found.inode):
                        return True
    return False
