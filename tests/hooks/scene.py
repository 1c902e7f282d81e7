"""A workspace and real git repositories in it, as the hooks find them."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from cli.hooks.places import find_place
from cli.hooks.putting_in import PutIn, put_in
from foundation.clock import SystemClock
from foundation.ids import SystemIds, random_bytes
from foundation.tokens import mint
from foundation.workspace import Workspace

IDS = SystemIds(SystemClock())
UNCHECKED = "It is written down, and will be looked at when Quantum runs."


def git_environment(home: Path, **more: str) -> dict[str, str]:
    """An environment in which git knows nothing of this machine, and nobody says that this is CI."""
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("GIT_", "QUANTUM_")) and name not in ("CI", "PYTHONPATH")
    }
    who = {
        f"GIT_{part}_{what}": value
        for part in ("AUTHOR", "COMMITTER")
        for what, value in (("NAME", "Ann"), ("EMAIL", "a@x"))
    }
    return {**inherited, **who, "HOME": str(home), "GIT_CONFIG_NOSYSTEM": "1", "GIT_EDITOR": "true", **more}


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What a command left."""

    code: int
    out: str
    err: str


@dataclass
class Scene:
    """One workspace, and one repository `top` with a branch `topic` that can be merged."""

    folder: Path
    name: str = "a repository"
    environ: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.home.mkdir()
        self.workspace.state.mkdir(parents=True, mode=0o700)
        self.environ = git_environment(self.home)
        self.git("init", "-q", "-b", "main", str(self.top), cwd=self.folder)
        self.commit("first")

    @property
    def home(self) -> Path:
        """The home of whoever types."""
        return self.folder / "home"

    @property
    def workspace(self) -> Workspace:
        """Where the token and the port are found."""
        return Workspace(self.folder / "work space")

    @property
    def top(self) -> Path:
        """The repository."""
        return self.folder / self.name

    @property
    def unchecked(self) -> list[str]:
        """What was written down as not checked."""
        path = self.top / ".git" / "quantum" / "unchecked"
        return path.read_text().splitlines() if path.exists() else []

    def run(self, *argv: str, cwd: Path | None = None, environ: Mapping[str, str] = {}, given: str = "") -> Said:
        """Run a program to its end, in the repository unless told otherwise."""
        done = subprocess.run(
            argv,
            cwd=cwd or self.top,
            env={**self.environ, **environ},
            input=given,
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )
        return Said(code=done.returncode, out=done.stdout, err=done.stderr)

    def git(self, *words: str, cwd: Path | None = None, environ: Mapping[str, str] = {}) -> Said:
        """Run git, which must succeed."""
        said = self.run("git", *words, cwd=cwd, environ=environ)
        assert said.code == 0, (words, said)
        return said

    def head(self, name: str = "HEAD", cwd: Path | None = None) -> str:
        """The commit of a name."""
        return self.git("rev-parse", name, cwd=cwd).out.strip()

    def commit(self, name: str, cwd: Path | None = None, text: str = "") -> None:
        """One commit with one file."""
        ((cwd or self.top) / name).write_text(text or name)
        self.git("add", name, cwd=cwd)
        self.git("commit", "-q", "-m", name, cwd=cwd)

    def diverge(self, *, topics: int = 1, wishes: str = "") -> None:
        """Branches topic, topic2 …, each with a commit of its own, and one more on main: a merge is a true one."""
        if wishes:
            self.commit("quantum.toml", text=wishes)
        for number in range(1, topics + 1):
            name = "topic" if number == 1 else f"topic{number}"
            self.git("switch", "-q", "-c", name, "main")
            self.commit(f"of {name}")
        self.git("switch", "-q", "main")
        self.commit("of main")

    def guard(self, port: int = 0, top: Path | None = None) -> PutIn:
        """Put the guard in; with a port, let the gateway be found there."""
        if port:
            self.serve(port)
            self.workspace.hooks_token.parent.mkdir(exist_ok=True)
            self.workspace.hooks_token.write_text(f"{mint(random_bytes).text}\n")
        return put_in(find_place(top or self.top), "", self.workspace, IDS)

    def serve(self, port: int, host: str = "127.0.0.1") -> None:
        """Say where the gateway is, as `up` does."""
        document = {"host": host, "port": port, "supervisor": {"pid": 1}, "processes": {}}
        self.workspace.runtime.write_text(json.dumps(document, indent=2))

    @property
    def token(self) -> str:
        """The hooks' token."""
        return self.workspace.hooks_token.read_text().strip()
