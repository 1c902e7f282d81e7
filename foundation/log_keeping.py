"""Keeps all logs of a workspace within one quota: renames the long, removes the oldest, compresses the rest."""

from __future__ import annotations

import contextlib
import fcntl
import os
import sys
import threading
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from foundation.files import give_back, sync, sync_directory, write_all
from foundation.log import Logger
from foundation.log_files import (
    COMPRESSED,
    PARTIAL,
    Older,
    age,
    has_name,
    older_of,
    remove,
    rename_now,
)

ERRORS = "errors"
"""The folder below the logs with a file for each failed attempt; what keeps it small is its own rule."""
LOCK = ".keeper"
_LOOK_SECONDS = 5.0
# What is being written is at most this part of the quota; the rest is for what was renamed.
_CURRENT_PART = 4
# Parts of the quota: how much of it a look leaves free, and how much of that one process may write before it looks
# again, by itself if need be. From half of that on the thread is asked to, so that no writer has to: two may flood.
_FREE_PART = 0.15
_CREDIT_PART = 0.10
_LEAST_PART = 0.0025
_PIECE_BYTES = 1 << 18
# About as long as a piece takes: nobody waits for an archive, and others get half of the processor that it is made on.
_PAUSE_SECONDS = 0.005
_LEVEL = 4
_GZIP = 16 + zlib.MAX_WBITS
# What a process of ours says on standard output is a few lines; of more than this a quarter stays, the end.
_SAID_BYTES_MAX = 4 << 20


class Found(NamedTuple):
    """A file, and the room that it takes on the disk."""

    older: Older
    bytes: int


@dataclass(slots=True)
class Survey:
    """What lies in the folder of the logs."""

    total_bytes: int = 0
    current: dict[str, int] = field(default_factory=dict)  # size of each log that is written to
    older: list[Found] = field(default_factory=list)  # the oldest first
    partial: list[str] = field(default_factory=list)
    said: dict[str, int] = field(default_factory=dict)  # size of each `<process>.out`


@dataclass(frozen=True, slots=True)
class Kept:
    """What one look has done."""

    bytes_before: int
    bytes_after: int
    renamed: int
    removed: int


def survey(folder: str) -> Survey:
    """Look at every file once. What comes and goes meanwhile is counted as it was seen."""
    seen = Survey()
    for entry, size in _files(folder):
        seen.total_bytes += size
        older = older_of(entry.name)
        if older is not None:
            seen.older.append(Found(older, size))
        elif entry.name.endswith(PARTIAL):
            seen.partial.append(entry.name)
        elif entry.name.endswith(".log"):
            seen.current[entry.name] = size
        elif entry.name.endswith(".out"):
            seen.said[entry.name] = size
    seen.older.sort(key=lambda found: age(found.older))
    seen.total_bytes += sum(size for _, size in _files(f"{folder}/{ERRORS}"))
    return seen


def _files(folder: str) -> Iterator[tuple[os.DirEntry[str], int]]:
    with contextlib.suppress(FileNotFoundError), os.scandir(folder) as entries:
        for entry in entries:
            with contextlib.suppress(FileNotFoundError):
                if entry.is_file(follow_symlinks=False):
                    yield entry, entry.stat(follow_symlinks=False).st_blocks * 512


def level(sizes: Sequence[int], room: int) -> int:
    """How long each of these may be, so that all together fit into `room`: the short ones leave theirs to the long."""
    ordered = sorted(sizes)
    for count, size in zip(range(len(ordered), 0, -1), ordered, strict=True):
        if size * count > room:
            return room // count
        room -= size
    return sys.maxsize


class LogKeeper:
    """One per process that writes much. Any may make room; only who holds the folder's lock compresses.

    `spend` is for the hot path: it counts, and looks at the folder only when what was left by the last look is used up.
    """

    def __init__(self, folder: Path, log: Logger, *, bytes_max: int, files_max: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = str(folder)
        self._log = log
        self._bytes_max = bytes_max
        self._files_max = files_max
        self._spent = 0  # written to logs by this process
        self._credit = 0  # and how much that may be until somebody looks again
        self._wake_below = 0
        self._counting = threading.Lock()
        self._looking = threading.Lock()
        self._lock = -1
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._failed = False
        self._refused: OSError | None = None  # of what one look wanted to do to a file
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Look now and then, and compress what was renamed, in a thread."""
        self._thread = threading.Thread(target=self._run, name="log-keeper", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the thread; returns when it has ended. What it was compressing is left for the next time."""
        self._closing.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join()
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def spend(self, size: int) -> None:
        """So much is about to be written to a log; returns when there is room for it."""
        with self._counting:
            self._spent += size
            left = self._credit - self._spent
        if left < 0:
            self.look()
        elif left < self._wake_below:
            self._wake.set()

    def wake(self) -> None:
        """A log was renamed: it is to be compressed."""
        self._wake.set()

    def begin_anew(self) -> int:
        """Rename every log that has something in it; returns how many."""
        return sum(rename_now(f"{self._folder}/{name}") for name in survey(self._folder).current)

    def look(self) -> Kept:
        """Bring the logs under the quota, as far as there is something to remove."""
        with self._looking:
            spent = self._spent  # what is written from here on may or may not be seen, and counts in any case
            kept = self._make_room(survey(self._folder))
            credit = min(self._bytes_max - kept.bytes_after, int(self._bytes_max * _CREDIT_PART))
            least = int(self._bytes_max * _LEAST_PART)
            with self._counting:
                self._credit = max(spent + credit, self._spent + least)
                self._wake_below = credit // 2
        return kept

    def _make_room(self, seen: Survey) -> Kept:
        self._refused = None
        renamed = self._rename_long(seen)
        if renamed:
            self._wake.set()
            seen = survey(self._folder)
        total, removed = seen.total_bytes, 0
        many: dict[str, int] = {}
        for found in reversed(seen.older):
            many[found.older.log] = many.get(found.older.log, 0) + 1
        goal = self._bytes_max * (1 - _FREE_PART)
        for found in seen.older:
            too_many = many[found.older.log] > self._files_max
            if total > goal or too_many:
                with self._noted():
                    remove(self._folder, found.older)
                    many[found.older.log] -= 1
                    total -= found.bytes
                    removed += 1
        return Kept(seen.total_bytes, total, renamed, removed)

    def _rename_long(self, seen: Survey) -> int:
        most = level(list(seen.current.values()), self._bytes_max // _CURRENT_PART)
        renamed = 0
        for name, size in seen.current.items():
            if size > most:
                with self._noted():
                    renamed += rename_now(f"{self._folder}/{name}")
        return renamed

    @contextlib.contextmanager
    def _noted(self) -> Iterator[None]:
        """One file that the system keeps from us (another user's) keeps no other from being written or removed."""
        try:
            yield
        except OSError as error:
            self._refused = error

    # -- in the thread

    def _run(self) -> None:
        # No nice value of its own: whoever waits for a thread that stands back would stand back with it.
        while not self._closing.is_set():
            try:
                self.look()
                self.compress_all()
                self._cut_talkers()
                if self._refused is not None:
                    self._say(self._refused)
                else:
                    self._failed = False
            except OSError as error:
                self._say(error)
            self._wake.wait(_LOOK_SECONDS)
            self._wake.clear()

    def _say(self, error: OSError) -> None:
        if not self._failed:
            said = f"The logs cannot be kept in order just now: {error.strerror or error}."
            self._log.warning(said, action="logs_not_kept")
        self._failed = True

    def compress_all(self) -> int:
        """Compress what was renamed, the newest first, because it stays longest; returns how many.

        Nothing while another process has the folder's lock: it does the same.
        """
        if not self._is_ours():
            return 0
        done = 0
        while not self._closing.is_set() and (next_one := self._next()) is not None:
            self._compress(next_one)
            done += 1
            self._look_when_due()
        return done

    def _look_when_due(self) -> None:
        if self._credit - self._spent < self._wake_below:
            self.look()

    def _is_ours(self) -> bool:
        path = f"{self._folder}/{LOCK}"
        if self._lock >= 0 and not has_name(self._lock, path):
            os.close(self._lock)  # cleared away with the folder: another keeper may hold the one that is there now
            self._lock = -1
        if self._lock < 0:
            handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(handle)
                return False
            self._lock = handle
        return True

    def _next(self) -> Older | None:
        """Clears away what a crash has left, and finds the newest that is to be compressed."""
        seen = survey(self._folder)
        for name in seen.partial:
            _unlink(f"{self._folder}/{name}")  # ours is the lock, and we are compressing nothing
        whole = {(found.older.log, found.older.stamp) for found in seen.older if found.older.compressed}
        for found in reversed(seen.older):
            if not found.older.compressed:
                if (found.older.log, found.older.stamp) not in whole:
                    return found.older
                _unlink(f"{self._folder}/{found.older.name}")
        return None

    def _compress(self, older: Older) -> None:
        source, target = f"{self._folder}/{older.name}", f"{self._folder}/{older.name}{COMPRESSED}"
        partial = f"{self._folder}/.{older.name}{COMPRESSED}{PARTIAL}"
        try:
            with open(source, "rb") as plain:
                try:
                    self._write_compressed(plain.fileno(), partial)
                    if self._closing.is_set():
                        _unlink(partial)
                        return
                    os.rename(partial, target)
                except BaseException:
                    _unlink(partial)
                    raise
        except FileNotFoundError:
            return  # the quota was quicker
        sync_directory(Path(self._folder))
        if not _unlink(source):
            _unlink(target)  # it was removed to make room while it was being compressed

    def _write_compressed(self, plain: int, partial: str) -> None:
        status = os.fstat(plain)
        compress = zlib.compressobj(_LEVEL, zlib.DEFLATED, _GZIP)
        handle = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            while not self._closing.is_set() and (piece := os.read(plain, _PIECE_BYTES)):
                self._put(handle, compress.compress(piece))
                self._closing.wait(_PAUSE_SECONDS)
            self._put(handle, compress.flush())
            os.utime(handle, ns=(status.st_atime_ns, status.st_mtime_ns))
            sync(handle)
        finally:
            os.close(handle)

    def _put(self, handle: int, data: bytes) -> None:
        if data:
            self.spend(len(data))
            write_all(handle, data)
            self._look_when_due()

    def _cut_talkers(self) -> None:
        """Free the beginning of what a process has said, which it goes on writing to: its name cannot be taken away."""
        for name, size in survey(self._folder).said.items():
            if size > _SAID_BYTES_MAX:
                with contextlib.suppress(FileNotFoundError), open(f"{self._folder}/{name}", "rb+") as said:
                    give_back(said.fileno(), 0, os.fstat(said.fileno()).st_size - _SAID_BYTES_MAX // 4)


def _unlink(path: str) -> bool:
    try:
        os.unlink(path)
    except FileNotFoundError:
        return False
    return True
