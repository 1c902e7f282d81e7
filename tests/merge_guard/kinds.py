"""The ways in which something can come to a branch, and the states in which the user's own work can be meanwhile."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from tests.merge_guard.building import Repo

ROLLED_BACK = "rolled back"
REFUSED = "refused"
NOTHING = "nothing to check"


@dataclass(frozen=True)
class Merge:
    """A way to merge, from a clean `main`; `hook` is the one that git runs when it has come."""

    run: Callable[[Repo], None]
    hook: str = "post-merge"
    comes: bool = True
    """It ends in something that is to be checked."""
    brings: str = "topic"
    """The branch that comes, to be merged again."""
    onward: bool = False
    """Main has a commit of its own first, so that no fast-forward is possible."""


def _typed(*arguments: str) -> Callable[[Repo], None]:
    return lambda repo: _run(repo, *arguments)


def _run(repo: Repo, *arguments: str) -> None:
    repo(*arguments)


def _two_commands(*last: str) -> Callable[[Repo], None]:
    """A merge that stops for a clash, which the user resolves, and ends with another command."""

    def run(repo: Repo) -> None:
        repo("merge", "clash", ok=(1,))
        if last:
            repo.write("README.md", "Both\n")
            repo("add", "README.md")
            repo(*last)

    return run


def _prepared_then_committed(repo: Repo) -> None:
    repo("merge", "--no-commit", "--no-ff", "topic")
    repo("commit", "--quiet", "--no-edit")


def _autostash(repo: Repo) -> None:
    repo.write("docs/guide.md", "Guide, with an edit of the user's\n")
    repo("merge", "--autostash", "--no-ff", "topic")


MERGES: Mapping[str, Merge] = {
    "ff": Merge(_typed("merge", "--ff-only", "topic")),
    "no-ff": Merge(_typed("merge", "--no-ff", "topic")),
    "true": Merge(_typed("merge", "--no-edit", "topic"), onward=True),
    "octopus": Merge(_typed("merge", "--no-edit", "topic", "second"), onward=True),
    "octopus, forwarded": Merge(_typed("merge", "--no-edit", "topic", "second")),
    "squash": Merge(_typed("merge", "--squash", "topic"), comes=False),
    "no-commit": Merge(_typed("merge", "--no-commit", "--no-ff", "topic"), hook="", comes=False),
    "no-commit, then commit": Merge(_prepared_then_committed, hook="post-commit"),
    "conflict": Merge(_two_commands(), hook="", comes=False, brings="clash", onward=True),
    "conflict, then commit": Merge(
        _two_commands("commit", "--quiet", "--no-edit"), hook="post-commit", brings="clash", onward=True
    ),
    "continue": Merge(_two_commands("merge", "--continue"), hook="post-commit", brings="clash", onward=True),
    "pull": Merge(_typed("pull", "--quiet")),
    "pull, true": Merge(_typed("pull", "--quiet", "--no-edit"), onward=True),
    "pull --rebase": Merge(_typed("pull", "--quiet", "--rebase"), hook="", comes=False, onward=True),
    "pull --rebase, ff": Merge(_typed("pull", "--quiet", "--rebase")),
    "autostash": Merge(_autostash),
}


@dataclass(frozen=True)
class Dirt:
    """Work of the user's that is there when the verdict comes, and what is to become of a bad merge then."""

    make: Callable[[Repo], None]
    outcome: str


def _edit(path: str, content: str) -> Callable[[Repo], None]:
    return lambda repo: repo.write(path, content)


def _merged_file(repo: Repo) -> str:
    """A file that the merge brought in a new form."""
    return "app.py" if b"three" in (repo.top / "app.py").read_bytes() else "README.md"


def _edit_merged(repo: Repo) -> None:
    path = _merged_file(repo)
    repo.write(path, (repo.top / path).read_text() + "An edit of the user's\n")


def _edit_same_size(repo: Repo) -> None:
    """Same size, same time: only the bytes tell."""
    place = repo.top / _merged_file(repo)
    times = place.stat()
    place.write_bytes(place.read_bytes()[:-2] + b"!\n")
    os.utime(place, ns=(times.st_atime_ns, times.st_mtime_ns))


def _stage_new(repo: Repo) -> None:
    repo.write("mine/new.txt", "Staged\n")
    repo("add", "mine/new.txt")
    repo.write("mine/new.txt", "Staged, and edited since\n")


def _stage_merged(repo: Repo) -> None:
    _edit_merged(repo)
    repo("add", _merged_file(repo))


def _clash(name: str) -> Callable[[Repo], None]:
    """A file of a name that the merge removed; a merge that removed none has the name of one it changed."""

    def make(repo: Repo) -> None:
        if (repo.top / name).exists():
            _edit_merged(repo)
        else:
            repo.write(name, "The user's own, nowhere else\n")

    return make


def _dirty_submodule(repo: Repo) -> None:
    repo.write("lib/lib.py", "An edit in the submodule\n")
    repo.write("lib/untracked.txt", "Untracked in the submodule\n")


def _intent_to_add(repo: Repo) -> None:
    repo.write("planned.txt", "Not yet added\n")
    repo("add", "--intent-to-add", "planned.txt")


def _assume_unchanged(repo: Repo) -> None:
    path = _merged_file(repo)
    repo("update-index", "--assume-unchanged", path)
    repo.write(path, "A local setting that git is told not to see\n")


def _flagged_elsewhere(repo: Repo) -> None:
    repo("update-index", "--assume-unchanged", "docs/guide.md")
    repo("update-index", "--skip-worktree", ".gitignore")
    repo.write("docs/guide.md", "Unseen\n")
    repo.write(".gitignore", "*.log\nbuild/\nunseen\n")


def _ignored_elsewhere(repo: Repo) -> None:
    repo.write("build/out.bin", b"\0\1\2")
    repo.write("debug.log", "log\n")
    repo.write("feature/debug.log", "log in a folder that the merge brought\n")


DIRTS: Mapping[str, Dirt] = {
    "clean": Dirt(lambda repo: None, ROLLED_BACK),
    "edit in a merged file": Dirt(_edit_merged, REFUSED),
    "edit of the same size and time": Dirt(_edit_same_size, REFUSED),
    "edit elsewhere": Dirt(_edit("docs/guide.md", "Edited\n"), ROLLED_BACK),
    "new file staged": Dirt(_stage_new, ROLLED_BACK),
    "merged file staged": Dirt(_stage_merged, REFUSED),
    "untracked clash": Dirt(_clash("gone.txt"), REFUSED),
    "ignored clash": Dirt(_clash("kept.log"), REFUSED),
    "untracked and ignored elsewhere": Dirt(_ignored_elsewhere, ROLLED_BACK),
    "dirty submodule": Dirt(_dirty_submodule, ROLLED_BACK),
    "intent to add": Dirt(_intent_to_add, ROLLED_BACK),
    "merged file assumed unchanged": Dirt(_assume_unchanged, REFUSED),
    "others flagged": Dirt(_flagged_elsewhere, ROLLED_BACK),
}
