"""Wraps a start in what its terms ask for, a sandbox or another user, or refuses it with what is missing."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from services.agent_runner.warden import landlock_linux, sandbox_darwin, sandbox_linux
from services.agent_runner.warden.placeholders import Placeholders
from services.agent_runner.warden.protected import Protection, protection
from services.agent_runner.warden.protocol import Terms
from services.agent_runner.warden.proxies import Proxies
from services.agent_runner.warden.sandbox import (
    Asked,
    Level,
    Places,
    Scope,
    Unavailable,
    User,
    asked_by,
    open_file,
    scope_of,
)
from services.agent_runner.warden.sandbox_linux import Entry, Sources
from services.agent_runner.warden.slots import Slot

_SHEBANG_BYTES = 512
_BUBBLEWRAP_PROCESSES = 2
# Itself, one thread that accepts, and two for each of its connections at the most.
_PROXY_PROCESSES = 2 + 2 * 64


class Means(NamedTuple):
    """What this machine has to confine a script with, found once."""

    level: Level
    program: str  # bubblewrap's path, where that is the level
    missing: str  # why it is not the best level; empty: it is
    root: bool
    by_descriptor: bool = False  # bubblewrap mounts what was looked at, not what has its name by then

    def refusal(self, *, sandbox: bool, run_as: bool) -> str:
        """Why what is asked for cannot be had here; empty: it can."""
        if sandbox and self.level is Level.NONE:
            return f"its manifest asks for a sandbox, and there is none on this machine: {self.missing}"
        if run_as and self.root and self.level is not Level.BUBBLEWRAP:
            return f'its manifest has run_as = "user", and this machine lacks what that takes: {self.missing}'
        return ""


class Wrapped(NamedTuple):
    """What to spawn instead, and variables over the script's; `spawned` is to be called when it was, or was not, and
    `release` when its tree is dead."""

    program: str
    argv: list[str]
    environment: dict[bytes, bytes]
    spawned: Callable[[], None]
    release: Callable[[], None]


def find_means() -> Means:
    """Try what there is, best first."""
    root = os.geteuid() == 0
    if sys.platform == "darwin":
        there = os.access(sandbox_darwin.PROGRAM, os.X_OK)
        level = Level.SANDBOX_EXEC if there else Level.NONE
        return Means(level, "", "" if there else f"{sandbox_darwin.PROGRAM} is not there", root)
    program, missing = sandbox_linux.find()
    if program:
        return Means(Level.BUBBLEWRAP, program, "", root, sandbox_linux.takes_descriptors(program))
    fault = landlock_linux.find()
    return Means(Level.NONE if fault else Level.LANDLOCK, "", f"{missing}; {fault}" if fault else missing, root)


def user_to_be(workspace: str, wish: str) -> User:
    """Whom root runs scripts as: the workspace's owner, or, where that is root, the user that the setting names.

    Raises KeyError when there is no such user.
    """
    owner = os.stat(workspace).st_uid
    entry = pwd.getpwuid(owner) if owner else pwd.getpwnam(wish)
    home = entry.pw_dir if os.path.isdir(entry.pw_dir) and os.stat(entry.pw_dir).st_uid == entry.pw_uid else ""
    return User(entry.pw_uid, entry.pw_gid, entry.pw_name, home)


class Boxes:
    """Those of one warden."""

    def __init__(
        self,
        means: Means,
        places: Callable[[], Places],
        run_as: str,
        placeholders: Placeholders,
        proxies: Proxies,
    ) -> None:
        """`places` is asked at each start; `run_as` names the user where the workspace belongs to root."""
        self._means = means
        self._places = places
        self._run_as = run_as
        self._placeholders = placeholders
        self._proxies = proxies

    def asked(self, terms: Terms) -> Asked | None:
        """What starts on these terms have to be wrapped in; None: nothing. Raises Unavailable."""
        refusal = self._means.refusal(sandbox=terms.sandbox is not None, run_as=bool(terms.run_as))
        if refusal:
            raise Unavailable(refusal)
        user = None
        if terms.run_as and self._means.root:
            if shutil.which("setpriv") is None:
                raise Unavailable("setpriv is not installed (sudo apt-get install util-linux)")
            try:
                user = user_to_be(self._places().workspace, self._run_as)
            except KeyError as error:
                raise Unavailable(f"there is no user to run it as, {error}: set run_as_user") from error
            if not user.uid:
                raise Unavailable("run_as_user names root, whose rights run_as takes away: name another user")
        return asked_by(terms, user)

    @property
    def supervised(self) -> bool:
        """Whether what is spawned is not the script itself but a process that waits for it."""
        return self._means.level is Level.BUBBLEWRAP

    def own_processes(self, asked: Asked | None) -> int:
        """How many processes, threads included, are there beside the script's own."""
        if asked is None:
            return 0
        through_proxy = _PROXY_PROCESSES if asked.hosts and not asked.network else 0
        return through_proxy + (_BUBBLEWRAP_PROCESSES if self.supervised else 0)

    def wrap(self, asked: Asked, program: str, argv: Sequence[str], slot: Slot) -> Wrapped:
        """Raises Unavailable for what cannot be granted, OSError for what could not be made just now."""
        places = self._places()
        scope = scope_of(asked, places)
        keep = protection(scope, places)
        program = os.path.abspath(program)
        sources = Sources(by_descriptor=self._means.by_descriptor)
        with contextlib.ExitStack() as failed, contextlib.ExitStack() as undo:
            failed.callback(sources.close)
            proxy = self._proxies.way_to(asked.hosts) if asked.hosts and not asked.network else ""
            undo.callback(self._proxies.release, proxy)
            shown = _shown(program, argv, proxy=bool(proxy))
            slot.give_to(asked.user.uid if asked.user else -1, asked.user.gid if asked.user else -1)
            undo.callback(self._placeholders.release, self._placeholders.hold(keep.guards) if self.supervised else [])
            entry = Entry(program, argv, shown, slot.folder, proxy)
            command = self._command(asked, scope, keep, places, entry, sources)
            environment = self._environment(asked, slot)
            failed.pop_all()
            return Wrapped(command[0], command, environment, sources.close, undo.pop_all().close)

    def _command(
        self, asked: Asked, scope: Scope, keep: Protection, places: Places, entry: Entry, sources: Sources
    ) -> list[str]:
        match self._means.level:
            case Level.BUBBLEWRAP:
                return sandbox_linux.argv(self._means.program, asked, scope, keep, places, entry, sources)
            case Level.LANDLOCK:
                return landlock_linux.argv(asked, scope, keep, places, entry)
            case _:
                if entry.proxy:
                    raise Unavailable("hosts cannot be listed for a sandbox on macOS yet: network is all or none")
                return sandbox_darwin.argv(asked, scope, keep, places, entry.slot, [entry.program, *entry.argv[1:]])

    def _environment(self, asked: Asked, slot: Slot) -> dict[bytes, bytes]:
        environment: dict[bytes, bytes] = {}
        if asked.boxed:
            # The one that is named may not be there, or not be written.
            environment[b"TMPDIR"] = b"/tmp" if self.supervised else os.fsencode(slot.work)
        if asked.user is not None:
            environment[b"HOME"] = os.fsencode(asked.user.home or slot.work)
            environment[b"USER"] = os.fsencode(asked.user.name)
        return environment

    def close(self) -> None:
        """The warden ends."""
        self._proxies.close()


def places_of(stop_file: Path, folder: Path, hidden: Callable[[], Sequence[str]]) -> Places:
    """Where the secrets are that belong to a warden's folder; `hidden` are those outside of the workspace."""
    state = stop_file.parent if stop_file.parent in folder.parents else folder
    return Places(str(state.parent), str(state), tuple(hidden()))


def _shown(program: str, argv: Sequence[str], *, proxy: bool) -> list[str]:
    """What has to be seen for the script to run at all: itself, its interpreter, and ours where that comes first."""
    shown = [program]
    interpreter = _interpreter(program)
    if interpreter:
        shown += _home_of(interpreter)
    else:
        # An interpreter that the manifest names, with the script behind it.
        shown += [path for path in argv[1:] if os.path.isabs(path) and os.path.isfile(path)][:1]
        shown += _home_of(program)
    if proxy:
        shown += [*_home_of(sys.executable), sys.base_prefix, sandbox_linux.INSIDE]
    real = [os.path.realpath(path) for path in shown]
    return [path for path in dict.fromkeys((*shown, *real)) if path != "/" and os.path.lexists(path)]


def first_line_interpreter(script: str) -> str:
    """The program that the first line of a script names, before `env` has looked for it; empty: none."""
    words = _first_line(script)
    return words[0] if words else ""


def _interpreter(script: str) -> str:
    words = _first_line(script)
    if len(words) > 1 and os.path.basename(words[0]) == "env":
        name = next((word for word in words[1:] if not word.startswith("-") and "=" not in word), "")
        return shutil.which(name) or ""
    return words[0] if words else ""


def _first_line(script: str) -> list[str]:
    try:
        with open_file(script) as file:
            line = file.read(_SHEBANG_BYTES).split(b"\n", 1)[0]
    except OSError:
        return []
    return os.fsdecode(line[2:]).split() if line.startswith(b"#!") else []


def _home_of(program: str) -> list[str]:
    """A program of the system is seen anyway; of another one the folder that holds its `bin`, where there is one."""
    found = []
    for path in dict.fromkeys((program, os.path.realpath(program))):
        if path.startswith(("/usr/", "/bin/", "/sbin/")):
            continue
        folder = os.path.dirname(path)
        found.append(os.path.dirname(folder) if os.path.basename(folder) == "bin" else path)
    return [path for path in found if path not in ("", "/")]
