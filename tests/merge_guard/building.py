"""Builds small real repositories, always the same ones: fixed names, fixed dates, nobody's own configuration."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from merge_guard.git import Git
from merge_guard.repository import open_repository
from merge_guard.values import Repository

NOW = datetime(2026, 11, 28, 12, 0, tzinfo=UTC)
CHECK = "01jdqk0000000000000000000c"
NO_FILE = "/dev/null/none"
"""A configuration that is not there and cannot be made, not even by root, who could replace /dev/null itself."""
_CONFIG = {
    "protocol.file.allow": "always",
    "advice.detachedHead": "false",
    "gc.auto": "0",
    "init.defaultBranch": "main",
    "merge.conflictStyle": "merge",
    "pull.rebase": "false",
}


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """What a user's own git runs with here: no configuration but ours, one name, one moment."""
    found = {name: value for name, value in os.environ.items() if not name.startswith(("GIT_", "QUANTUM_"))}
    found |= {
        "GIT_CONFIG_GLOBAL": NO_FILE,
        "GIT_CONFIG_SYSTEM": NO_FILE,
        "GIT_CONFIG_COUNT": str(len(_CONFIG)),
        "GIT_EDITOR": "true",
        "LC_ALL": "C.UTF-8",
    }
    for number, (key, value) in enumerate(_CONFIG.items()):
        found |= {f"GIT_CONFIG_KEY_{number}": key, f"GIT_CONFIG_VALUE_{number}": value}
    for who in ("AUTHOR", "COMMITTER"):
        found |= {
            f"GIT_{who}_NAME": "Ada Lovelace",
            f"GIT_{who}_EMAIL": "ada@example.org",
            f"GIT_{who}_DATE": "1767268800 +0000",
        }
    return found | dict(extra or {})


@dataclass
class Repo:
    """A work tree and its user, who types git."""

    top: Path
    program: str = "git"
    extra: dict[str, str] = field(default_factory=dict)

    def __call__(self, *arguments: str, ok: tuple[int, ...] = (0,), stdin: str = "") -> str:
        """Run git as the user does and return stdout; any exit code but those of `ok` is an AssertionError."""
        done = subprocess.run(
            [self.program, *arguments],
            cwd=self.top,
            env=environment(self.extra),
            input=stdin,
            capture_output=True,
            text=True,
            errors="surrogateescape",
            check=False,
        )
        assert done.returncode in ok, f"git {' '.join(arguments)}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout.rstrip("\n")

    @property
    def git(self) -> Git:
        """The guard's git."""
        return Git(self.top, program=self.program, environment=environment())

    @property
    def repository(self) -> Repository:
        """As the guard opens it."""
        return open_repository(self.top, git=self.git)

    def write(self, path: str, content: str | bytes) -> None:
        """Write a file, with the folders above it."""
        place = self.top / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content if isinstance(content, bytes) else content.encode())

    def commit(self, message: str, files: Mapping[str, str | bytes | None] | None = None) -> str:
        """Write (None: remove) files, commit everything and return the commit's name."""
        for path, content in (files or {}).items():
            if content is None:
                self("rm", "-q", "--", path)
            else:
                self.write(path, content)
        self("add", "--all")
        self("commit", "--quiet", "--allow-empty", "-m", message)
        return self.tip()

    def tip(self, name: str = "HEAD") -> str:
        """The full name of a commit."""
        return self("rev-parse", "--verify", f"{name}^{{commit}}")

    def parents(self, name: str = "HEAD") -> list[str]:
        """A commit's parents."""
        return self("rev-list", "--parents", "--max-count=1", name).split()[1:]

    def copy(self, top: Path) -> Repo:
        """The same repository at another place, as it stands; git takes its files for unchanged."""
        shutil.copytree(self.top, top, symlinks=True)
        copied = Repo(top, self.program, dict(self.extra))
        copied("update-index", "-q", "--refresh", ok=(0, 1))
        return copied


def make(top: Path, program: str = "git") -> Repo:
    """An empty repository on an unborn `main`."""
    top.mkdir(parents=True)
    repo = Repo(top, program)
    repo("init", "--quiet", "--initial-branch=main")
    # For the guard's git, which takes settings from files alone.
    for key, value in _CONFIG.items():
        repo("config", key, value)
    return repo


BASE = {
    "README.md": "A small project.\n",
    "app.py": "".join(f"line {number}\n" for number in range(40)),
    "docs/guide.md": "Guide\n",
    "gone.txt": "It will be removed.\n",
    "kept.log": "An ignored name, tracked by force.\n",
    ".gitignore": "*.log\nbuild/\n",
}
TOPIC: dict[str, str | bytes | None] = {
    "app.py": BASE["app.py"].replace("line 3\n", "line three\n"),
    "feature/new.py": "print('new')\n",
    "gone.txt": None,
    "kept.log": None,
}


def make_base(top: Path, program: str = "git") -> Repo:
    """`main` with a submodule `lib`, and beside it `topic`, `second`, `clash` and a remote `origin` that is ahead.

    `topic` changes app.py, adds feature/new.py, removes gone.txt and kept.log (an ignored name), moves the submodule
    on. `second` adds another file. `clash` changes the line that `onward`, a commit for main itself, changes too.
    """
    library = make(top.parent / "library", program)
    library.commit("One", {"lib.py": "one\n"})
    first = library.tip()
    library.commit("Two", {"lib.py": "two\n"})
    repo = make(top, program)
    for path, content in BASE.items():
        repo.write(path, content)
    repo("add", "--force", "kept.log")
    repo("submodule", "--quiet", "add", str(library.top), "lib")
    Repo(top / "lib", program)("checkout", "--quiet", first)
    repo.commit("Base")
    for branch, files in (
        ("topic", TOPIC),
        ("second", {"second.py": "print(2)\n"}),
        ("clash", {"README.md": "Theirs\n"}),
    ):
        repo("switch", "--quiet", "--create", branch, "main")
        if branch == "topic":
            Repo(top / "lib", program)("checkout", "--quiet", "main")
        repo.commit(f"Work of {branch}", files)
        Repo(top / "lib", program)("checkout", "--quiet", first)
        repo("switch", "--quiet", "main")
    repo("clone", "--quiet", "--bare", ".", str(top.parent / "origin.git"))
    Repo(top.parent / "origin.git", program)("update-ref", "refs/heads/main", repo.tip("topic"))
    repo("remote", "add", "origin", "../origin.git")
    repo("config", "branch.main.remote", "origin")
    repo("config", "branch.main.merge", "refs/heads/main")
    assert repo("status", "--porcelain") == ""
    return repo
