"""Starts a process in a session of its own, and tells what it said last."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from foundation.unit import OUT_BYTES_MAX


def spawn(
    argv: Sequence[str], *, folder: Path, out: Path | None, environ: Mapping[str, str], tell: int | None = None
) -> subprocess.Popen[bytes]:
    """Start a process in `folder`; a Ctrl-C in this terminal does not reach it.

    What it prints goes to the end of `out`; None: to where ours goes. `tell` is a descriptor that it inherits under
    the same number, to say through it how its start went; it is closed here.
    """
    printed = None
    try:
        printed = None if out is None else open_capped(out)
        return subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=printed,
            stderr=printed,
            env=environ,
            cwd=folder,
            start_new_session=True,
            pass_fds=() if tell is None else (tell,),
        )
    finally:
        for descriptor in (printed, tell):
            if descriptor is not None:
                os.close(descriptor)


def open_capped(path: Path) -> int:
    """A file to append to; one that has grown large begins anew, with its end kept as `<name>.1`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists() and path.stat().st_size > OUT_BYTES_MAX:
        path.replace(path.with_name(f"{path.name}.1"))
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)


def last_words(path: Path | None, *, lines: int) -> str:
    """The last lines of what a process said, on one line, each once; empty when it said nothing."""
    if path is None:
        return ""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - 8192))
            said = [line.strip() for line in file.read().decode(errors="replace").splitlines()]
    except OSError:
        return ""
    # What it said at each of its starts is news once.
    once = list(dict.fromkeys(filter(None, reversed(said))))[:lines]
    return " / ".join(reversed(once))
