"""A workspace with secrets in it, and a warden that works for it."""

from __future__ import annotations

import os
from pathlib import Path

from services.agent_runner.warden.protocol import Ended
from tests.runner.support import WardenUnderTest

Sandbox = tuple[list[str], list[str], list[str], bool]
CLOSED: Sandbox = ([], [], [], False)


class SandboxUnderTest:
    """A workspace at `root`, a project folder beside it, and a warden whose folder lies in the workspace's state."""

    def __init__(self, folder: Path, environ: dict[str, str] | None = None, kernel_limits: str = "auto") -> None:
        folder.chmod(0o755)
        self.root = folder / "workspace"
        self.state = self.root / ".quantum"
        for path in (self.root / "agents", self.root / "config", self.state, folder / "project"):
            path.mkdir(parents=True)
        self.state.chmod(0o700)
        (self.root / "config" / "agent_config.json").write_text("{}")
        self.project = folder / "project"
        self.warden = WardenUnderTest(self.state, environ=environ, kernel_limits=kernel_limits)
        self.warden.scripts = self.root / "agents"

    def run(self, text: str, key: str = "a", sandbox: Sandbox | None = CLOSED, **changes: object) -> tuple[int, str]:
        """Run a shell script in the project folder; its exit code, and what it wrote."""
        ended = self.start(text, key, sandbox, **changes)
        return os.waitstatus_to_exitcode(ended.status), self.said(ended)

    def start(self, text: str, key: str = "a", sandbox: Sandbox | None = CLOSED, **changes: object) -> Ended:
        """The same; how it ended."""
        script = self.warden.shell(text)
        return self.warden.run(script, key, **{"folder": str(self.project), "sandbox": sandbox, **changes})

    def said(self, ended: Ended) -> str:
        """What it wrote."""
        output = ended.output if ended.slot < 0 else self.warden.output(ended.slot)
        return output.decode()

    def close(self) -> None:
        """End the warden."""
        self.warden.close()
