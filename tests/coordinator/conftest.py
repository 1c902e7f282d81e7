"""What the tests of the coordinator share."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from services.coordinator.ports import Store
from tests.coordinator.desk import Desk
from tests.coordinator.fleet import Fleet
from tests.coordinator.merging import Merging
from tests.coordinator.scheduling import Scheduled
from tests.coordinator.stores import STORES, opened


@pytest.fixture(params=sorted(STORES))
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    """An empty store of each kind in turn; at the end it must be sound."""
    async with opened(request.param, tmp_path) as each:
        yield each


@pytest.fixture
def desk(store: Store) -> Desk:
    """All verbs of the coordinator, on each store in turn."""
    return Desk(store)


@pytest.fixture
async def fleet(tmp_path: Path) -> Fleet:
    """The coordinator's halves that dispatch and renew, over a store in memory, and runners that are played."""
    fleet = Fleet(tmp_path)
    await fleet.dispatch.start()
    return fleet


@pytest.fixture
def merging(store: Store, tmp_path: Path) -> Merging:
    """Merge checks, on each store in turn."""
    return Merging(tmp_path, store)


@pytest.fixture
def scheduled(store: Store) -> Scheduled:
    """Schedules, on each store in turn."""
    return Scheduled(store)
