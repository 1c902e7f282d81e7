"""Sandboxes by sandbox-exec on macOS: the text of a profile. Designed, not run: no such machine was at hand."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence

from services.agent_runner.warden.protected import Protection
from services.agent_runner.warden.sandbox import Asked, Places, Scope

PROGRAM = "/usr/bin/sandbox-exec"
_SYSTEM = (
    *("/usr", "/bin", "/sbin", "/System", "/Library", "/opt/homebrew", "/private/etc", "/private/var/db"),
    *("/private/var/select", "/dev"),
)
_DEVICES = ("/dev/null", "/dev/zero", "/dev/random", "/dev/urandom", "/dev/tty", "/dev/dtracehelper")


def argv(asked: Asked, scope: Scope, keep: Protection, places: Places, slot: str, called: Sequence[str]) -> list[str]:
    """The whole command."""
    return [PROGRAM, "-p", profile(asked, scope, keep, places, slot), *called]


def profile(asked: Asked, scope: Scope, keep: Protection, places: Places, slot: str) -> str:
    """The profile; of several rules that match, the last one counts."""
    return "\n".join(_rules(asked, scope, keep, places, slot)) + "\n"


def _rules(asked: Asked, scope: Scope, keep: Protection, places: Places, slot: str) -> Iterator[str]:
    yield from ("(version 1)", "(allow default)", "(deny file-write*)")
    # The keychain, launchd and everything else that answers by name.
    yield from ("(deny mach-lookup)", "(deny process-info* (target others))", "(deny signal (target others))")
    if scope.read:
        yield "(deny file-read*)"
        yield _allow("file-read*", [*_SYSTEM, scope.folder, *scope.read])
        yield '(allow file-read-metadata (subpath "/"))'
    yield _allow("file-write*", [*scope.write, *_DEVICES])
    if scope.write:
        yield _allow("file-read*", scope.write)
    guarded = [guard.path for guard in keep.guards]
    if guarded:
        yield f"(deny file-write* {_below(guarded)})"
        # A folder on the way that was renamed would take them along.
        for pin in keep.pins:
            yield f"(deny file-write-unlink (literal {_quoted(pin)}))"
    yield f"(deny file-read* file-write* {_below([places.state, *places.hidden, _keychains()])})"
    yield _allow("file-read* file-write*", [slot])
    if not asked.network:
        yield "(deny network*)"


def _keychains() -> str:
    return os.path.expanduser("~/Library/Keychains")


def _allow(what: str, paths: Iterable[str]) -> str:
    return f"(allow {what} {_below(paths)})"


def _below(paths: Iterable[str]) -> str:
    return " ".join(f"(subpath {_quoted(path)})" for path in paths)


def _quoted(path: str) -> str:
    escaped = path.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
