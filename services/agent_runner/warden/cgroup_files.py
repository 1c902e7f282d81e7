"""One cgroup as a folder of small files, which are opened when they are first used and then kept open."""

from __future__ import annotations

import contextlib
import errno
import os
import resource
from typing import ClassVar

# The cgroups of a run are named by this and the run.
CELLS_PREFIX = "quantum-"


# Descriptors that are left for everything else.
_SPARE = 64


class Folder:
    """A cgroup; reading a file that is open already costs a microsecond.

    Of one that has been removed under our hands nothing is read: there is nobody in it, and no limit was hit.
    """

    __slots__ = ("_open", "path")

    _with_open_files: ClassVar[set[Folder]] = set()
    _handle_max: ClassVar[int] = resource.getrlimit(resource.RLIMIT_NOFILE)[0] - _SPARE

    def __init__(self, path: str) -> None:
        self.path = path
        self._open: dict[str, int] = {}

    def make(self) -> None:
        """Make it, or find it; raises OSError."""
        with contextlib.suppress(FileExistsError):
            os.mkdir(self.path, 0o755)

    def has(self, name: str) -> bool:
        """Whether this kernel has such a file."""
        return os.path.exists(f"{self.path}/{name}")

    def write(self, name: str, text: str) -> None:
        """Raises OSError with the kernel's answer."""
        os.write(self._handle(name), text.encode())

    def read(self, name: str) -> bytes:
        """The whole file; raises OSError."""
        try:
            handle = self._handle(name)
            text = os.pread(handle, 65536, 0)
            while text and len(text) % 65536 == 0 and (more := os.pread(handle, 65536, len(text))):
                text += more
        except OSError as error:
            if self._is_gone(error):
                return b""
            raise
        return text

    def _is_gone(self, error: OSError) -> bool:
        return error.errno == errno.ENODEV or (error.errno == errno.ENOENT and not os.path.isdir(self.path))

    def number(self, name: str) -> int:
        """A file that holds one number."""
        return int(self.read(name) or 0)

    def field(self, name: str, key: bytes) -> int:
        """The number behind a name in a file of such lines; 0 when it is not there."""
        return value_of(self.read(name), key)

    def pids(self) -> list[int]:
        """The processes in it."""
        return [int(pid) for pid in self.read("cgroup.procs").split()]

    def close(self) -> None:
        """Hold no descriptors until something is asked again."""
        for handle in self._open.values():
            os.close(handle)
        self._open.clear()
        self._with_open_files.discard(self)

    def remove(self) -> bool:
        """Take it away with the empty ones below; false when something lives in it."""
        self.close()
        try:
            for entry in os.scandir(self.path):
                if entry.is_dir(follow_symlinks=False):
                    Folder(entry.path).remove()
            os.rmdir(self.path)
        except FileNotFoundError:
            return True
        except OSError:
            return False
        return True

    def _handle(self, name: str) -> int:
        handle = self._open.get(name)
        if handle is None:
            handle = _open(f"{self.path}/{name}")
            if handle >= self._handle_max:
                # A hundred services have more files than a process may have open.
                for folder in list(self._with_open_files):
                    folder.close()
            self._open[name] = handle
            self._with_open_files.add(self)
        return handle


def cells_name(run: str, warden_pid: int, warden_ticks: int) -> str:
    """How the cgroups of a run are called: also tells whether its warden still lives."""
    return f"{CELLS_PREFIX}{run}-{warden_pid}-{warden_ticks}-"


def value_of(text: bytes, key: bytes) -> int:
    """The number behind a name, one a line; 0 when it is not there."""
    at = 0 if text.startswith(key + b" ") else text.find(b"\n" + key + b" ") + 1
    if at == 0 and not text.startswith(key + b" "):
        return 0
    begin = at + len(key) + 1
    end = text.find(b"\n", begin)
    return int(text[begin:] if end < 0 else text[begin:end])


def _open(path: str) -> int:
    """For reading and writing, or whichever of the two the file allows."""
    for way in (os.O_RDWR, os.O_RDONLY):
        with contextlib.suppress(PermissionError):
            return os.open(path, way | os.O_CLOEXEC)
    return os.open(path, os.O_WRONLY | os.O_CLOEXEC)
