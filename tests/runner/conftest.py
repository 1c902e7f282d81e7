"""Fixtures of the runner's tests."""

from __future__ import annotations

import shutil
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.runner.fake_coordinator import FakeCoordinator, RunnerUnderTest
from tests.runner.gate import Gate
from tests.runner.support import WardenUnderTest

# These run real processes and look at them through /proc; the warden's macOS half was designed and not run.
collect_ignore_glob = [] if sys.platform == "linux" else ["test_warden_*.py", "test_runner_service.py"]


@pytest.fixture
def warden(tmp_path: Path) -> Iterator[WardenUnderTest]:
    """A warden as a process of its own."""
    warden = WardenUnderTest(tmp_path, environ={"QUANTUM_SECRET_OF_OURS": "x", "LANG": "C", "LET_ME": "through"})
    yield warden
    warden.close()


@pytest.fixture
async def runner(tmp_path: Path) -> AsyncIterator[RunnerUnderTest]:
    """A runner with a coordinator that is played; ended with all that it started."""
    runner = RunnerUnderTest(tmp_path, FakeCoordinator())
    try:
        yield runner
    finally:
        await runner.close()
    shutil.rmtree(runner.run_dir, ignore_errors=True)


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[Gate]:
    """A gate for scripts to wait at."""
    with Gate(tmp_path / "gate") as gate:
        yield gate
