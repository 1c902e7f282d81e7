"""Runs a test once: a session of its own, no input, its output bounded, a time limit, nothing of it left behind."""

from __future__ import annotations

import contextlib
import errno
import os
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from foundation.clock import Clock
from merge_guard.borrowing import ceilings
from merge_guard.git import HOOK_DEPTH

if sys.platform == "darwin":
    from merge_guard.leftovers_darwin import Leftovers
else:
    from merge_guard.leftovers_linux import Leftovers

WORK_TREE = "QUANTUM_WORK_TREE"
TAIL_BYTES = 4 * 1024
NOT_FOUND = 127
NOT_EXECUTABLE = 126
_END_SECONDS = 10.0
_CHUNK = 64 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """How a run ended. `exit_code` is -N for signal N, and None when the time limit ended it."""

    exit_code: int | None
    seconds: float
    tail: str
    clean: bool
    """Every process that it started has ended."""


def environment_of_test(base: Mapping[str, str], folder: Path, git_config: Path, users: Path) -> dict[str, str]:
    """The environment of a test in `folder`: no variable of git's or Quantum's, but what keeps its git away from users.

    `git config --global` writes to `git_config`, which begins as the user's own settings; HOME stays, because compilers
    and package managers keep their caches there. git does not look for a repository in the folders around `folder`. A
    hook knows by QUANTUM_HOOK_DEPTH that it is not the user who commits. In QUANTUM_WORK_TREE a test finds `users`, the
    user's own work tree, should it need what git does not hold, such as a `.venv`.
    """
    kept = {name: value for name, value in base.items() if not name.startswith(("GIT_", "QUANTUM_"))}
    depth = base.get(HOOK_DEPTH, "")
    _write_git_config(base, git_config)
    return {
        **kept,
        "GIT_CEILING_DIRECTORIES": ceilings(folder),
        "GIT_CONFIG_GLOBAL": str(git_config),
        "GIT_TERMINAL_PROMPT": "0",
        HOOK_DEPTH: str(int(depth) + 1 if depth.isdecimal() else 1),
        WORK_TREE: str(users),
    }


def _write_git_config(base: Mapping[str, str], path: Path) -> None:
    """Settings that begin as the user's own, except that nothing asks for a key to sign with."""
    home = base.get("HOME", "")
    folder = base.get("XDG_CONFIG_HOME") or f"{home}/.config"
    theirs = (
        [base["GIT_CONFIG_GLOBAL"]] if "GIT_CONFIG_GLOBAL" in base else [f"{folder}/git/config", f"{home}/.gitconfig"]
    )
    lines = [f'[include]\n\tpath = "{_escaped(name)}"\n' for name in theirs]
    path.write_text("".join([*lines, "[commit]\n\tgpgSign = false\n[tag]\n\tgpgSign = false\n"]), encoding="utf-8")


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')


def run_once(
    argv: Sequence[str], folder: Path, environment: Mapping[str, str], *, timeout_seconds: float, clock: Clock
) -> Ran:
    """Run a command in a folder to its end or the time limit, then end whatever it has started.

    A command that is not there, or cannot be executed, has the exit code that a shell would give it: 127, 126.
    """
    began = clock.boottime()
    with Leftovers() as leftovers:
        try:
            process = subprocess.Popen(
                argv,
                cwd=folder,
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.EACCES, errno.ENOEXEC, errno.ENOTDIR, errno.EISDIR, errno.ELOOP):
                raise
            missing = isinstance(error, FileNotFoundError)
            said = f"{argv[0]}: {error.strerror}"
            return Ran(exit_code=NOT_FOUND if missing else NOT_EXECUTABLE, seconds=0.0, tail=said, clean=True)
        tail = _Tail(process)
        exit_code: int | None
        try:
            exit_code = process.wait(timeout_seconds)
        except subprocess.TimeoutExpired:
            exit_code = None
        finally:
            seconds = clock.boottime() - began
            clean = leftovers.end(process.pid, _END_SECONDS)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_END_SECONDS)
        return Ran(exit_code=exit_code, seconds=seconds, tail=tail.end(), clean=clean)


class _Tail:
    """Reads a process's output as it comes, and keeps the end of it."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None
        self._pipe = process.stdout
        self._kept = b""
        self._cut = False
        self._reader = threading.Thread(target=self._read, name="test output", daemon=True)
        self._reader.start()

    def _read(self) -> None:
        while chunk := os.read(self._pipe.fileno(), _CHUNK):
            together = self._kept + chunk
            self._cut = self._cut or len(together) > TAIL_BYTES
            self._kept = together[-TAIL_BYTES:]

    def end(self) -> str:
        """What was kept, as text; `…` stands for what was before it."""
        self._reader.join(_END_SECONDS)
        if not self._reader.is_alive():
            self._pipe.close()
        text = self._kept.decode(errors="replace")
        return "…" + text.partition("\n")[2] if self._cut and "\n" in text else text
