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
from merge_guard.git import Git, GitFailed
from merge_guard.values import Repository

# Of the user's own settings for this repository: who commits, and how files are merged and written.
_CARRIED_OVER = r"^(user|author|committer|merge|diff|filter)\.|^core\.(autocrlf|eol|safecrlf|attributesfile)$"
_OWN_SETTINGS = (("core.hooksPath", os.devnull), ("gc.auto", "0"), ("advice.detachedHead", "false"))
_GITLINK = b"160000"


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

    `git` runs in it; `tree` is where a commit is checked out to be tested, anew each time and always in the same place.
    """

    def __init__(self, repository: Repository, folder: Path, git: Git) -> None:
        self._repository = repository
        self.folder = folder.resolve()
        self.tree = self.folder / "tree"
        self._theirs = git.at(repository.top)
        around = {"GIT_CEILING_DIRECTORIES": ceilings(self.tree)}
        self._git_here = Git(self.folder, program=git.program, environment=git.environment, extra=around)
        self._settings = [*_OWN_SETTINGS, *self._carried_over()]
        self._format = self._theirs.text("rev-parse", "--show-object-format")
        self._tags = self._theirs.output("for-each-ref", "--format=%(objectname) %(refname)", "refs/tags")
        base = self.folder / "base"
        self.git = self._git_here.at(base)
        self._make(base, (repository.common_dir,))

    def tree_of(self, commit: str) -> str:
        """The object name of a commit's tree. Raises GitFailed where the commit is not there."""
        return self.git.text("rev-parse", "--verify", "--end-of-options", f"{commit}^{{tree}}")

    def files_of(self, commit: str) -> CommitTree:
        """The files of a commit."""
        return CommitTree(self.git, commit)

    def check_out(self, commit: str) -> str:
        """Put a commit, detached, with its submodules, into a new `tree`; returns the object name of what lies there.

        Raises GitFailed or Unavailable when that cannot be had in full.
        """
        remove(self.tree)
        self._make(self.tree, (self.git.folder / ".git", self._repository.common_dir))
        git = self._git_here.at(self.tree)
        git.output("checkout", "--quiet", "--detach", "--force", commit)
        wanted, there = self.tree_of(commit), git.text("write-tree")
        if there != wanted:
            raise Unavailable(
                "other_tree", f"What was checked out for {commit[:12]} is another tree than the commit's."
            )
        modules = (self._repository.git_dir / "modules", self._repository.common_dir / "modules")
        self._fill_submodules(git, modules, self._repository.top)
        return there

    def merge(self, into: str, topic: str, message: str) -> str:
        """Merge a commit into another as git does by itself; returns the merge's commit, which lies in `git`.

        Raises Conflict, code `merge_conflict`, naming the files that a person must merge.
        """
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
        """Put a ref on a commit, so that it can be fetched from here."""
        self.git.output("update-ref", "refs/heads/candidate", commit)

    def _make(self, folder: Path, lenders: Sequence[Path]) -> None:
        """Make an empty repository that has the lenders' objects, the user's settings and tags."""
        own = self._init(folder)
        _borrow(own, lenders, self._settings)
        (own / "packed-refs").write_bytes(self._tags)
        for name in ("shallow", "info/attributes"):
            source = self._repository.common_dir / name
            if source.is_file():
                (own / name).parent.mkdir(exist_ok=True)
                shutil.copyfile(source, own / name)

    def _carried_over(self) -> list[tuple[str, str]]:
        done = self._theirs.run("config", "--local", "--includes", "--null", "--get-regexp", _CARRIED_OVER)
        entries = os.fsdecode(done.out).split("\0") if done.exit_code == 0 else []
        return [(key, value) for entry in entries if entry for key, value in [_key_and_value(entry)]]

    def _fill_submodules(self, git: Git, modules: Sequence[Path], theirs: Path) -> None:
        """Check out the submodules that the user has, from the user's own copies; nothing is fetched."""
        for entry in git.output("ls-files", "--stage", "-z").split(b"\0"):
            if not entry.startswith(_GITLINK):
                continue
            about, _, raw = entry.partition(b"\t")
            path, commit = os.fsdecode(raw), about.split()[1].decode()
            name = _submodule_name(git, path)
            lender = next(
                (place for place in (*(m / name for m in modules), theirs / path / ".git") if _is_git(place)), None
            )
            if lender is None:
                continue
            folder = git.folder / path
            if folder.is_dir():
                folder.rmdir()
            _borrow(self._init(folder), (lender,), _OWN_SETTINGS)
            inner = git.at(folder)
            if not inner.commit_of(commit):
                raise Unavailable(
                    "submodule_missing",
                    f"The submodule {path} has no commit {commit[:12]} here.",
                    remedy="git submodule update --init --recursive",
                )
            inner.output("checkout", "--quiet", "--detach", "--force", commit)
            self._fill_submodules(inner, (lender / "modules",), theirs / path)

    def _init(self, folder: Path) -> Path:
        """An empty repository, without hooks; returns git's own folder in it."""
        folder.mkdir(parents=True)
        plain = ("init", "--quiet", "--template=", f"--object-format={self._format}")
        self._git_here.at(folder).output("-c", "init.defaultRefFormat=files", *plain)
        return folder / ".git"


def _borrow(own: Path, lenders: Sequence[Path], settings: Sequence[tuple[str, str]]) -> None:
    """Let a repository read the lenders' objects, and set it up."""
    info = own / "objects" / "info"
    info.mkdir(exist_ok=True)
    (info / "alternates").write_bytes(b"".join(os.fsencode(lender / "objects") + b"\n" for lender in lenders))
    with (own / "config").open("a", encoding="utf-8", errors="surrogateescape") as config:
        config.writelines(_setting(key, value) for key, value in settings)


def ceilings(folder: Path) -> str:
    """GIT_CEILING_DIRECTORIES that keep git, started in a folder or beside it, from a repository around it."""
    return os.pathsep.join(str(parent) for parent in folder.parents)


def remove(folder: Path) -> None:
    """Remove a folder with all that is in it, also what was made read-only. None is fine."""
    if not folder.exists():
        return
    os.chmod(folder, stat.S_IRWXU)
    for place, folders, _ in os.walk(folder):
        for name in folders:
            if not os.path.islink(inner := os.path.join(place, name)):
                os.chmod(inner, stat.S_IRWXU)
    shutil.rmtree(folder)


def _submodule_name(git: Git, path: str) -> str:
    done = git.run("config", "--file", ".gitmodules", "--null", "--get-regexp", r"^submodule\..*\.path$")
    for entry in os.fsdecode(done.out).split("\0"):
        key, _, value = entry.partition("\n")
        if value == path:
            return key.removeprefix("submodule.").removesuffix(".path")
    return path


def _is_git(folder: Path) -> bool:
    return (folder / "objects").is_dir() and (folder / "HEAD").is_file()


def _key_and_value(entry: str) -> tuple[str, str]:
    """As `git config --null` tells them; a key alone means true."""
    key, newline, value = entry.partition("\n")
    return key, value if newline else "true"


def _setting(key: str, value: str) -> str:
    """One setting as a part of a configuration file."""
    section, _, rest = key.partition(".")
    subsection, dot, name = rest.rpartition(".")
    head = f'[{section} "{_escaped(subsection)}"]' if dot else f"[{section}]"
    return f'{head}\n\t{name if dot else rest} = "{_escaped(value)}"\n'


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
