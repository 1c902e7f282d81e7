"""Slots: one folder per attempt that runs at the same time, used again and again because making files is
dear, but for those of sandboxes and other users.

A slot holds `out` (raw output, open as long as the slot is there), `params.json`, `last_report.json`, `report.json`,
the scratch folder `work`, and for those that ask for them `credential` and the folder `secrets`. Only the warden writes
here; the runner reads `out` and `report.json` until it releases the slot.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import resource
import stat
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

from foundation.files import write_all
from services.agent_runner.warden.trash import Trash

NO_PARAMS = "{}"
# Descriptors beyond this are for looking at what runs; without one it could not be ended.
_OUTPUT_MAX = resource.getrlimit(resource.RLIMIT_NOFILE)[0] - 32


class _Seen(NamedTuple):
    """Tells whether a file or folder is still as we left it."""

    inode: int
    mode: int
    owner: int
    modified_ns: int

    @classmethod
    def of(cls, path: str) -> _Seen:
        status = os.lstat(path)
        return cls(status.st_ino, status.st_mode, status.st_uid, status.st_mtime_ns)

    @classmethod
    def stamp(cls, path: str) -> _Seen:
        """Date it back first: a change within the same tick of the file system's clock would not show
        otherwise."""
        os.utime(path, ns=(0, 0), follow_symlinks=False)
        return cls.of(path)


class Slot:
    """One slot; `output` is a descriptor that all attempts in it share, one after the other."""

    __slots__ = (
        "_clean_params", "_clean_work", "_flags", "_has_credential", "_has_last_report", "_has_report",
        "_named", "_out", "_owner", "_secret_names", "_size", "_tidied", "_trash", "credential", "environment",
        "folder", "given", "index", "last_report", "output", "params", "report", "secrets", "spoiled", "work",
    )  # fmt: skip

    def __init__(self, root: Path, index: int, trash: Trash) -> None:
        folder = root / str(index)
        folder.mkdir(mode=0o700)
        self.folder = str(folder)
        self.given = False
        """Whether a script had it that must not reach those of others."""
        self._tidied: Callable[[], None] | None = None
        self._trash = trash
        self.index = index
        self._out = f"{folder}/out"
        self.params = f"{folder}/params.json"
        self.report = f"{folder}/report.json"
        self.last_report = f"{folder}/last_report.json"
        self.credential = f"{folder}/credential"
        self.secrets = f"{folder}/secrets"
        self.work = f"{folder}/work"
        paths = {"QUANTUM_PARAMS": self.params, "QUANTUM_REPORT": self.report, "QUANTUM_WORKDIR": self.work}
        self.environment = {name.encode(): os.fsencode(path) for name, path in paths.items()}
        self.output = -1
        self._flags = 0
        self._size = 0
        self._named = True
        self._clean_params: _Seen | None = None
        self._clean_work: _Seen | None = None
        self._has_last_report = False
        self._has_credential = False
        self._secret_names: list[str] = []
        self._has_report = False
        self.spoiled = False  # something in it cannot be taken away: it is no place for another attempt

    def prepare(
        self, params: str, last_report: str, credential: str = "", secrets: Iterable[tuple[str, str]] = ()
    ) -> None:
        """Make the slot ready for an attempt; raises OSError (disk full, no rights)."""
        self._prepare_output()
        self._prepare_params(params)
        if last_report:
            _write_private(self.last_report, last_report)
            self._has_last_report = True
        if credential:
            _write_private(self.credential, credential)
            self._has_credential = True
        if secrets:
            self._prepare_secrets(secrets)
        if self._clean_work is None:
            self._take_away(self.work)
            os.mkdir(self.work, 0o700)
            self._clean_work = _Seen.stamp(self.work)

    def _prepare_secrets(self, secrets: Iterable[tuple[str, str]]) -> None:
        self._take_away(self.secrets)
        os.mkdir(self.secrets, 0o700)
        for name, secret in secrets:
            self._secret_names.append(name)
            _write_private(f"{self.secrets}/{name}", secret)

    def _prepare_output(self) -> None:
        # Who shares a descriptor may switch off appending for all who do.
        if self.output >= 0 and fcntl.fcntl(self.output, fcntl.F_GETFL) != self._flags:
            self._close_output()
        if self.output < 0:
            self.output = os.open(self._out, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW, 0o600)
            if self.output >= _OUTPUT_MAX:
                self._close_output()
                raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
            self._flags = fcntl.fcntl(self.output, fcntl.F_GETFL)
            self._named = True

    def _prepare_params(self, params: str) -> None:
        # Most tasks have no params: then the file of the attempt before is as good as a new one.
        if params == NO_PARAMS and self._clean_params:
            return
        _write_private(self.params, params)
        self._clean_params = _Seen.stamp(self.params) if params == NO_PARAMS else None

    def output_bytes(self) -> int:
        """Size of the raw output."""
        status = os.fstat(self.output)
        self._size, self._named = status.st_size, status.st_nlink == 1
        return status.st_size

    def read_output(self, size: int) -> bytes:
        """The first so many bytes of the raw output."""
        return os.pread(self.output, size, 0) if size else b""

    def unread_bytes(self) -> int:
        """Raw output on the disk; what the runner has read is punched out in long outputs."""
        return os.fstat(self.output).st_blocks * 512

    def has_report(self) -> bool:
        """Whether the script left something at QUANTUM_REPORT."""
        self._has_report = os.path.lexists(self.report)
        return self._has_report

    def give_to(self, uid: int, gid: int) -> None:
        """Have all in it belong to whom the attempt runs as; -1: to this process's own user, in a sandbox."""
        self.given = True
        if uid < 0:
            return
        os.chown(self.folder, uid, gid)
        for folder, folders, files in os.walk(self.folder):
            for name in (*folders, *files):
                os.chown(os.path.join(folder, name), uid, gid, follow_symlinks=False)

    def when_tidy(self, tidied: Callable[[], None]) -> None:
        """Have this called when the tree of the attempt is dead, or it was not started at all."""
        self._tidied = tidied

    def work_used(self) -> bool:
        """Whether anything was put into the scratch folder, or it was taken away."""
        return not _unchanged(self.work, self._clean_work)

    def tidy(self) -> None:
        """The attempt's tree is dead: take away its scratch folder, params and last report; the rest is still
        read."""
        if self._tidied is not None:
            self._tell_tidied()
        if not _unchanged(self.params, self._clean_params):
            self._take_away(self.params)
            self._clean_params = None
        if self._has_last_report:
            self._take_away(self.last_report)
            self._has_last_report = False
        self.take_secrets_away()
        if not _unchanged(self.work, self._clean_work):
            self._take_away(self.work)
            self._clean_work = None

    def take_secrets_away(self) -> None:
        """What was for this attempt alone is good for nothing and nobody after it."""
        if self._has_credential:
            self._take_away(self.credential)
            self._has_credential = False
        if self._secret_names:
            # They go at once; what else a script has put there goes by and by.
            for name in self._secret_names:
                self._take_away(f"{self.secrets}/{name}")
            self._take_away(self.secrets)
            self._secret_names.clear()

    def _take_away(self, path: str) -> None:
        """Whatever the script has made of it, and however much that holds."""
        try:
            if stat.S_ISDIR(os.lstat(path).st_mode):
                self._trash.take(path)
            else:
                os.unlink(path)
        except FileNotFoundError:
            return
        except OSError:
            self.spoiled = True

    def _tell_tidied(self) -> None:
        tidied, self._tidied = self._tidied, None
        if tidied is not None:
            try:
                tidied()
            except OSError:
                self.spoiled = True

    def release(self) -> None:
        """All was read and nobody has written since its size was told: raw output does not outlive its attempt."""
        if self._has_report:
            self._take_away(self.report)
            self._has_report = False
        if self._size:
            try:
                os.ftruncate(self.output, 0)
            except OSError:
                self.spoiled = True
            self._size = 0
        if not self._named:
            # The script took its name away: the next one needs a file that can be found.
            self._close_output()

    def _close_output(self) -> None:
        if self.output >= 0:
            os.close(self.output)
            self.output = -1

    def remove(self) -> None:
        """Take the whole slot away; what is not proved dead keeps its open files, which then have no name."""
        self._tell_tidied()
        self._close_output()
        self._take_away(self.folder)


class Slots:
    """The slots of one warden."""

    def __init__(self, root: Path) -> None:
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        left = [f"{root}/{name}" for name in os.listdir(root)]
        self._root = root
        # Of a new name: what cannot be taken away keeps its own there.
        self._trash = Trash(_fresh_trash(root))
        for path in left:
            with contextlib.suppress(OSError):
                if os.path.isdir(path) and not os.path.islink(path):
                    self._trash.take(path)
                else:
                    os.unlink(path)
        self._trash.finish()
        self._free: list[Slot] = []
        self._held: dict[int, Slot] = {}
        self._discarded: list[int] = []
        self._made = 0

    @property
    def sweeping(self) -> bool:
        """Whether scratch folders are still on their way out."""
        return self._trash.busy

    def sweep(self) -> None:
        """Take a little more of them away."""
        self._trash.step()

    def take(self) -> Slot:
        """A free slot, a new one if need be; raises OSError when it cannot be made."""
        if self._free:
            slot = self._free.pop()
        elif self._discarded:
            slot = Slot(self._root, self._discarded.pop(), self._trash)
        else:
            slot = Slot(self._root, self._made, self._trash)
            self._made += 1
        self._held[slot.index] = slot
        return slot

    def release(self, index: int) -> None:
        """Take a slot back for the next attempt.

        A script may hand a descriptor of its slot to one that goes on running: in a sandbox, or as another user, that
        one would read and change what the next attempt is given. So those get a new folder each.
        """
        slot = self._held.pop(index, None)
        if slot is None:
            return
        slot.release()
        if not (slot.given or slot.spoiled):
            self._free.append(slot)
            return
        slot.remove()
        if not slot.spoiled:
            self._discarded.append(index)

    def retire(self, index: int) -> None:
        """Never use a slot again: somebody may still write into its files."""
        slot = self._held.pop(index, None)
        if slot is not None:
            slot.remove()

    def remove_all(self) -> None:
        """Leave nothing behind."""
        for slot in (*self._free, *self._held.values()):
            slot.remove()
        self._free.clear()
        self._held.clear()
        self._trash.finish()


def forget_secrets(root: Path) -> None:
    """Take away what a warden that has died left in its slots of attempts' secrets."""
    trash = Trash(_fresh_trash(root))
    for folder in root.iterdir() if root.is_dir() else ():
        for name in ("secrets", "credential"):
            with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                trash.take(str(folder / name))
    trash.finish()


def _fresh_trash(root: Path) -> str:
    return f"{root}/trash-{os.urandom(4).hex()}"


def _unchanged(path: str, seen: _Seen | None) -> bool:
    if seen is None:
        return False
    try:
        return _Seen.of(path) == seen
    except OSError:
        return False


def _write_private(path: str, text: str) -> None:
    # Made anew: whatever a script left at this name, a link perhaps, is not written through.
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        write_all(handle, text.encode())
    finally:
        os.close(handle)
