"""Sandboxes by bubblewrap: which of the machine's files a script sees, and that it sees nothing else of the machine."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from services.agent_runner.warden.protected import Protection
from services.agent_runner.warden.sandbox import Asked, Places, Scope, open_as_seen, outermost, within

BUBBLEWRAP = "bwrap"
PROXY_SOCKET = "/run/quantum/proxy.sock"
"""Where a sandbox with hosts finds the way to them."""
# Folders of the machine's own state: sockets of its daemons, and other people's files. A sandbox has its own.
_OWN = ("/tmp", "/run")
_SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/nix/store")
_ETC = (
    *("passwd", "group", "nsswitch.conf", "hosts", "host.conf", "resolv.conf", "services", "protocols"),
    *("ssl", "pki", "ca-certificates", "crypto-policies", "localtime", "timezone", "alternatives", "mime.types"),
    *("ld.so.cache", "ld.so.conf", "ld.so.conf.d", "locale.alias", "gitconfig", "profile", "inputrc"),
)
_SMALL = str(1 << 20)
_PROBE_SECONDS = 10.0
_CAPABILITIES = ("CAP_SETUID", "CAP_SETGID", "CAP_SETPCAP")


class Entry(NamedTuple):
    """The script, and what else of ours it needs to see; real paths where they are paths."""

    program: str
    argv: Sequence[str]
    shown: Sequence[str]  # files and folders that are seen even where `read` narrows
    slot: str
    proxy: str  # socket of the way to the hosts; empty: none


class Sources:
    """What is mounted from paths that somebody else may write: opened once, so that no later look can find another."""

    def __init__(self, *, by_descriptor: bool) -> None:
        """Without descriptors, by name, for a bubblewrap that knows no better."""
        self._by_descriptor = by_descriptor
        self._opened: list[int] = []

    def bind(self, path: str, *, write: bool = False) -> tuple[str, str, str]:
        """The arguments that mount a real path in its own place; raises OSError where it leads elsewhere by now."""
        option = "--bind" if write else "--ro-bind"
        if not self._by_descriptor:
            return option, path, path
        handle = open_as_seen(path)
        self._opened.append(handle)
        # Until `close`, for the next process that is spawned; bubblewrap passes none of them on.
        os.set_inheritable(handle, True)
        return f"{option}-fd", str(handle), path

    def close(self) -> None:
        """bubblewrap has its own."""
        while self._opened:
            os.close(self._opened.pop())


def find() -> tuple[str, str]:
    """The path of a bubblewrap that works here, by really trying it, or why there is none."""
    program = shutil.which(BUBBLEWRAP)
    if program is None:
        return "", "bubblewrap is not installed (sudo apt-get install bubblewrap)"
    true = shutil.which("true") or "/bin/true"
    argv = [program, "--ro-bind", "/", "/", "--size", _SMALL, "--perms", "0755", "--tmpfs", "/tmp", *_apart(False)]
    try:
        tried = subprocess.run([*argv, "--", true], capture_output=True, timeout=_PROBE_SECONDS)
    except (OSError, subprocess.TimeoutExpired) as error:
        return "", f"bubblewrap could not be tried: {error}"
    if tried.returncode:
        said = tried.stderr.decode(errors="replace").strip() or f"it exits with {tried.returncode}"
        return "", f"bubblewrap does not work here ({said})"
    return program, ""


def takes_descriptors(program: str) -> bool:
    """Whether a bubblewrap mounts what it is handed as a descriptor: since 0.10, and what distributions patched."""
    try:
        told = subprocess.run([program, "--help"], capture_output=True, timeout=_PROBE_SECONDS)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return b"--ro-bind-fd" in told.stdout + told.stderr


def argv(
    bubblewrap: str, asked: Asked, scope: Scope, keep: Protection, places: Places, entry: Entry, sources: Sources
) -> list[str]:
    """The whole command: a view of the files in which later mounts lie over earlier ones, then the script.

    Not `--die-with-parent`: what a script leaves behind is to be found, told of and given its grace as without a
    sandbox, and the warden finds it by its tag.
    """
    boxed = ["--bind", "/", "/"]
    if asked.boxed:
        boxed = [*_base(asked, scope, entry, sources), *_written(scope, keep, sources)]
    return [
        *(bubblewrap, *boxed, *_apart(asked.network)),
        *_hidden(places, entry.slot),
        *_proxy(entry),
        *(["--remount-ro", "/"] if asked.boxed and scope.read else []),
        *("--chdir", scope.folder),
        *_rights(asked),
        "--",
        *_as_user(asked),
        *_called(entry),
    ]


def _apart(network: bool) -> list[str]:
    """Devices, processes and the rest of the kernel's names of its own."""
    names = ["--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try"]
    return ["--dev", "/dev", "--proc", "/proc", *names, *([] if network else ["--unshare-net"]), "--new-session"]


def _base(asked: Asked, scope: Scope, entry: Entry, sources: Sources) -> Iterator[str]:
    if not scope.read:
        yield from ("--ro-bind", "/", "/")
    for path in _OWN:
        yield from ("--size", str(asked.tmp_bytes), "--perms", "1777" if path == "/tmp" else "0755", "--tmpfs", path)
    if scope.read:
        yield from _narrow(scope, entry, sources)
    else:
        # What lies below those was hidden with them.
        for path in _below(_OWN, (scope.folder, *entry.shown)):
            yield from _way(path, _OWN)
            yield from sources.bind(path) if path == scope.folder else ("--ro-bind", path, path)
    if asked.network:
        yield from _names()


def _narrow(scope: Scope, entry: Entry, sources: Sources) -> Iterator[str]:
    for path in _SYSTEM:
        if os.path.islink(path):
            yield from ("--symlink", os.readlink(path), path)
        elif os.path.isdir(path):
            yield from ("--ro-bind", path, path)
    for name in _ETC:
        yield from ("--ro-bind-try", f"/etc/{name}", f"/etc/{name}")
    yield from _way(os.path.join(scope.folder, "."), ("/",))
    for path in (*scope.read, *entry.shown):
        yield from _way(path, ("/",))
        yield from sources.bind(path) if path in scope.read else ("--ro-bind", path, path)


def system_paths() -> list[str]:
    """What programs need to run at all."""
    return [*_SYSTEM, *(f"/etc/{name}" for name in _ETC)]


def _names() -> Iterator[str]:
    """With the network, the file that says who knows its names, wherever that lies."""
    real = os.path.realpath("/etc/resolv.conf")
    if os.path.isfile(real) and any(within(real, path) for path in _OWN):
        yield from ("--ro-bind", real, real)


def _way(path: str, tops: Iterable[str]) -> Iterator[str]:
    """Folders on the way to what is mounted in an empty one, which everybody may pass through."""
    top = next(top for top in tops if within(path, top))
    above: list[str] = []
    folder = os.path.dirname(path)
    while folder != top and within(folder, top):
        above.append(folder)
        folder = os.path.dirname(folder)
    for folder in reversed(above):
        yield from ("--perms", "0755", "--dir", folder)


def _below(folders: Iterable[str], paths: Iterable[str]) -> list[str]:
    return [path for path in dict.fromkeys(paths) if any(within(path, folder) for folder in folders)]


def _written(scope: Scope, keep: Protection, sources: Sources) -> Iterator[str]:
    for path in (*scope.write, *keep.pins):
        if scope.read:
            yield from _way(path, ("/",))
        yield from sources.bind(path, write=True)
    for guard in keep.guards:
        yield from sources.bind(guard.path)


def _hidden(places: Places, slot: str) -> Iterator[str]:
    """Over the secrets an empty folder, in which only the attempt's own slot is."""
    # One that lies in another is gone with it, and could not be found below.
    hidden = outermost(path for path in (places.state, *places.hidden) if os.path.isdir(path))
    for path in hidden:
        yield from ("--size", _SMALL, "--perms", "0755", "--tmpfs", path)
    yield from _way(slot, hidden)
    yield from ("--bind", slot, slot)
    for path in hidden:
        yield from ("--remount-ro", path)


def _proxy(entry: Entry) -> Iterator[str]:
    if entry.proxy:
        yield from ("--ro-bind", entry.proxy, PROXY_SOCKET)


def _rights(asked: Asked) -> Iterator[str]:
    yield from ("--cap-drop", "ALL")
    if asked.user is not None:
        # For the change of user alone, with which they go.
        for capability in _CAPABILITIES:
            yield from ("--cap-add", capability)


def _as_user(asked: Asked) -> list[str]:
    if asked.user is None:
        return []
    setpriv = shutil.which("setpriv") or "setpriv"
    ids = [f"--reuid={asked.user.uid}", f"--regid={asked.user.gid}", "--clear-groups"]
    return [setpriv, *ids, "--inh-caps=-all", "--bounding-set=-all", "--no-new-privs", "--"]


def _called(entry: Entry) -> list[str]:
    if entry.proxy:
        return [sys.executable, "-I", "-S", INSIDE, PROXY_SOCKET, entry.program, *entry.argv[1:]]
    return [entry.program, *entry.argv[1:]]


INSIDE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "proxy_inside.py")
"""The program that makes the way to the hosts look like a proxy on loopback."""
