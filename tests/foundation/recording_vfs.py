"""A SQLite VFS that notes when files are written and synced, can hold a sync back and can make one fail."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable

import apsw

BASE = "unix"


_numbers = itertools.count(1)
# The encrypting VFS made on top of ours keeps a bare pointer to it, so none may ever be unregistered.
_registered: list[RecordingVfs] = []


class RecordingVfs(apsw.VFS):
    """Lies below the encryption, so it sees what the disk sees; `events` are like `sync wal`."""

    def __init__(self) -> None:
        name = f"recording{next(_numbers)}"
        _registered.append(self)
        self.events: list[str] = []
        self.on_sync: Callable[[str], None] = lambda file: None
        super().__init__(name, BASE)
        self.full_name = f"multipleciphers-{name}"
        """What to open a database with: SQLite3 Multiple Ciphers puts its encryption on top of ours."""

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> apsw.VFSFile:
        return _File(self, name, flags)

    def note(self, event: str) -> None:
        """Append an event; the interpreter's lock puts those of all threads in one order."""
        self.events.append(event)


class _File(apsw.VFSFile):
    def __init__(self, vfs: RecordingVfs, name: str | apsw.URIFilename | None, flags: list[int]) -> None:
        self._vfs = vfs
        self._kind = "wal" if flags[0] & apsw.SQLITE_OPEN_WAL else "database"
        super().__init__(BASE, name, flags)

    def xWrite(self, data: bytes, offset: int) -> None:
        self._vfs.note(f"write {self._kind}")
        super().xWrite(data, offset)

    def xSync(self, flags: int) -> None:
        self._vfs.on_sync(self._kind)
        super().xSync(flags)
        self._vfs.note(f"sync {self._kind}")


class Gate:
    """Holds the first thread that comes by until it is opened; both ends can wait for the other."""

    def __init__(self) -> None:
        self.reached = threading.Event()
        self._open = threading.Event()

    def pass_through(self) -> None:
        """Wait here until `open`."""
        self.reached.set()
        if not self._open.wait(timeout=60):
            raise TimeoutError("nobody opened the gate")

    def open(self) -> None:
        """Let everybody through from now on."""
        self._open.set()
