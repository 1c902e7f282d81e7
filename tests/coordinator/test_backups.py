"""Backups as the coordinator sees them: copied when asked, told of when they are not good, or not there."""

import json
from datetime import timedelta
from pathlib import Path

import pytest

from foundation.errors import Denied, Invalid
from services.coordinator.app.alerts import WAITING
from services.coordinator.app.backups import Backups
from services.coordinator.domain.agent import AgentSpec
from tests.coordinator.fleet import Fleet, started

BACKUP = AgentSpec(name="backup", script="/agents/backup.py", builtin="backup.py")
GOOD_ID = "20261128T183000Z-7k2m"


class PlayedSnapshots:
    """Copies nothing, and says of what."""

    def __init__(self) -> None:
        self.taken: list[str] = []

    async def take(self, backup_id: str) -> None:
        """Take one."""
        self.taken.append(backup_id)


class Told:
    """What waits to be told to people, by cause."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet

    async def __call__(self) -> dict[str, str]:
        text = await self._fleet.store.read(lambda tx: tx.fact(WAITING))
        return {cause: level for cause, level, *_ in json.loads(text or "[]")}


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    each = Fleet(tmp_path)
    each.catalogue.specs["backup"] = BACKUP
    return each


def made(fleet: Fleet) -> tuple[Backups, PlayedSnapshots]:
    snapshots = PlayedSnapshots()
    overdue = timedelta(hours=30)
    return Backups(fleet.store, fleet.catalogue, snapshots, overdue_after=overdue, clock=fleet.clock), snapshots


async def test_a_snapshot_is_recorded_as_an_act(fleet: Fleet) -> None:
    backups, snapshots = made(fleet)
    await backups.take(GOOD_ID)
    acts = await fleet.store.read(lambda tx: tx.acts(limit=10))
    assert ([act.act for act in acts], snapshots.taken) == (["backup_snapshot"], [GOOD_ID])


@pytest.mark.parametrize("name", ["", "..", "../x", "/etc", "20261128T183000Z-7k2m/..", "20269928T183000Z-7k2m"])
async def test_what_is_no_id_never_becomes_a_path(fleet: Fleet, name: str) -> None:
    backups, snapshots = made(fleet)
    with pytest.raises(Invalid):
        await backups.take(name)
    assert snapshots.taken == []


async def test_one_that_is_not_good_is_told_and_taken_back_by_the_next_good_one(fleet: Fleet) -> None:
    backups, _ = made(fleet)
    await backups.conclude(GOOD_ID, "A page of coordinator.db is damaged.")
    assert await Told(fleet)() == {"backup": "critical"}
    await backups.conclude(GOOD_ID, "")
    assert await Told(fleet)() == {"backup": "over", "backup_overdue": "over"}


async def test_an_overdue_one_is_told_once_until_there_is_a_good_one(fleet: Fleet) -> None:
    backups, _ = made(fleet)
    told = Told(fleet)
    await backups.step()
    fleet.clock.advance(timedelta(hours=29))
    await backups.step()
    assert await told() == {}
    fleet.clock.advance(timedelta(hours=2))
    await backups.step()
    assert await told() == {"backup_overdue": "warning"}
    await fleet.store.write(lambda tx: tx.set_fact(WAITING, None))
    fleet.clock.advance(timedelta(hours=2))
    await backups.step()
    assert await told() == {}, "it was told already"


async def test_only_a_running_attempt_of_the_built_in_agent_may_ask(fleet: Fleet) -> None:
    backups, _ = made(fleet)
    runner = await fleet.runner("one", capacity=2, checks_max=2)
    own, other = await fleet.submit("backup"), await fleet.submit("a")
    await fleet.round()
    for each in (own, other):
        await fleet.tell(runner, started(await fleet.task(each), fleet.now()))
    now, then = await fleet.task(own), await fleet.task(other)
    await backups.require_own((now.id, now.fence))
    for attempt in ((now.id, now.fence - 1), (now.id, now.fence + 1), (then.id, then.fence), ("nobody", 1)):
        with pytest.raises(Denied):
            await backups.require_own(attempt)
    fleet.catalogue.specs["backup"] = AgentSpec(name="backup", script="/ws/agents/backup.py")
    with pytest.raises(Denied):
        await backups.require_own((now.id, now.fence))


async def test_one_made_while_the_clock_was_ahead_does_not_keep_the_next_from_being_missed(fleet: Fleet) -> None:
    backups, _ = made(fleet)
    await backups.conclude(f"{fleet.clock.now() + timedelta(days=900):%Y%m%dT%H%M%S}Z-7k2m", "")
    fleet.clock.advance(timedelta(hours=31))
    await backups.step()
    assert (await Told(fleet)())["backup_overdue"] == "warning"
