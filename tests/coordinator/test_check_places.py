"""Merge checks have places of their own beside the tasks, on the host where the repositories are."""

from dataclasses import replace
from pathlib import Path

import pytest

from services.coordinator.app.attachments import HostState
from services.coordinator.domain.agent import AgentSpec
from services.coordinator.domain.task import Task
from tests.coordinator.fleet import Fleet, ended, granted, sent
from tests.coordinator.test_placement_fleet import leased, why

CHECK = AgentSpec(name="merge-check", script="/agents/merge-check.py", builtin="merge-check.py")


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    each = Fleet(tmp_path)
    each.catalogue.specs["merge-check"] = CHECK
    return each


async def submit(fleet: Fleet, agent: str, count: int) -> list[Task]:
    return [await fleet.submit(agent) for _ in range(count)]


async def test_two_places_that_no_task_takes_and_that_take_none_from_tasks(fleet: Fleet) -> None:
    one = await fleet.runner("one", capacity=10, checks_max=2)
    tasks = await submit(fleet, "a", 11)
    assert len(await leased(fleet, one)) == 10
    checks = await submit(fleet, "merge-check", 3)
    out = await leased(fleet, one)
    assert set(out) == {check.id for check in checks[:2]}, "at once, though every slot is taken"
    assert (why(fleet, tasks[10]), why(fleet, checks[2])) == ("capacity", "checks")
    first = await fleet.task(checks[0])
    await fleet.tell(one, ended(first, fleet.now()))
    assert set(await leased(fleet, one)) == {checks[2].id}, "the end of a check makes room for a check alone"


async def test_a_check_is_not_held_by_what_others_are_expected_to_take(fleet: Fleet) -> None:
    one = await fleet.runner("one", capacity=2, checks_max=2, memory_bytes=1_000)
    fleet.footprints.learn({"a": "1", "merge-check": "1"})  # a MiB each, on a machine with a kilobyte
    await submit(fleet, "a", 2)
    assert len(await leased(fleet, one)) == 1
    (check,) = await submit(fleet, "merge-check", 1)
    assert set(await leased(fleet, one)) == {check.id}


async def test_a_machine_that_holds_new_starts_holds_no_check_but_one_whose_disk_is_short_does(fleet: Fleet) -> None:
    one = await fleet.runner("one", capacity=2, checks_max=2)
    one.capacity, one.host = 0, HostState("new starts wait: the processors are 97 % busy")
    (task,) = await submit(fleet, "a", 1)
    first, second = await submit(fleet, "merge-check", 2)
    assert set(await leased(fleet, one)) == {first.id, second.id}, "somebody waits for them"
    assert why(fleet, task) == "host"
    await fleet.tell(one, ended(await fleet.task(first), fleet.now()))
    one.no_checks, one.host = True, HostState("new starts wait: the disk is full", disk_short="the disk is full")
    (third,) = await submit(fleet, "merge-check", 1)
    assert await leased(fleet, one) == {}
    assert why(fleet, third) == "host"


async def test_a_user_s_agent_of_the_same_name_is_a_task_like_any_other(fleet: Fleet) -> None:
    fleet.catalogue.specs["merge-check"] = replace(CHECK, builtin="")
    one = await fleet.runner("one", capacity=1, checks_max=2)
    (task,) = await submit(fleet, "a", 1)
    assert set(await leased(fleet, one)) == {task.id}
    (other,) = await submit(fleet, "merge-check", 1)
    assert await leased(fleet, one) == {}
    assert why(fleet, other) == "capacity"


async def test_a_runner_on_another_host_never_gets_a_check(fleet: Fleet) -> None:
    attic = await fleet.runner("attic", capacity=10)
    (check,) = await submit(fleet, "merge-check", 1)
    await fleet.round()
    assert granted(sent(attic)) == []
    assert why(fleet, check) == "no_runner"
    here = await fleet.runner("here", capacity=1, checks_max=2)
    assert await leased(fleet, here) == {check.id: "here"}


async def test_the_disk_is_short_for_checks_where_it_is_for_every_runner_that_could_have_one(fleet: Fleet) -> None:
    attachments, short = (
        fleet.attachments,
        HostState("new starts wait: the disk is full", disk_short="the disk is full"),
    )
    await fleet.runner("attic", capacity=10)
    assert attachments.disk_short() == "", "no runner is no short disk: the check waits for one"
    one, two = await fleet.runner("one", checks_max=2), await fleet.runner("two", checks_max=2)
    one.host = short
    assert attachments.disk_short() == "", "the other begins it"
    two.draining = True
    assert attachments.disk_short() == "runner one starts no merge check: the disk is full"
    two.draining, two.host = False, short
    assert attachments.disk_short().startswith("runner one starts no merge check: the disk is full")
    two.host = HostState("new starts wait: the processors are 97 % busy")
    assert attachments.disk_short() == ""
