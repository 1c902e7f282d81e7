"""Builds small git repositories of a user for tests; the user's home is the folder around them."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

from merge_guard.git import Git

# A real file: a test that runs `git config --global` as root would otherwise replace what its name leads to.
_GLOBAL = "[user]\n\tname = Ada\n\temail = ada@example.org\n"


class Sample:
    """A repository with a user in it; `run` types a git command there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True)
        (folder.parent / ".gitconfig").write_text(_GLOBAL)
        self.run("init", "--quiet", "--initial-branch=main")

    @property
    def environment(self) -> dict[str, str]:
        """What the user's shell has."""
        return {"PATH": os.environ["PATH"], "HOME": str(self.folder.parent), "GIT_CONFIG_NOSYSTEM": "1"}

    @property
    def git(self) -> Git:
        """The guard's git in this repository."""
        return Git(self.folder, environment=self.environment)

    def run(self, *arguments: str) -> str:
        """Run git; returns what it prints."""
        done = subprocess.run(
            ["git", *arguments], cwd=self.folder, env=self.environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def write(self, files: Mapping[str, str]) -> None:
        """Write files; a text that begins with #! becomes executable."""
        for name, text in files.items():
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
            path.chmod(0o755 if text.startswith("#!") else 0o644)

    def commit(self, files: Mapping[str, str], message: str = "change") -> str:
        """Write files and commit them; returns the commit."""
        self.write(files)
        self.run("add", "--", *files)
        self.run("commit", "--quiet", "--allow-empty", "--message", message)
        return self.run("rev-parse", "HEAD")

    def tree(self, commit: str = "HEAD") -> str:
        """The name of a commit's tree."""
        return self.run("rev-parse", f"{commit}^{{tree}}")

    def everything(self) -> dict[str, bytes]:
        """Every file below the folder, git's own included, by path; what the guard keeps for itself left out."""
        found = {}
        for place, folders, files in os.walk(self.folder):
            if Path(place).name == ".git" and "quantum" in folders:
                folders.remove("quantum")
            for name in files:
                path = Path(place, name)
                mode = path.lstat().st_mode
                content = os.readlink(path).encode() if path.is_symlink() else path.read_bytes()
                found[str(path.relative_to(self.folder))] = b"%o " % mode + content
        return found
