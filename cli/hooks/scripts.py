"""Our hook scripts, and what may stand in their way in a folder of hooks."""

from __future__ import annotations

import os
from pathlib import Path

from foundation.own_python import PACKAGES

SCRIPTS = PACKAGES / "hooks"
EVENTS = ("post-merge", "post-commit", "post-rewrite")
GUARD = "quantum-merge-guard.sh"
FORWARD = "quantum-forward"
BEFORE = "quantum-before"
"""Beside hooks that stand apart: a file that names the folder in which the repository's other hooks are."""
EXECUTABLE, READABLE = 0o755, 0o644

# Every hook of githooks(5) that does nothing by being there alone, so that one which comes later is found at once.
FORWARDED = (
    "applypatch-msg",
    "commit-msg",
    "post-applypatch",
    "post-checkout",
    "pre-applypatch",
    "pre-auto-gc",
    "pre-commit",
    "pre-merge-commit",
    "pre-push",
    "pre-rebase",
    "prepare-commit-msg",
    "sendemail-validate",
)
# What git behaves differently for when it is there, or asks very often: forwarded only where it is.
FORWARDED_IF_THERE = (
    "fsmonitor-watchman",
    "p4-changelist",
    "p4-post-changelist",
    "p4-pre-submit",
    "p4-prepare-changelist",
    "post-index-change",
    "post-receive",
    "post-update",
    "pre-receive",
    "proc-receive",
    "push-to-checkout",
    "reference-transaction",
    "update",
)


def text_of(name: str) -> bytes:
    """The text of one of our scripts."""
    return (SCRIPTS / name).read_bytes()


def before_of(hook: Path) -> Path:
    """Where a hook that was there before us is kept, to be run first."""
    return hook.with_name(f"{hook.name}.{BEFORE}")


def is_ours(path: Path) -> bool:
    """Whether a hook is one of ours, of this version or another; a link is somebody else's."""
    if path.is_symlink() or not path.is_file():
        return False
    with path.open("rb") as file:
        return b"Quantum's merge guard" in file.read(200)


def is_there(path: Path) -> bool:
    """Whether there is something of that name, be it a link that leads nowhere."""
    return os.path.lexists(path)


def forwarded(before: Path) -> tuple[str, ...]:
    """The hooks for which one stands that forwards, given the folder in which the others are."""
    return (*FORWARDED, *(name for name in FORWARDED_IF_THERE if os.access(before / name, os.X_OK)))
