"""A systemd and a workspace for the tests of one file; each test begins and ends without a unit."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.units.place import make_place
from tests.units.scene import Scene
from tests.units.user_systemd import UserSystemd, user_systemd

SHORT_LEASES = {"lease_seconds": 4, "heartbeat_seconds": 1, "infrastructure_retry_seconds": 0.2}


@pytest.fixture(scope="module")
def manager() -> Iterator[UserSystemd]:
    with tempfile.TemporaryDirectory(prefix="qü ") as folder, user_systemd(Path(folder).resolve()) as made:
        yield made


@pytest.fixture(scope="module")
def kept(manager: UserSystemd) -> Iterator[Scene]:
    """One workspace for all tests here: making one takes its time."""
    with tempfile.TemporaryDirectory(prefix="qw ü ") as folder:
        yield Scene(manager, make_place(Path(folder).resolve(), manager.run, **SHORT_LEASES))


@pytest.fixture
def scene(kept: Scene) -> Iterator[Scene]:
    """The same with no unit, before and whatever becomes of the test."""
    settings = kept.place.workspace.config_file.read_bytes()
    yield kept
    kept.place.workspace.config_file.write_bytes(settings)
    kept.place.quantum("service", "uninstall", code=None)
    kept.alter_back()
