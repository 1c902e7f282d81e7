"""A workspace whose path has a space and an umlaut, driven by the command line from wherever its units are run."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from foundation.own_python import child_environment
from foundation.workspace import Workspace
from tests.ports import free_port
from tests.units.user_systemd import Done

Run = Callable[..., Done]


@dataclass(frozen=True, slots=True)
class Place:
    """`run` runs a command in `cwd` with further variables, as a user would in a shell."""

    root: Path
    run: Run

    @property
    def workspace(self) -> Workspace:
        """Where everything lies in it."""
        return Workspace(self.root)

    def quantum(self, *words: str, code: int | None = 0, timeout: float = 100, given: str = "") -> Done:
        """Run one command to its end; `code` must be its exit code, `given` is its standard input."""
        done = self.run(
            *(sys.executable, "-m", "cli", "--workspace", str(self.root), *words),
            cwd=self.root,
            timeout=timeout,
            given=given,
            environ=child_environment({"QUANTUM_KEYCHAIN": "file"}),
        )
        assert code is None or done.code == code, f"quantum {' '.join(words)}: {done}\n{self.words()}"
        return done

    def ask(self, *words: str, given: str = "") -> Any:
        """The document of a command that must succeed."""
        return self.quantum(*words, "--json", given=given).document

    def configure(self, **settings: object) -> None:
        """Write the workspace's settings."""
        self.workspace.config_file.write_text(json.dumps(settings))

    def agent(self, name: str, *lines: str, effects: str = "idempotent") -> None:
        """Write an agent; unless told otherwise it may be started again when its runner is lost."""
        path = self.workspace.agents / f"{name}.sh"
        manifest = (f'# effects = "{effects}"', "# retries = 3")
        head = ("#!/bin/sh", "# /// script", "# [tool.quantum]", *manifest, "# ///")
        path.write_text("\n".join((*head, *lines, "")))
        path.chmod(0o755)

    def words(self) -> str:
        """The ends of what was said, for a test that failed."""
        logs = [*sorted(self.workspace.logs.glob("*.out")), self.workspace.system_log]
        return "\n".join(f"--- {log.name}\n{log.read_text()[-1500:]}" for log in logs if log.exists())


def make_place(folder: Path, run: Run, **settings: object) -> Place:
    """A workspace below `folder`, initialised, on a port of its own, with settings such as `lease_seconds=4`."""
    place = Place(folder / "Wörk space", run)
    place.root.mkdir(parents=True)
    place.quantum("init")
    place.configure(gateway_port=free_port(), host_guard="off", **settings)
    return place
