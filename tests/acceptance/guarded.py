"""A repository of a project, guarded by the real hooks of a real system, and merged into by plain git."""

from __future__ import annotations

import hashlib
import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.acceptance.system import System
from tests.programs import require
from tests.waiting import Stopwatch

SMOKE = "quantum.toml"


class Away(Exception):
    """Nobody answers just now."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Merged:
    """What one git command said, and how long it took, its hooks included."""

    code: int
    said: str
    seconds: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Guarded:
    """The repository of a project of its folder's name; the user's own things stand in `mine.txt` and `notes/`."""

    system: System
    folder: Path
    _seen: set[str] = field(default_factory=set)

    @classmethod
    def make(cls, system: System, project: str = "demo", wishes: str = "") -> Guarded:
        """With hooks installed, a first commit on main, and the branches good, bad and slow, each one ahead of it.

        The smoke test runs `check.sh` of the tree under test: good and bad say exit 0 and exit 1 there, slow waits
        until it may `go_on`, and is bad.
        """
        require("curl")
        at = cls(system=system, folder=system.folder / project)
        at.folder.mkdir()
        at.git("init", "-q", "-b", "main")
        at.commit(
            {SMOKE: f'[merge]\nsmoke = ["sh", "smoke.sh"]\ntimeout = "1m"\n{wishes}', "smoke.sh": ". ./check.sh\n"}
        )
        at.commit({"check.sh": "exit 0\n", "mine.txt": "mine\n", "README.md": "first\n"})
        at.branch("good", {"good.txt": "good\n"})
        at.branch("bad", {"check.sh": "echo it is broken; exit 1\n"})
        at.branch(
            "slow", {"check.sh": f"while [ ! -e {at._gate} ]; do sleep 0.05; done; echo slow and broken; exit 1\n"}
        )
        system.quantum("projects", "add", project, str(at.folder), code=0)
        system.quantum("hooks", "install", project, code=0)
        return at

    def git(self, *arguments: str) -> str:
        """Run git as its user does; it must succeed."""
        done = self.run("git", *arguments)
        assert done.code == 0, done
        return done.said.strip()

    def run(self, *argv: str) -> Merged:
        """Run a command there, in a bare environment."""
        watch = Stopwatch()
        done = subprocess.run(
            argv, cwd=self.folder, env=self.environment(), capture_output=True, text=True, timeout=200, check=False
        )
        return Merged(code=done.returncode, said=done.stdout + done.stderr, seconds=watch.seconds)

    def start(self, *argv: str) -> subprocess.Popen[str]:
        """Start a command there, in a session of its own."""
        return subprocess.Popen(
            argv,
            cwd=self.folder,
            env=self.environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def environment(self) -> Mapping[str, str]:
        """What git finds: a user, and nothing of the test's."""
        who = {f"GIT_{role}_{what}": value for role in ("AUTHOR", "COMMITTER") for what, value in _ANN.items()}
        return {**who, "PATH": os.environ["PATH"], "HOME": str(self.system.folder), "GIT_CONFIG_NOSYSTEM": "1"}

    def commit(self, files: Mapping[str, str]) -> str:
        """Write files and commit them; returns the commit."""
        for name, text in files.items():
            (self.folder / name).write_text(text)
        self.git("add", *files)
        self.git("commit", "-q", "-m", f"Write {', '.join(files)}")
        return self.tip

    def branch(self, name: str, files: Mapping[str, str]) -> None:
        """A branch that is one commit ahead of main."""
        self.git("checkout", "-q", "-b", name, "main")
        self.commit(files)
        self.git("checkout", "-q", "main")

    def merge(self, name: str, *options: str) -> Merged:
        """`git merge`, with its hooks."""
        return self.run("git", "merge", "--no-ff", "--no-edit", *options, name)

    @property
    def _gate(self) -> Path:
        return self.system.folder / f"{self.folder.name}.go"

    def go_on(self) -> None:
        """Let the test of the branch slow come to its end."""
        self._gate.touch()

    @property
    def tip(self) -> str:
        """Where HEAD is."""
        return self.git("rev-parse", "HEAD")

    def dirty(self) -> None:
        """An edit, and files that git does not know. (With anything staged git makes no true merge at all.)"""
        (self.folder / "mine.txt").write_text("an edit\n")
        (self.folder / "notes").mkdir(exist_ok=True)
        (self.folder / "notes" / "idea.txt").write_text("not known to git\n")

    def work(self) -> Mapping[str, str]:
        """What the user has there: a digest for each file of the work tree, and the index."""
        files = {
            str(path.relative_to(self.folder)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(self.folder.rglob("*"))
            if path.is_file() and ".git" not in path.relative_to(self.folder).parts
        }
        return {**files, "(index)": self.git("ls-files", "--stage")}

    def locks(self) -> list[str]:
        """Lock files that stand in git's own folder."""
        return sorted(str(path.relative_to(self.folder)) for path in (self.folder / ".git").rglob("*.lock"))

    def checks(self) -> list[Any]:
        """Every check of it, newest first."""
        checks: list[Any] = self._get(f"/merges?project={self.folder.name}")["checks"]
        return checks

    def check(self, check_id: str) -> Any:
        """One check with its evidence."""
        return self._get(f"/merges/{check_id}")["check"]

    def ended(self, *, within: float = 120) -> Any:
        """The newest check that was not returned before, once it has ended, with its evidence.

        Where git does not wait, or was told to go on, it may still be to come; where somebody was killed, they may.
        """

        def look() -> Any:
            try:
                newest = next(iter(self.checks()), None)
                ended = newest and newest["id"] not in self._seen and newest["state"] == "ended"
                return self.check(newest["id"]) if newest and ended else None
            except Away:
                return None

        check = self.system.until(look, within=within, what="the newest check has ended")
        self._seen.add(check["id"])
        return check

    def _get(self, path: str) -> Any:
        try:
            status, document = self.system.http("GET", path)
        except OSError as error:
            raise Away(str(error)) from error
        if status == 503:
            raise Away(str(document))
        assert status == 200, document
        return document


_ANN = {"NAME": "Ann", "EMAIL": "ann@example.org"}
