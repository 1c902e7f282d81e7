"""The gits that the tests run with, and one repository built for all of them, of which each test gets a copy."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.merge_guard.building import NO_FILE, Repo, make_base
from tests.merge_guard.sample import Sample

# More gits than the one on PATH, as absolute paths with a colon between them.
MORE_GITS = "QUANTUM_TEST_GITS"


def gits() -> list[str]:
    """Every git to be tried."""
    found = [shutil.which("git") or "git", *os.environ.get(MORE_GITS, "").split(":")]
    return [program for program in found if program]


@pytest.fixture(autouse=True)
def nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """No configuration of whoever runs the tests."""
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", NO_FILE)
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", NO_FILE)


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Build the base once for each git; returns the folder that holds it and its remote."""
    made: dict[str, Path] = {}

    def build(program: str) -> Path:
        if program not in made:
            made[program] = tmp_path_factory.mktemp("base")
            make_base(made[program] / "repo", program)
        return made[program]

    return build


@pytest.fixture(params=gits(), ids=lambda program: str(program).replace("/", "_").strip("_"))
def program(request: pytest.FixtureRequest) -> str:
    """The git to use."""
    return str(request.param)


@pytest.fixture
def base(program: str, built: Callable[[str], Path], tmp_path: Path) -> Repo:
    """A fresh copy of the base; see `building.make_base`."""
    shutil.copytree(built(program) / "origin.git", tmp_path / "origin.git")
    return Repo(built(program) / "repo", program).copy(tmp_path / "repo")


@pytest.fixture
def sample(tmp_path: Path) -> Sample:
    """An empty repository with a user in it."""
    return Sample(tmp_path / "user" / "project")
