"""A database that is put back from a backup: nothing of it starts by itself that must not run twice."""

from pathlib import Path

import pytest

from services.coordinator.domain.put_back import put_back
from services.coordinator.domain.task import ENDED, FENCE_SHIFT, Effects, Task, TaskState, faults, first_fence
from services.coordinator.offline import check_copy, count_copy, put_back_copy
from tests.coordinator.stores import KEY, opened, put
from tests.coordinator.tasks import NOW, S, after, leased, task

LATER = after(30)
ONCE, AGAIN = Effects.ONCE, Effects.IDEMPOTENT


@pytest.mark.parametrize("effects", list(Effects))
@pytest.mark.parametrize("state", list(TaskState))
def test_what_becomes_of_each_state(state: TaskState, effects: Effects) -> None:
    before = task(state, effects=effects)
    now = put_back(before, now=LATER)
    assert faults(now) == ()
    if state in ENDED:
        assert now is before
        return
    assert now.fence >= max(first_fence(LATER), before.fence + (1 << FENCE_SHIFT))
    assert now.holder == ""
    if state is S.NEEDS_DECISION or (state is S.SCHEDULED and before.ready_at > LATER):
        assert now.state is state
    elif effects is ONCE:
        assert now.state is S.NEEDS_DECISION and "put back" in now.reason
    else:
        assert now.state is (state if state in (S.QUEUED, S.BLOCKED) else S.QUEUED)
        assert (now.failures, now.losses, now.retries) == (before.failures, before.losses, before.retries)


def test_one_whose_time_has_come_since_may_have_run() -> None:
    scheduled = task(S.SCHEDULED)
    assert put_back(scheduled, now=after(10)).state is S.SCHEDULED
    assert put_back(scheduled, now=after(7_200)).state is S.NEEDS_DECISION
    assert put_back(scheduled._replace(effects=AGAIN), now=after(7_200)).state is S.SCHEDULED


def test_one_that_was_being_cancelled_is_cancelled() -> None:
    for before in (task(S.RUNNING), leased(), task(S.PAUSED)):
        asked = before._replace(cancel_requested=True, reason="asked")
        after_it = put_back(asked, now=LATER)
        assert (after_it.state, after_it.reason, after_it.holder) == (S.CANCELLED, "asked", "")


def test_a_clock_that_was_set_back_gives_no_fence_twice() -> None:
    before = task(S.QUEUED)._replace(fence=first_fence(NOW) + 3)
    assert put_back(before, now=after(-(10**6))).fence > before.fence + 1_000


async def test_a_whole_database_in_pages(tmp_path: Path) -> None:
    path = tmp_path / "coordinator.db"
    tasks: list[Task] = []
    for state in TaskState:
        tasks += [task(state, effects=effects) for effects in (ONCE, AGAIN) for _ in range(130)]
    tasks = [one._replace(depends_on=(tasks[0].id,)) if one.state is S.BLOCKED else one for one in tasks]
    async with opened("sqlite", tmp_path) as store:
        await put(store, *tasks)
    asked = {"path": str(path), "key": KEY.hex()}
    counts = dict(count_copy(asked))
    assert counts["tasks"] == len(tasks)
    assert (await check_copy({**asked, "counts": counts}))["faults"] == []
    found = await put_back_copy(asked)
    undecided = 130 * 2 + 130 * 5  # those that were so, and the waiting and running ones that run once
    assert found == {"needs_decision": undecided, "queued": 130 * 3, "blocked": 130, "scheduled": 130}
    async with opened("sqlite", tmp_path) as store:
        kept = await store.read(lambda tx: tx.tasks([one.id for one in tasks]))
    assert sum(1 for one in kept.values() if one.state in ENDED) == 130 * 2 * 4
    assert {one.id for one in tasks} == set(kept)
    assert (await check_copy({**asked, "counts": dict(count_copy(asked))}))["faults"] == []


async def test_a_count_that_differs_is_a_fault(tmp_path: Path) -> None:
    async with opened("sqlite", tmp_path) as store:
        await put(store, task(S.QUEUED))
    asked = {"path": str(tmp_path / "coordinator.db"), "key": KEY.hex()}
    counts = {**count_copy(asked), "tasks": 2}
    assert "rows in tasks" in (await check_copy({**asked, "counts": counts}))["faults"][0]
