"""Sandboxes by Landlock, where there is no bubblewrap: a small program that restricts itself and becomes the script.

Landlock only ever grants, and what it grants holds for everything below. So a write path that holds something protected
cannot be had, and a folder that holds secrets is granted by its other entries, one by one: it cannot be listed itself.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Collection, Sequence

from services.agent_runner.warden import sandbox_linux
from services.agent_runner.warden.protected import Protection
from services.agent_runner.warden.sandbox import Asked, Places, Scope, Unavailable, within
from services.agent_runner.warden.sandbox_linux import Entry

START = os.path.join(os.path.dirname(os.path.abspath(__file__)), "landlock_start.py")
_DEVICES = ("null", "zero", "full", "random", "urandom", "tty", "ptmx", "pts")
# Block devices are the whole disk, to a root without any capability too.
_NEVER_READ = ("/dev",)
_PROBE_SECONDS = 10.0


def find() -> str:
    """Why there is no Landlock that works here, by really trying it; empty: there is one."""
    true = shutil.which("true") or "/bin/true"
    order = _order(["/"], ["/dev/null"], network=False)
    try:
        tried = subprocess.run([*_start(), order, true], capture_output=True, timeout=_PROBE_SECONDS)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"Landlock could not be tried: {error}"
    if tried.returncode:
        return f"Landlock does not work here ({tried.stderr.decode(errors='replace').strip() or tried.returncode})"
    return ""


def argv(asked: Asked, scope: Scope, keep: Protection, places: Places, entry: Entry) -> list[str]:
    """The whole command; raises Unavailable for what Landlock cannot do."""
    if keep.guards:
        raise Unavailable(
            f"its sandbox may write a folder that holds {keep.guards[0].path}, which is protected in every sandbox;"
            " only bubblewrap can do that (sudo apt-get install bubblewrap), or name smaller folders"
        )
    devices = [f"/dev/{name}" for name in _DEVICES]
    hidden = [*map(os.path.realpath, (places.state, *places.hidden)), *_NEVER_READ]
    read = [*_readable(scope, hidden, entry), *devices]
    order = _order(read, [*scope.write, os.path.realpath(entry.slot), *devices], network=asked.network)
    called = [entry.program, *entry.argv[1:]]
    if entry.proxy:
        called = [sys.executable, "-I", "-S", sandbox_linux.INSIDE, entry.proxy, *called]
    return [*_start(), order, *called]


def _start() -> list[str]:
    return [sys.executable, "-I", "-S", START]


def _order(read: Sequence[str], write: Sequence[str], *, network: bool) -> str:
    return json.dumps({"read": [*read], "write": [*write], "network": network})


def _readable(scope: Scope, hidden: Collection[str], entry: Entry) -> list[str]:
    if not scope.read:
        return around("/", hidden)
    wanted = [*scope.read, *entry.shown, *sandbox_linux.system_paths(), "/proc"]
    return [path for top in wanted for path in around(os.path.realpath(top), hidden)]


def around(top: str, hidden: Collection[str]) -> list[str]:
    """The largest folders and files below `top` that hold nothing hidden."""
    if any(within(top, path) for path in hidden):
        return []
    if not any(within(path, top) for path in hidden):
        return [top]
    try:
        names = sorted(os.listdir(top))
    except OSError:
        return []
    return [path for name in names for path in around(os.path.join(top, name), hidden)]
