"""A log that several processes append to and any of them rotates: no line is lost, written twice or torn."""

from __future__ import annotations

import contextlib
import fcntl
import gzip
import os
import re
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import BinaryIO, NamedTuple, cast

COMPRESSED = ".gz"
PARTIAL = ".partial"
"""What a file that is being compressed is called meanwhile, with a dot before it; nobody reads such a file."""

_STAMP = "%Y%m%d-%H%M%S-%f"
# A file of somebody's that only looks like one of ours is none: its moment must be one that a clock can show.
_MOMENT = r"[12]\d{3}(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])-(?:[01]\d|2[0-3])(?:[0-5]\d){2}-\d{3}"
_OLDER = re.compile(rf"(?P<log>.+\.log)\.(?P<stamp>{_MOMENT}|\d{{1,3}})(?P<compressed>\.gz)?\Z", re.ASCII)
_MILLISECOND = timedelta(milliseconds=1)
# A renaming takes some microseconds. Whoever was stopped in the middle of one keeps nobody from writing.
_PATIENCE_SECONDS = 1.0
_LOOK_AGAIN_SECONDS = 0.001
# A log that others write to all the time gets twice as long as it should; then somebody waits for a gap between them.
_TRIES = 100


class Older(NamedTuple):
    """A log that was renamed: `system.log.20261128-183000-123`, named by the time of its last line, then `….gz`.

    Sorted by age. Of two runs of the same stamp the one that is compressed is whole, the other on its way out.
    """

    stamp: str  # a number of one to three digits, from before there were times, counts as older than all
    log: str
    compressed: bool

    @property
    def name(self) -> str:
        """Its file's name."""
        return f"{self.log}.{self.stamp}{COMPRESSED if self.compressed else ''}"


def older_of(name: str) -> Older | None:
    """What a file's name says; None: it is not that of a renamed log."""
    found = _OLDER.match(name)
    return Older(found["stamp"], found["log"], found["compressed"] is not None) if found else None


class LogFile:
    """One log. Whoever writes holds it shared, whoever renames holds it alone; both look that it is still the one
    that has the name. So nothing is written to a log that was renamed, and it may be compressed at once.
    """

    def __init__(self, path: Path | str, *, bytes_max: int, files_max: int, stays_open: bool = False) -> None:
        """A log that would grow beyond `bytes_max` is renamed; `files_max` of those that were are kept.

        Other processes see a log that `stays_open` no differently: it saves opening it for each line.
        """
        self._path = str(path)
        self._bytes_max = bytes_max
        self._files_max = files_max
        self._stays_open = stays_open
        self._handle = -1
        self._torn = False  # the last thing that we wrote is the beginning of a line
        self._looked = False  # whether a process before us was killed in the middle of one

    def append(self, data: bytes) -> bool:
        """Append whole lines, in one piece; says whether the log was renamed for that.

        Raises OSError (a full disk); then none of them stands there.
        """
        renamed = False
        while True:
            handle = self._hold()
            try:
                size = os.fstat(handle).st_size
                if size and size + len(data) > self._bytes_max and not renamed:
                    renamed = self._rename(handle, _TRIES if size > 2 * self._bytes_max else 1)
                    if renamed:
                        self.close()
                        continue
                    # Others are writing just now: what makes it too long is for the next who appends.
                    if not _hold(handle, self._path):
                        self.close()
                        continue
                self._write(handle, b"\n" + data if self._torn else data)
                self._torn = False
                return renamed
            finally:
                self._let_go()

    def close(self) -> None:
        """Let the file go."""
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1

    def _hold(self) -> int:
        """The log that has the name now, held shared."""
        while True:
            if self._handle < 0:
                self._handle = self._open()
                if not self._looked:
                    self._looked = _end_half_a_line(self._handle, self._path)
            if _hold(self._handle, self._path):
                return self._handle
            self.close()

    def _open(self) -> int:
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        try:
            return os.open(self._path, flags, 0o600)
        except FileNotFoundError:
            # Somebody has cleared the folder away. Not its parents: with those the whole workspace has gone.
            with contextlib.suppress(FileExistsError):
                os.mkdir(os.path.dirname(self._path))
            return os.open(self._path, flags, 0o600)

    def _let_go(self) -> None:
        if not self._stays_open:
            self.close()
        elif self._handle >= 0:
            fcntl.flock(self._handle, fcntl.LOCK_UN)

    def _write(self, handle: int, data: bytes) -> None:
        written = 0
        try:
            while written < len(data):
                written += os.write(handle, data[written:])
        except OSError:
            if written:
                self._take_back(handle, written)
            raise

    def _take_back(self, handle: int, size: int) -> None:
        """Half of a line is none: cut it off, unless others have written behind it."""
        self._torn = True
        with contextlib.suppress(OSError):
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            end = os.lseek(handle, 0, os.SEEK_CUR)
            if os.fstat(handle).st_size == end:
                os.ftruncate(handle, end - size)
                self._torn = False

    def _rename(self, handle: int, tries: int) -> bool:
        while not rename(self._path, handle):
            tries -= 1
            if not tries:
                return False
            time.sleep(_LOOK_AGAIN_SECONDS)
        forget_beyond(self._path, self._files_max)
        return True


def _hold(handle: int, path: str) -> bool:
    """Hold a log shared; says whether it has its name still."""
    waited = 0.0
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            if waited < _PATIENCE_SECONDS:
                time.sleep(_LOOK_AGAIN_SECONDS)
                waited += _LOOK_AGAIN_SECONDS
                continue
        return has_name(handle, path)


def _end_half_a_line(handle: int, path: str) -> bool:
    """End the line that a killed process has left half written, or ours would be its other half; False when others are
    writing just now, of whose lines it cannot be told."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    size = os.fstat(handle).st_size
    if size and has_name(handle, path) and os.pread(handle, 1, size - 1) != b"\n":
        os.write(handle, b"\n")
    fcntl.flock(handle, fcntl.LOCK_UN)
    return True


def has_name(handle: int, path: str) -> bool:
    """Whether an open file is still the one of this name."""
    try:
        return os.path.samestat(os.fstat(handle), os.stat(path))
    except FileNotFoundError:
        return False


def rename(path: str, handle: int) -> bool:
    """Rename a log that is open here; False when somebody writes to it just now, who may be asked to do it himself.

    Also True when somebody else has just renamed it. What was held of it before is held no more.
    """
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    if has_name(handle, path):
        os.rename(path, f"{path}.{_next_stamp(path, os.fstat(handle).st_mtime)}")
    return True


def rename_now(path: str) -> bool:
    """Rename a log that others write to, unless it is empty; False when that cannot be just now."""
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        return bool(os.fstat(handle).st_size) and rename(path, handle)
    finally:
        os.close(handle)


def _next_stamp(path: str, mtime: float) -> str:
    """The time of its last line, or one later than that of the newest that was renamed before it."""
    moment = datetime.fromtimestamp(mtime, UTC)
    timed = [older.stamp for older in olders(path) if "-" in older.stamp]
    if timed:
        with contextlib.suppress(ValueError):  # the thirtieth of February
            newest = datetime.strptime(f"{max(timed)}000", _STAMP).replace(tzinfo=UTC)
            moment = max(moment, newest + _MILLISECOND)
    return moment.strftime(_STAMP)[:-3]


def olders(path: str) -> list[Older]:
    """Those of one log that were renamed, the oldest first, each once."""
    folder, log = os.path.split(path)
    found: dict[str, Older] = {}
    for name in os.listdir(folder or "."):
        older = older_of(name) if name.startswith(log) else None
        if older is not None and older.log == log and not (older.stamp in found and not older.compressed):
            found[older.stamp] = older
    return sorted(found.values(), key=age)


def files_of(path: Path) -> list[Path]:
    """One log from its beginning: those that were renamed, the oldest first, then the one that is written to."""
    if not path.parent.is_dir():
        return []
    found = [path.with_name(older.name) for older in olders(str(path))]
    return [*found, path] if path.exists() else found


def open_log(path: Path) -> BinaryIO:
    """A log to read from, by the name that it had when `files_of` looked: it may be compressed since."""
    if path.suffix == COMPRESSED:
        return cast(BinaryIO, gzip.open(path, "rb"))
    try:
        return path.open("rb")
    except FileNotFoundError:
        if older_of(path.name) is None:
            raise
        return cast(BinaryIO, gzip.open(f"{path}{COMPRESSED}", "rb"))


def age(older: Older) -> tuple[bool, str]:
    """Sorts the oldest first; those that have a number instead of a time the highest number first."""
    return ("-" in older.stamp, older.stamp) if "-" in older.stamp else (False, f"{999 - int(older.stamp):03}")


def forget_beyond(path: str, files_max: int) -> None:
    """Remove the oldest of one log, so that no more than `files_max` are kept beside it."""
    found = olders(path)
    for older in found[: max(len(found) - files_max, 0)]:
        remove(os.path.dirname(path), older)


def remove(folder: str, older: Older) -> None:
    """Remove one that was renamed, in whatever form it is there."""
    for form in (older._replace(compressed=False), older._replace(compressed=True)):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(f"{folder}/{form.name}")
