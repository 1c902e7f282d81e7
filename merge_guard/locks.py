"""Git's own locks: taking the one on the index, knowing those on refs again, and removing none that is not ours."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from foundation.errors import Conflict, Unavailable
from merge_guard.intent import FileMark, Intent, recorded_at_ns
from merge_guard.values import Repository

_PROC = Path("/proc")


def take_index_lock(intent: Intent) -> None:
    """Lock the index as git does, by making index.lock; it comes to be with our marker in it, never without.

    Raises Conflict when somebody has it, Unavailable when it cannot be written; nothing is left then.
    """
    try:
        intent.own_lock.write_bytes(intent.marker)
        os.link(intent.own_lock, intent.index_lock)
    except FileExistsError as error:
        raise Conflict("index_locked", "git is at work in it at the moment (index.lock is there).") from error
    except OSError as error:
        raise Unavailable(
            "repository_not_writable", f"The index cannot be locked: {error.strerror}.", remedy=f"See {intent.git_dir}."
        ) from error
    finally:
        intent.own_lock.unlink(missing_ok=True)


def holds_index_lock(intent: Intent) -> bool:
    """Whether index.lock is there and is ours."""
    return _content(intent.index_lock) == intent.marker


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


def left_ref_locks(intent: Intent, repository: Repository) -> tuple[list[Path], bool]:
    """The locks on HEAD and its branch that a killed git of ours left, and whether others may yet turn out to be.

    Ours are those whose marks are recorded. Where git was killed before they could be, ours are those that came after
    the record, which found none there, once no git is at work in the repository. A lock that somebody has open is
    left alone; where /proc is missing nobody knows, and it may be ours. Call only while no git of ours runs.
    """
    present = [found for path in ref_locks(intent, repository) if (found := mark(path))]
    if intent.locks:
        known = [found for found in present if found in intent.locks]
    else:
        since = recorded_at_ns(repository, intent) if present else 0
        known = [found for found in present if found.changed_ns >= since]
        if known and _git_at_work(intent):
            return [], True
    ours = [found for found in known if not _is_open(found)]
    return [Path(found.path) for found in ours], len(ours) < len(known)


def _content(path: Path) -> bytes | None:
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        return path.read_bytes()
    return None


def _git_at_work(intent: Intent) -> bool:
    """Whether a git runs whose folder is in the work tree or its `.git`; where /proc does not tell, it may be so."""
    places = (Path(intent.top), Path(intent.git_dir))
    for process in _processes():
        with contextlib.suppress(OSError):
            folder = Path(os.readlink(process / "cwd"))
            if (process / "comm").read_text().startswith("git") and any(map(folder.is_relative_to, places)):
                return True
    return not _PROC.is_dir()


def _is_open(found: FileMark) -> bool:
    """Whether a process that we may look at has the file open, as far as /proc tells."""
    for process in _processes():
        with contextlib.suppress(OSError):
            for descriptor in (process / "fd").iterdir():
                with contextlib.suppress(OSError):
                    other = os.stat(descriptor)
                    if (other.st_dev, other.st_ino) == (found.device, found.inode):
                        return True
    return False


def _processes() -> list[Path]:
    return [path for path in _PROC.iterdir() if path.name.isdecimal()] if _PROC.is_dir() else []
