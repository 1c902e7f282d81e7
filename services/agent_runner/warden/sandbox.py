"""What a sandbox is asked to be, what that comes to on the disk at the moment of a start, and who can make one here."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterable
from enum import StrEnum
from typing import BinaryIO, NamedTuple

from services.agent_runner.warden.protocol import Terms

# A script in a sandbox has a /tmp of its own, in memory.
TMP_BYTES = 512 * 1024 * 1024
# Written to by root without a capability, some of their files run programs outside (core_pattern).
_NEVER_WRITTEN = ("/proc", "/sys", "/dev")


class Level(StrEnum):
    """Who makes a sandbox on this machine; NONE: nobody can."""

    NONE = ""
    BUBBLEWRAP = "bubblewrap"
    LANDLOCK = "landlock"
    SANDBOX_EXEC = "sandbox-exec"


class Unavailable(Exception):
    """What was asked for cannot be had, for a reason and with a way out that the sentence names."""


class User(NamedTuple):
    """Whom a script is run as instead of root."""

    uid: int
    gid: int
    name: str
    home: str  # empty: none to speak of


class Places(NamedTuple):
    """Where the secrets of this workspace lie, and what no sandbox may change."""

    workspace: str
    state: str  # its run-time state, .quantum: not even read
    hidden: tuple[str, ...]  # further folders that are not read, where they exist


class Asked(NamedTuple):
    """What terms ask for; paths as the manifest has them."""

    folder: str
    write: tuple[str, ...]
    read: tuple[str, ...]
    hosts: tuple[str, ...]
    network: bool
    user: User | None
    boxed: bool  # a sandbox; else only another user
    tmp_bytes: int


class Scope(NamedTuple):
    """What `Asked` comes to just now: real paths."""

    folder: str
    write: tuple[str, ...]  # none lies in another
    read: tuple[str, ...]  # empty: everything that is not hidden


def asked_by(terms: Terms, user: User | None) -> Asked | None:
    """What a start on these terms has to be wrapped in; None: nothing. `user`: whom `run_as` means here."""
    wanted = user if terms.run_as else None
    if terms.sandbox is None and wanted is None:
        return None
    write, read, hosts, network = terms.sandbox or ([], [], [], True)
    tmp_bytes = min(terms.memory_bytes or TMP_BYTES, TMP_BYTES)
    boxed = terms.sandbox is not None
    return Asked(terms.folder, tuple(write), tuple(read), tuple(hosts), network, wanted, boxed, tmp_bytes)


def scope_of(asked: Asked, places: Places) -> Scope:
    """Look at the paths as they are now; raises Unavailable for one that cannot be granted."""
    folder = os.path.realpath(asked.folder)
    write = [_granted(path, folder, "write") for path in asked.write]
    for path in write:
        _refuse_protected(path, places)
    return Scope(folder, outermost(write), outermost(_granted(path, folder, "read") for path in asked.read))


def outermost(paths: Iterable[str]) -> tuple[str, ...]:
    """Those that lie in none of the others, each once, in order of length."""
    kept: list[str] = []
    for path in sorted(set(paths), key=lambda path: (len(path), path)):
        if not any(within(path, outer) for outer in kept):
            kept.append(path)
    return tuple(kept)


def within(path: str, folder: str) -> bool:
    """Whether a path is a folder, or lies in it; by name."""
    return path == folder or path.startswith(folder.rstrip("/") + "/")


def open_file(path: str) -> BinaryIO:
    """What a script may have put there, to be read; raises OSError for all but a file, a pipe above all, which would be
    waited for.
    """
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise OSError(errno.EACCES, "it is no file", path)
    return os.fdopen(handle, "rb")


def open_as_seen(path: str) -> int:
    """A descriptor that means what a real path meant when it was looked at, whatever its name is made to lead to later.

    Raises OSError, ESTALE for one that leads elsewhere already: whoever may write a folder above may put a link there.
    """
    handle = os.open(path, os.O_PATH | os.O_CLOEXEC)
    if os.readlink(f"/proc/self/fd/{handle}") != path:
        os.close(handle)
        raise OSError(errno.ESTALE, "it leads elsewhere than a moment ago", path)
    return handle


def _granted(path: str, folder: str, what: str) -> str:
    wanted = os.path.join(folder, os.path.expanduser(path))
    real = os.path.realpath(wanted)
    # Who may write a folder may put a link into it: what is said relative to the folder has to stay there.
    if not os.path.isabs(os.path.expanduser(path)) and not within(real, folder):
        raise Unavailable(f'its sandbox\'s {what} path "{path}" leads out of {folder}, to {real}: name that in full')
    if not os.path.lexists(real):
        raise Unavailable(f'its sandbox\'s {what} path "{path}" does not exist: mkdir -p {real}')
    return real


def _refuse_protected(path: str, places: Places) -> None:
    if path == "/":
        raise Unavailable("its sandbox may write everywhere (/), which is none: name the folders that it changes")
    for folder in _NEVER_WRITTEN:
        if within(path, folder):
            raise Unavailable(f"its sandbox may not write in {folder}: no sandbox may")
    for folder in (places.state, os.path.join(places.workspace, "config"), *places.hidden):
        if within(path, folder):
            raise Unavailable(f"its sandbox may not write {path}: {folder} is protected in every sandbox")
