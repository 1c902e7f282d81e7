"""Finds a repository, says what state it is in, and holds the guard's own lock on it."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from foundation.errors import Conflict, Denied, NotFound, Unavailable, Unsupported
from merge_guard.git import Git
from merge_guard.values import Repository

# What git keeps in a work tree's own folder while it is in the midst of something that a person must end.
_IN_PROGRESS = {
    "rebase-merge": "a rebase",
    "rebase-apply": "a rebase or `git am`",
    "CHERRY_PICK_HEAD": "a cherry-pick",
    "REVERT_HEAD": "a revert",
    "BISECT_LOG": "a bisection",
    "sequencer": "a cherry-pick or revert of several commits",
}


def open_repository(folder: Path, *, git: Git | None = None) -> Repository:
    """Return the work tree that holds a folder, its paths absolute and links resolved.

    Raises NotFound where there is no repository, Unsupported for a bare one, Denied where git does not trust it.
    """
    git = git.at(folder) if git else Git(folder)
    done = git.run("rev-parse", "--path-format=absolute", "--git-dir", "--git-common-dir", "--is-bare-repository")
    if done.exit_code != 0:
        if "dubious ownership" in done.said:
            raise Denied(
                "repository_not_trusted",
                f"git does not trust {folder}: it belongs to another user.",
                remedy=f"git config --global --add safe.directory {folder}",
            )
        raise NotFound("no_repository", f"{folder} is in no git repository: {done.said}.")
    *paths, bare = done.out.decode(errors="surrogateescape").split("\n")[:3]
    if bare == "true":
        raise Unsupported("bare_repository", f"{folder} is a bare repository: it has no work tree to be guarded.")
    top = git.run("rev-parse", "--path-format=absolute", "--show-toplevel")
    if top.exit_code != 0:
        raise NotFound("no_work_tree", f"{folder} is not in a work tree: {top.said}.")
    git_dir, common_dir = (Path(path).resolve() for path in paths)
    return Repository(
        top=Path(top.out.decode(errors="surrogateescape").rstrip("\n")).resolve(),
        git_dir=git_dir,
        common_dir=common_dir,
    )


def current_branch(git: Git) -> str:
    """The short name of HEAD's branch; empty when HEAD is detached."""
    done = git.run("symbolic-ref", "--quiet", "HEAD")
    name = done.out.decode(errors="surrogateescape").rstrip("\n")
    return name.removeprefix("refs/heads/") if done.exit_code == 0 else ""


def elsewhere(git: Git, repository: Repository, branch: str) -> str:
    """Git's folder of another work tree in which a branch is checked out as well; empty: there is none."""
    common_dir = repository.common_dir
    linked = [folder for folder in common_dir.glob("worktrees/*") if _work_tree_of(folder).is_dir()]
    config = ("config", "--file", str(common_dir / "config"), "--type=bool", "--default=false", "core.bare")
    main = [common_dir] if repository.git_dir != common_dir and git.text(*config) == "false" else []
    for folder in (*main, *linked):
        if folder != repository.git_dir and _content(folder / "HEAD") == f"ref: refs/heads/{branch}":
            return str(folder)
    return ""


def _work_tree_of(linked: Path) -> Path:
    """The folder of a linked work tree, by git's own folder of it; one that is gone has none."""
    return linked.joinpath(_content(linked / "gitdir") or "gone").parent


def _content(path: Path) -> str:
    try:
        return os.fsdecode(path.read_bytes()).rstrip("\n")
    except FileNotFoundError:
        return ""


def merge_heads(repository: Repository) -> tuple[str, ...]:
    """The commits that a merge in this work tree is bringing or has just brought; empty: there is none."""
    try:
        return tuple((repository.git_dir / "MERGE_HEAD").read_text(encoding="ascii").split())
    except FileNotFoundError:
        return ()


def in_progress(repository: Repository) -> str:
    """What git is in the midst of in this work tree ("a rebase"); empty: nothing but, maybe, a merge."""
    return next((what for name, what in _IN_PROGRESS.items() if os.path.lexists(repository.git_dir / name)), "")


def quantum_folder(repository: Repository) -> Path:
    """The guard's own folder in the repository, shared by its work trees; made if missing. Raises Unavailable."""
    folder = repository.common_dir / "quantum"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise Unavailable(
            "repository_not_writable", f"{repository.common_dir} cannot be written to: {error.strerror}."
        ) from error
    return folder


@contextlib.contextmanager
def hold(repository: Repository, *, wait: bool = False) -> Iterator[int]:
    """Hold the guard's lock on a repository, for all of its work trees, while HEAD is moved; not while a test runs.

    Yields the lock's open file, for `Git.keeping`: the kernel lets go when all who have it have ended.
    `wait` waits for as long as it takes. Raises Conflict when somebody has it, Unavailable when it cannot be made.
    """
    path = quantum_folder(repository) / "lock"
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise Unavailable("repository_not_writable", f"{path} cannot be opened: {error.strerror}.") from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError as error:
            raise Conflict(
                "repository_busy", f"Another merge of {repository.top} is being dealt with at the moment."
            ) from error
        yield descriptor
    finally:
        os.close(descriptor)
