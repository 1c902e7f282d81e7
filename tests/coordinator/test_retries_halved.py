"""Half the retries: what an error budget that is nearly spent asks of a task's further attempts."""

from dataclasses import replace
from datetime import timedelta

import pytest

from services.coordinator.app.attachments import Attachment, Grant
from services.coordinator.app.due import Due
from services.coordinator.domain.failure import RetryRule
from services.coordinator.domain.task import Task, TaskState
from tests.coordinator.fleet import Fleet, ended, sent, started

pytestmark = pytest.mark.asyncio


async def attempts_of(fleet: Fleet, agent: str, *, retries: int) -> Task:
    """A task that fails whenever it runs, until it has ended."""
    task = await fleet.submit(agent, retries=retries)
    runner: Attachment = fleet.attachments.get("one") or await fleet.runner("one")
    for _ in range(10):
        task = await fleet.task(task)
        if task.ended:
            return task
        fleet.clock.advance(timedelta(minutes=10))
        await Due(fleet.store, fleet.changes, clock=fleet.clock).release()
        await fleet.round()
        [lease] = [message.task for message in sent(runner) if isinstance(message, Grant)]
        await fleet.tell(runner, started(lease, fleet.now()), ended(lease, fleet.now(), code=1))
    raise AssertionError("it never ended")


@pytest.mark.parametrize(("asked", "halved"), [(0, 0), (1, 0), (2, 1), (3, 1), (9, 1)])
async def test_half_of_what_it_would_have_rounded_down(asked: int, halved: int) -> None:
    assert RetryRule().retries(asked, halved=True) == halved
    assert RetryRule().retries(asked, halved=False) == min(asked, 3)


async def test_without_a_word_from_safety_a_task_has_all_its_retries(fleet: Fleet) -> None:
    task = await attempts_of(fleet, "a", retries=2)
    assert (task.attempt, task.state) == (3, TaskState.FAILED)
    assert "halved" not in task.reason


@pytest.mark.parametrize("scope", ["fleet", "agent:a", "cloud:x"])
async def test_a_task_that_touches_the_scope_has_half(fleet: Fleet, scope: str) -> None:
    fleet.catalogue.specs["a"] = replace(fleet.catalogue.specs["a"], uses=("cloud:x",))
    fleet.gate.retries_halved = frozenset({scope})
    task = await attempts_of(fleet, "a", retries=2)
    assert (task.attempt, task.state) == (2, TaskState.FAILED)
    assert task.reason.endswith("Its retries were halved: an error budget is nearly spent (`quantum budget`).")


@pytest.mark.parametrize("scope", ["agent:b", "cloud:y", "project:p"])
async def test_one_that_does_not_has_all(fleet: Fleet, scope: str) -> None:
    fleet.gate.retries_halved = frozenset({scope})
    assert (await attempts_of(fleet, "a", retries=2)).attempt == 3


async def test_it_is_over_when_safety_says_so(fleet: Fleet) -> None:
    fleet.gate.retries_halved = frozenset({"fleet"})
    assert (await attempts_of(fleet, "a", retries=2)).attempt == 2
    fleet.gate.retries_halved = frozenset()
    assert (await attempts_of(fleet, "b", retries=2)).attempt == 3
