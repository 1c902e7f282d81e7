"""Fixtures of the runner's tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.runner.support import WardenUnderTest


@pytest.fixture
def warden(tmp_path: Path) -> Iterator[WardenUnderTest]:
    """A warden as a process of its own."""
    warden = WardenUnderTest(tmp_path, environ={"QUANTUM_SECRET_OF_OURS": "x", "LANG": "C", "LET_ME": "through"})
    yield warden
    warden.close()
