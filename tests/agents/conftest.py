"""Runs a built-in agent as the warden would: own folder, params and reports as files, its exit code."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

AGENTS = Path(__file__).parents[2] / "agents"


@dataclass(frozen=True, kw_only=True, slots=True)
class Ended:
    """What is left of an attempt."""

    exit_code: int
    output: str
    report: dict[str, Any] | None


RunAgent = Callable[..., Ended]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """An empty git repository that shares no configuration with the machine's user."""
    folder = tmp_path / "project"
    folder.mkdir()
    git(folder, "init", "--quiet", "--initial-branch=main")
    return folder


@pytest.fixture
def run_agent(tmp_path: Path, project: Path) -> RunAgent:
    """Run one agent in the project; `last` is its previous report, `path` comes first in PATH.

    Python agents run on this interpreter, as the catalogue has it for those that come with Quantum.
    """

    def run(
        script: str,
        params: object = None,
        *,
        last: Mapping[str, Any] | None = None,
        folder: Path = project,
        path: Path | None = None,
        python: Sequence[str] = (sys.executable,),
    ) -> Ended:
        report = tmp_path / "report.json"
        report.unlink(missing_ok=True)
        (tmp_path / "params.json").write_text(json.dumps({} if params is None else params))
        environment = {
            "HOME": str(tmp_path),
            "PATH": os.pathsep.join(
                [*([str(path)] if path else []), str(Path(sys.executable).parent), os.environ["PATH"]]
            ),
            "GIT_CONFIG_NOSYSTEM": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
            "QUANTUM_AGENT": script.partition(".")[0],
            "QUANTUM_PROJECT": "Sample",
            "QUANTUM_PARAMS": str(tmp_path / "params.json"),
            "QUANTUM_REPORT": str(report),
        }
        if last is not None:
            (tmp_path / "last.json").write_text(json.dumps(last))
            environment["QUANTUM_LAST_REPORT"] = str(tmp_path / "last.json")
        completed = subprocess.run(
            [*(python if script.endswith(".py") else ()), AGENTS / script],
            cwd=folder,
            env=environment,
            text=True,
            check=False,
            timeout=250,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        document = json.loads(report.read_text()) if report.exists() else None
        return Ended(exit_code=completed.returncode, output=completed.stdout, report=document)

    return run


def git(folder: Path, *arguments: str) -> None:
    """Run git as a fixed author, on nobody's configuration."""
    identity = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org", "-c", "commit.gpgsign=false"]
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "GIT_CONFIG_NOSYSTEM": "1"}
    subprocess.run(["git", *identity, *arguments], cwd=folder, env=environment, check=True, capture_output=True)


def commit(folder: Path, files: Mapping[str, str | bytes], message: str = "change") -> None:
    """Write the files and commit everything that is in the folder."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", message)


def program(folder: Path, name: str, exit_code: int = 0) -> Path:
    """Put a program in `folder` that prints its name, arguments and NODE_ENV, and ends with `exit_code`."""
    folder.mkdir(parents=True, exist_ok=True)
    script = folder / name
    script.write_text(f'#!/bin/sh\necho "ran {name} $*" "${{NODE_ENV:-}}"\nexit {exit_code}\n')
    script.chmod(0o755)
    return folder
