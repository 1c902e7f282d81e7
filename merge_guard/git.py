"""The one way in which the merge guard runs git: a clean environment, no hooks, no questions, a time limit."""

from __future__ import annotations

import contextlib
import copy
import os
import signal
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from foundation.errors import Internal, TimedOut, Unavailable

TIMEOUT_SECONDS = 120.0
# After SIGTERM git removes its own locks; only then is it killed.
_GRACE_SECONDS = 5.0
# Of git's many variables these say who the user is and how to reach a remote; every other one may point into
# another repository (a hook inherits GIT_DIR and GIT_INDEX_FILE), or run a program, and is taken out.
_KEPT = frozenset(
    {
        "GIT_CONFIG_GLOBAL",
        "GIT_CONFIG_SYSTEM",
        "GIT_CONFIG_NOSYSTEM",
        "GIT_CEILING_DIRECTORIES",
        "GIT_AUTHOR_NAME",
        "GIT_AUTHOR_EMAIL",
        "GIT_COMMITTER_NAME",
        "GIT_COMMITTER_EMAIL",
        "GIT_EXEC_PATH",
        "GIT_PROXY_COMMAND",
        "GIT_SSH",
        "GIT_SSH_COMMAND",
        "GIT_SSH_VARIANT",
        "GIT_SSL_CAINFO",
        "GIT_SSL_CAPATH",
    }
)
_FIXED = {
    "LC_ALL": "C",
    "GIT_ASKPASS": "true",
    "GIT_EDITOR": "true",
    "GIT_MERGE_AUTOEDIT": "no",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_PAGER": "cat",
    "GIT_SEQUENCE_EDITOR": "true",
    "GIT_TERMINAL_PROMPT": "0",
    "SSH_ASKPASS_REQUIRE": "never",
}
# No hook of the user runs for what we do, no daemon is started, nothing is collected or prefetched behind our back.
_CONFIG = (
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.quotePath=false",
    "core.splitIndex=false",
    "core.trustctime=true",
    "gc.auto=0",
    "maintenance.auto=false",
    "submodule.recurse=false",
    "commit.gpgSign=false",
    "log.showSignature=false",
)
HOOK_DEPTH = "QUANTUM_HOOK_DEPTH"


class GitFailed(Internal):
    """A git command ended with an exit code other than 0; `exit_code` and `stderr` say how."""

    def __init__(self, command: str, exit_code: int, stderr: str) -> None:
        said = stderr.strip().splitlines()
        super().__init__("git_failed", f"git {command} failed: {said[0] if said else f'exit code {exit_code}'}.")
        self.exit_code = exit_code
        self.stderr = stderr


@dataclass(frozen=True, slots=True)
class Done:
    """How a command ended; a negative exit code is the signal that ended it."""

    exit_code: int
    out: bytes
    err: bytes

    @property
    def said(self) -> str:
        """What it wrote to stderr, for a person."""
        return self.err.decode(errors="replace").strip()


def clean_environment(base: Mapping[str, str]) -> dict[str, str]:
    """Return an environment in which git asks nothing and finds no repository but the one that it is shown.

    Takes out every variable whose name starts with `GIT_` but the few that say who the user is and how to reach a
    remote; counts `QUANTUM_HOOK_DEPTH` up, so that a hook that runs all the same knows not to start a check.
    """
    kept = {name: value for name, value in base.items() if not name.startswith("GIT_") or name in _KEPT}
    for name in ("EDITOR", "VISUAL", "PAGER", "LANGUAGE", "LANG", "CDPATH"):
        kept.pop(name, None)
    depth = base.get(HOOK_DEPTH, "")
    return {**kept, **_FIXED, HOOK_DEPTH: str(int(depth) + 1 if depth.isdecimal() else 1)}


class Git:
    """Runs git in one folder.

    `program` is git itself or one that takes its place; `environment` the variables to start from (this process's
    own when not given; see `clean_environment`); `extra` is added to the cleaned ones.
    """

    def __init__(
        self,
        folder: Path,
        *,
        program: str = "git",
        environment: Mapping[str, str] | None = None,
        extra: Mapping[str, str] | None = None,
    ) -> None:
        self.folder = folder
        self.program = program
        self._inherited: tuple[int, ...] = ()
        self.environment = {**clean_environment(os.environ if environment is None else environment), **(extra or {})}

    def at(self, folder: Path) -> Git:
        """The same git in another folder."""
        other = copy.copy(self)
        other.folder = folder
        return other

    def keeping(self, descriptor: int) -> Git:
        """The same git, every command of which keeps an open file open for as long as it runs.

        With a lock's file: the lock is held until the last of them has ended, even if this process is killed.
        """
        other = copy.copy(self)
        other._inherited = (*self._inherited, descriptor)
        return other

    def argv(self, *arguments: str) -> list[str]:
        """The command line of a git command, with the settings that hold for every one."""
        return [self.program, *(word for setting in _CONFIG for word in ("-c", setting)), *arguments]

    def run(
        self,
        *arguments: str,
        stdin: bytes = b"",
        timeout_seconds: float = TIMEOUT_SECONDS,
        extra: Mapping[str, str] | None = None,
    ) -> Done:
        """Run a command to its end, whatever its exit code; `stdin` and what it writes are bytes.

        `extra` are variables for this command alone. Raises Unavailable when git or the folder is missing,
        TimedOut when the limit passes (git and its children have ended then, and git has removed its locks).
        """
        with self._started(*arguments, extra=extra) as process:
            try:
                out, err = process.communicate(stdin, timeout=timeout_seconds)
            except subprocess.TimeoutExpired:
                _end(process)
                raise TimedOut(
                    "git_timeout", f"git {arguments[0]} took longer than {timeout_seconds:g} s in {self.folder}."
                ) from None
            except BaseException:
                _end(process)
                raise
            return Done(process.returncode, out, err)

    def output(self, *arguments: str, stdin: bytes = b"", timeout_seconds: float = TIMEOUT_SECONDS) -> bytes:
        """Run a command and return what it wrote to stdout; raises GitFailed unless it exits 0."""
        done = self.run(*arguments, stdin=stdin, timeout_seconds=timeout_seconds)
        if done.exit_code != 0:
            raise GitFailed(arguments[0], done.exit_code, done.said)
        return done.out

    def text(self, *arguments: str, stdin: bytes = b"", timeout_seconds: float = TIMEOUT_SECONDS) -> str:
        """As `output`, decoded (surrogates for what is no UTF-8) and without the newline at the end."""
        out = self.output(*arguments, stdin=stdin, timeout_seconds=timeout_seconds)
        return out.decode(errors="surrogateescape").rstrip("\n")

    def succeeds(self, *arguments: str, timeout_seconds: float = TIMEOUT_SECONDS) -> bool:
        """Whether a command exits 0."""
        return self.run(*arguments, timeout_seconds=timeout_seconds).exit_code == 0

    def commit_of(self, name: str) -> str:
        """The full hex name of the commit that a ref or an object name stands for; empty when there is none."""
        done = self.run("rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}")
        return done.out.decode().strip() if done.exit_code == 0 else ""

    def is_ancestor(self, older: str, newer: str) -> bool:
        """Whether `newer` holds the commit `older`; a commit holds itself."""
        return self.succeeds("merge-base", "--is-ancestor", older, newer)

    @contextlib.contextmanager
    def conversation(self, *arguments: str) -> Iterator[Conversation]:
        """Start a command that answers line by line, like `update-ref --stdin`; it has ended when the block has."""
        with self._started(*arguments) as process:
            try:
                yield Conversation(arguments[0], process)
            finally:
                assert process.stdin is not None
                with contextlib.suppress(BrokenPipeError):
                    process.stdin.close()
                try:
                    process.wait(_GRACE_SECONDS)
                except subprocess.TimeoutExpired:
                    _end(process)

    @contextlib.contextmanager
    def _started(self, *arguments: str, extra: Mapping[str, str] | None = None) -> Iterator[subprocess.Popen[bytes]]:
        try:
            process = subprocess.Popen(
                self.argv(*arguments),
                cwd=self.folder,
                env={**self.environment, **(extra or {})},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                process_group=0,
                pass_fds=self._inherited,
            )
        except FileNotFoundError as error:
            if self.folder.is_dir():
                raise Unavailable(
                    "git_missing", "git is not installed.", remedy="Install git and see that it is on PATH."
                ) from error
            raise Unavailable("folder_missing", f"{self.folder} is no folder any more.") from error
        except OSError as error:
            raise Unavailable(
                "git_not_started", f"git cannot be started in {self.folder}: {error.strerror}."
            ) from error
        with process:
            yield process


class Conversation:
    """A running git command to which lines are said and which answers each."""

    def __init__(self, command: str, process: subprocess.Popen[bytes]) -> None:
        assert process.stdin is not None and process.stdout is not None and process.stderr is not None
        self._command = command
        self._process = process
        self._stdin: IO[bytes] = process.stdin
        self._stdout: IO[bytes] = process.stdout
        self._stderr: IO[bytes] = process.stderr

    def say(self, *lines: str) -> None:
        """Say lines that it does not answer. Raises GitFailed when it has ended."""
        self._write(lines)

    def ask(self, line: str) -> str:
        """Say a line and return its answer. Raises GitFailed when it ends instead."""
        self._write((line,))
        answer = self._stdout.readline().decode(errors="replace").rstrip("\n")
        if not answer:
            self._fail()
        return answer

    def _write(self, lines: tuple[str, ...]) -> None:
        try:
            self._stdin.write("".join(f"{line}\n" for line in lines).encode(errors="surrogateescape"))
            self._stdin.flush()
        except BrokenPipeError:
            self._fail()

    def _fail(self) -> None:
        said = self._stderr.read().decode(errors="replace")
        raise GitFailed(self._command, self._process.wait(), said)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a command and what it started, at first so that it can clean up."""
    for number, seconds in ((signal.SIGTERM, _GRACE_SECONDS), (signal.SIGKILL, None)):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            continue
        return
