"""A repository apart from the user's, in which commits are merged and checked out: nothing in it leads back.

It borrows the user's objects (as `git clone --shared` does, also of a shallow repository) and has its own refs, index
and configuration, no remote and no hooks.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

from foundation.errors import Conflict, Unavailable
from merge_guard.borrowing import Lender, ceilings, fill_submodules
from merge_guard.git import Git, GitFailed
from merge_guard.values import Repository


class CommitTree:
    """The files of a commit, as a `smoke.Tree`."""

    def __init__(self, git: Git, commit: str) -> None:
        self._git = git
        self._commit = commit

    @cached_property
    def _paths(self) -> frozenset[str]:
        listed = self._git.output("ls-tree", "-r", "-z", "--name-only", "--full-tree", self._commit)
        return frozenset(os.fsdecode(path) for path in listed.split(b"\0") if path)

    @cached_property
    def _folders(self) -> frozenset[str]:
        return frozenset(str(folder) for path in self._paths for folder in Path(path).parents)

    @cached_property
    def names(self) -> frozenset[str]:
        """The names of all files and folders, those of files without their suffix."""
        return frozenset(part.partition(".")[0] for path in self._paths for part in path.split("/"))

    def text(self, path: str) -> str | None:
        """What a file holds; None where there is no such file."""
        if path not in self._paths:
            return None
        done = self._git.run("cat-file", "blob", f"{self._commit}:{path}")
        return done.out.decode(errors="replace") if done.exit_code == 0 else None

    def has(self, path: str) -> bool:
        """Whether there is a file or a folder of this path."""
        return path in self._paths or path in self._folders

    def files(self, folder: str) -> Sequence[str]:
        """The paths of all files below a folder."""
        return sorted(path for path in self._paths if path.startswith(f"{folder}/"))


class Scratch:
    """The scratch repository of one check, in a folder of its own that must exist.

    `tree` is where a commit is checked out to be tested, always in the same place, with a repository of the test's own
    in it. `git` works on the same files from a repository that lies beside it, where no test finds it: by that one's
    index whatever a test has changed is found, and put right before the next.
    """

    def __init__(self, repository: Repository, folder: Path, git: Git) -> None:
        self._repository = repository
        self.users = repository.top
        self.folder = folder.resolve()
        self.tree = self.folder / "tree"
        self.base = self.folder / "base"
        """Git's own folder of `git`: what is merged here can be fetched from it."""
        around = {"GIT_CEILING_DIRECTORIES": ceilings(self.tree)}
        self.inside = Git(self.tree, program=git.program, environment=git.environment, extra=around)
        """As the test finds it: git in `tree`."""
        here = {**around, "GIT_DIR": str(self.base), "GIT_WORK_TREE": str(self.tree)}
        self.git = Git(self.tree, program=git.program, environment=git.environment, extra=here)
        self.tree.mkdir()
        self._mode = stat.S_IMODE(self.tree.stat().st_mode)
        self._files: dict[str, CommitTree] = {}
        self._lender = Lender(repository, git.at(repository.top), self.inside)
        self._lender.make(self.base, bare=True)
        self._pristine = self.folder / "pristine"
        self._lender.make(self._pristine, self.base)

    def tree_of(self, commit: str) -> str:
        """The object name of a commit's tree. Raises GitFailed where the commit is not there."""
        return self.git.text("rev-parse", "--verify", "--end-of-options", f"{commit}^{{tree}}")

    def files_of(self, commit: str) -> CommitTree:
        """The files of a commit."""
        return self._files.setdefault(commit, CommitTree(self.git, commit))

    def changed(self, one: str, other: str) -> Sequence[str]:
        """The paths of the files in which two commits differ."""
        names = self.git.output("diff-tree", "-r", "-z", "--name-only", "--no-renames", one, other)
        return [os.fsdecode(name) for name in names.split(b"\0") if name]

    def check_out(self, commit: str) -> str:
        """Make `tree` the very tree of a commit, detached, with its submodules; returns the tree's object name.

        Raises GitFailed or Unavailable when that cannot be had in full.
        """
        self.tidy()
        self.git.output("checkout", "--quiet", "--detach", "--force", commit)
        wanted, there = self.tree_of(commit), self.git.text("write-tree")
        if there != wanted:
            raise Unavailable(
                "other_tree", f"What was checked out for {commit[:12]} is another tree than the commit's."
            )
        own = self.tree / ".git"
        shutil.copytree(self._pristine / ".git", own)
        shutil.copyfile(self.base / "index", own / "index")
        (own / "HEAD").write_text(f"{self.git.commit_of(commit)}\n", encoding="ascii")
        modules = (self._repository.git_dir / "modules", self._repository.common_dir / "modules")
        fill_submodules(self._lender, self.inside, modules, self._repository.top)
        return there

    def tidy(self) -> None:
        """Take away what a test has left in `tree` beside the files of the commit, the repository that it had too.

        Follows no link that a test has made. Raises Unavailable where `folder` itself is not in its place any more.
        """
        if os.path.realpath(self.folder) != str(self.folder):
            raise Unavailable("scratch_moved", f"The test has put something else in the place of {self.folder}.")
        try:
            if not stat.S_ISDIR(self.tree.lstat().st_mode):
                raise NotADirectoryError(self.tree)
            self.tree.chmod(self._mode)
            remove(self.tree / ".git")
            _open_folders(self.tree, self._mode)
            if (self.base / "index").exists():
                for path in _submodules(self.git):
                    # Where a test has put a link, to the user's own work maybe, the link goes with what is untracked.
                    if not _leads_out(self.tree, path):
                        remove(self.tree / path)
                self.git.output("clean", "-ffdxq")
            _even_out(self.tree, self._mode)
        except (GitFailed, OSError):
            # Whatever it is, it goes as a whole, and all is checked out anew.
            remove(self.tree)
            self.tree.mkdir()

    def merge(self, into: str, topic: str, message: str) -> str:
        """Merge a commit into another as git does by itself; returns the merge's commit, which lies in `base`.

        Raises Conflict, code `merge_conflict`, naming the files that a person must merge.
        """
        self.tidy()
        self.git.output("checkout", "--quiet", "--detach", "--force", into)
        done = self.git.run("merge", "--no-ff", "--no-edit", "--quiet", "-m", message, topic)
        if done.exit_code != 0:
            unmerged = self.git.output("diff", "--name-only", "--diff-filter=U", "-z").split(b"\0")
            names = ", ".join(os.fsdecode(name) for name in unmerged[:5] if name)
            self.git.output("reset", "--quiet", "--hard", into)
            if not names:
                raise GitFailed("merge", done.exit_code, done.said)
            raise Conflict("merge_conflict", f"It does not merge by itself: {names}.")
        return self.git.text("rev-parse", "--verify", "HEAD")

    def offer(self, commit: str) -> None:
        """Put a ref on a commit, so that it can be fetched from `base`."""
        self.git.output("update-ref", "refs/heads/candidate", commit)


def remove(path: Path) -> None:
    """Remove a folder with all that is in it, also what was made read-only, or a file. None is fine."""
    if path.is_symlink() or path.is_file():
        path.unlink()
    elif path.exists():
        os.chmod(path, stat.S_IRWXU)
        _open_folders(path, stat.S_IRWXU)
        shutil.rmtree(path)


def _leads_out(top: Path, path: str) -> bool:
    """Whether a folder above `path`, which is relative to `top`, is a link."""
    return any((top / above).is_symlink() for above in Path(path).parents)


def _open_folders(top: Path, mode: int) -> None:
    """Give every folder below `top` the rights `mode`: git keeps none of folders, and cannot clean closed ones."""
    for place, folders, _ in os.walk(top):
        for name in folders:
            folder = os.path.join(place, name)
            if not os.path.islink(folder) and stat.S_IMODE(os.lstat(folder).st_mode) != mode:
                os.chmod(folder, mode)


def _even_out(top: Path, mode: int) -> None:
    """Give every file below `top` the rights that git gives where folders have `mode`: it finds only a changed x.

    A file that has a second name goes: the other one may be anywhere, and its rights are somebody's.
    """
    for place, _, files in os.walk(top):
        for name in files:
            file = os.path.join(place, name)
            found = os.lstat(file)
            right = mode & (0o777 if found.st_mode & stat.S_IXUSR else 0o666)
            if stat.S_ISREG(found.st_mode) and found.st_nlink > 1:
                os.unlink(file)
            elif stat.S_ISREG(found.st_mode) and stat.S_IMODE(found.st_mode) != right:
                os.chmod(file, right)


def _submodules(git: Git) -> Sequence[str]:
    entries = git.output("ls-files", "--stage", "-z").split(b"\0")
    return [os.fsdecode(entry.partition(b"\t")[2]) for entry in entries if entry.startswith(b"160000")]
