"""The guarded repositories of this host, looked at with git; notes of hooks are the only thing that is taken away."""

from __future__ import annotations

import asyncio
import os
import shlex
import tomllib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from foundation.errors import Denied, NotFound, TimedOut, Unavailable, Unsupported
from foundation.log import get_logger
from foundation.repositories import GuardedRepository, read_repositories
from merge_guard.git import Git, GitFailed
from merge_guard.repository import current_branch, open_repository
from merge_guard.smoke import is_protected
from services.coordinator.domain.merge_moves import Move, Note
from services.coordinator.ports_merges import WorkTree

T = TypeVar("T")

LOOK_SECONDS = 10.0
NOTES_BYTES_MAX = 256 * 1024
WISHES_BYTES_MAX = 64 * 1024
_BRANCHES_MAX = 100
_UNKNOWN = "-"
_log = get_logger("coordinator")


class GitRepositories:
    """Implements `ports_merges.Repositories`; git runs in threads, so that no look holds up a call."""

    def __init__(self, repositories_file: Path) -> None:
        self._file = repositories_file
        self._faults: tuple[str, ...] = ()

    async def guarded(self) -> Mapping[str, GuardedRepository]:
        found = await asyncio.to_thread(read_repositories, self._file)
        if found.faults != self._faults:
            self._faults = found.faults
            for fault in found.faults:
                _log.warning(fault, action="repositories_fault")
        return found.by_id

    async def look(self, folder: Path, repository: GuardedRepository) -> WorkTree:
        return await _asked(_look, folder, repository)

    async def work_trees(self, repository: GuardedRepository) -> Mapping[Path, WorkTree]:
        return await _asked(_work_trees, repository)

    async def tips(self, repository: GuardedRepository, seen: Mapping[str, str]) -> Mapping[str, str]:
        return await _asked(_tips, repository.folder, seen)

    async def moves(self, repository: GuardedRepository, branch: str, *, limit: int) -> Sequence[Move]:
        return await _asked(_moves, repository.folder, branch, limit)

    async def notes(self, repository: GuardedRepository) -> Sequence[Note]:
        return await asyncio.to_thread(_notes, repository.common_dir)

    async def forget(self, repository: GuardedRepository) -> None:
        await asyncio.to_thread(_forget, repository.common_dir)


async def _asked(work: Callable[..., T], *arguments: object) -> T:
    """Run in a thread; whatever git has against it is told as NotFound or Unavailable."""
    try:
        return await asyncio.to_thread(work, *arguments)
    except (GitFailed, TimedOut, Unsupported, Denied) as error:
        raise Unavailable("git_failed", error.message, remedy=error.remedy) from error


def _look(folder: Path, guarded: GuardedRepository) -> WorkTree:
    if not folder.is_absolute() or not folder.is_dir():
        raise NotFound("no_folder", f"{folder} is no folder on this host.")
    git = Git(folder)
    repository = open_repository(folder, git=git)
    if repository.common_dir != guarded.common_dir:
        # Anybody may have made it. Where objects are missing, its configuration would name the program that gets them.
        return WorkTree(repository.common_dir, head="", branch="")
    if git.run("config", "--local", "--get", "quantum.repository").out.decode(errors="replace").strip() != guarded.id:
        raise NotFound(
            "not_installed",
            f"{folder} has not the identifier {guarded.id} any more: another repository stands there, or the guard was"
            " taken out by hand.",
            remedy=f"quantum hooks install {shlex.quote(str(folder))}",
        )
    return WorkTree(repository.common_dir, git.commit_of("HEAD"), current_branch(git))


def _work_trees(repository: GuardedRepository) -> Mapping[Path, WorkTree]:
    folder = repository.folder
    own = _look(folder, repository)
    found = {folder: own}
    if not own.head:
        return found
    listed = Git(folder).text("worktree", "list", "--porcelain", timeout_seconds=LOOK_SECONDS)
    for entry in listed.split("\n\n"):
        told = {key: value for key, _, value in (line.partition(" ") for line in entry.splitlines())}
        if "HEAD" in told and "prunable" not in told and told["worktree"] != str(folder):
            branch = told.get("branch", "").removeprefix("refs/heads/")
            found[Path(told["worktree"])] = WorkTree(own.common_dir, told["HEAD"], branch)
    return found


def _tips(folder: Path, seen: Mapping[str, str]) -> Mapping[str, str]:
    git = Git(folder)
    here = current_branch(git)
    wished = [*_wished(_settings(folder), here)]
    if here in seen:
        # What came without a check does not choose whether it is looked at.
        before = git.run("cat-file", "blob", f"{seen[here]}:quantum.toml")
        wished += _wished(before.out[:WISHES_BYTES_MAX], here)
    if not any(wished):
        return {}
    told = git.text(
        "for-each-ref", "--format=%(objectname) %(refname)", "--", "refs/heads/", timeout_seconds=LOOK_SECONDS
    )
    lines = (line.partition(" ") for line in told.split("\n") if line)
    found = {ref.removeprefix("refs/heads/"): tip for tip, _, ref in lines}
    protected = [(name, tip) for name, tip in found.items() if is_protected(name, wished)]
    return dict(protected[:_BRANCHES_MAX])


def _settings(folder: Path) -> bytes:
    try:
        with open(folder / "quantum.toml", "rb") as file:
            return file.read(WISHES_BYTES_MAX)
    except OSError:
        return b""


def _wished(settings: bytes, here: str) -> Sequence[str]:
    """`[merge] branches`, or the branch that is checked out; whatever is wrong there, the check itself will say."""
    try:
        table = tomllib.loads(settings.decode()).get("merge")
    except (UnicodeDecodeError, tomllib.TOMLDecodeError):
        table = None
    branches = table.get("branches") if isinstance(table, dict) else None
    names = branches if isinstance(branches, list) else []
    return [name for name in names if isinstance(name, str) and name][:_BRANCHES_MAX] or [here]


def _moves(folder: Path, branch: str, limit: int) -> Sequence[Move]:
    done = Git(folder).run(
        "log",
        "--walk-reflogs",
        f"--max-count={limit}",
        "--format=%H%x00%gs",
        f"refs/heads/{branch}",
        "--",
        timeout_seconds=LOOK_SECONDS,
    )
    entries = (line.partition("\0") for line in done.out.decode(errors="replace").splitlines())
    return [Move(commit, message) for commit, _, message in entries]


def _paths(common_dir: Path) -> tuple[Path, Path]:
    written = common_dir / "quantum" / "unchecked"
    return written, written.with_name("unchecked.taken")


def _notes(common_dir: Path) -> Sequence[Note]:
    """What was taken aside at an earlier look. What is written by now is taken aside for the next one: whoever had
    opened it to add a line has closed it by then."""
    written, taken = _paths(common_dir)
    notes = _read(taken)
    if notes is None:
        try:
            os.rename(written, taken)
        except FileNotFoundError:
            return ()
        except OSError as error:
            raise Unavailable("notes_unreadable", f"{written} cannot be read: {error.strerror}.") from error
        return ()
    if not notes:
        _forget(common_dir)
    return notes


def _read(taken: Path) -> Sequence[Note] | None:
    try:
        handle = os.open(taken, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise Unavailable("notes_unreadable", f"{taken} cannot be read: {error.strerror}.") from error
    with open(handle, "rb") as file:
        lines = file.read(NOTES_BYTES_MAX).decode(errors="replace").splitlines()
    return [note for line in lines if (note := _note(line)) is not None]


def _note(line: str) -> Note | None:
    words = line.split()
    if len(words) != 4:
        return None  # torn by a full disk, or by a line over the bound
    _, event, old, new = words
    return Note(event, "" if old == _UNKNOWN else old, "" if new == _UNKNOWN else new)


def _forget(common_dir: Path) -> None:
    _paths(common_dir)[1].unlink(missing_ok=True)
