"""A workspace of a few files, and the command line on top of played services."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from cli.__main__ import run
from tests.cli.fakes import PlayedCoordinator, PlayedSafety, PlayedSession
from tests.cli.initialised import Place
from tests.cli.played_merges import PlayedMerges


@dataclass(frozen=True, slots=True)
class Printed:
    """What one command printed, and its exit code."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """The one document on standard output."""
        return json.loads(self.out)


Quantum = Callable[..., Printed]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A workspace, as far as its files go."""
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "agent_config.json").write_text("{}")
    (tmp_path / ".quantum").mkdir(mode=0o700)
    return tmp_path


@pytest.fixture
def coordinator() -> PlayedCoordinator:
    """The coordinator that `quantum` talks to."""
    return PlayedCoordinator()


@pytest.fixture
def merges(coordinator: PlayedCoordinator) -> PlayedMerges:
    """Its merge checks."""
    played = coordinator.merges = PlayedMerges()
    return played


@pytest.fixture
def played_safety() -> PlayedSafety:
    """The safety service that `quantum` talks to."""
    return PlayedSafety()


@pytest.fixture
def quantum(
    folder: Path, coordinator: PlayedCoordinator, played_safety: PlayedSafety, capsys: pytest.CaptureFixture[str]
) -> Quantum:
    """Runs one command within this process."""

    def type_it(*words: str) -> Printed:
        code = run(list(words), PlayedSession(folder, coordinator, played_safety))
        printed = capsys.readouterr()
        return Printed(code, printed.out, printed.err)

    return type_it


@pytest.fixture
def place(folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A workspace as `quantum init` leaves it."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path_factory.mktemp("r")))
    return Place(folder)
