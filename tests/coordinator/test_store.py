"""What every store must do: tasks, moves and transactions."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from foundation.errors import Conflict, Internal, QuantumError, Stale
from services.coordinator.domain.task import Effects, Task, TaskState, lease, request_cancel, start
from services.coordinator.ports import Store, StoreTransaction, TaskFilter
from tests.coordinator.stores import get, move, put
from tests.coordinator.tasks import EXITED_0, NOW, S, after, full, stored, task


@pytest.mark.parametrize("state", list(TaskState))
async def test_a_task_of_every_state_comes_back_as_it_went_in(store: Store, state: TaskState) -> None:
    each = task(state)
    await put(store, each)
    assert stored(await get(store, each.id)) == each


async def test_every_field_comes_back(store: Store) -> None:
    each = full()
    await put(store, each)
    assert stored(await get(store, each.id)) == each


@pytest.mark.parametrize("each", [full(), task(), task(params='{"text": "' + "ä" * 2_000 + '"}')])
async def test_tasks_that_are_alike_come_back_each_as_its_own_change(store: Store, each: Task) -> None:
    alike = [each._replace(id=f"{each.id}{letter}") for letter in "edcba"]
    await put(store, task())
    await put(store, *alike)
    found = [await get(store, one.id) for one in alike]
    assert [stored(one) for one in found] == alike
    assert [one.change for one in found] == [2, 3, 4, 5, 6]
    with pytest.raises(Conflict, match="exist"):
        await put(store, each, each)


async def test_long_params_and_an_empty_measurement_come_back(store: Store) -> None:
    each = task(params='{"text": "' + "ä" * 100_000 + '"}')
    await put(store, each)
    held = lease(each, "r1")
    await move(store, each, held)
    assert stored(await get(store, each.id)) == held
    assert await store.read(lambda tx: tx.page(TaskFilter(), before=None, limit=5)) == [await get(store, each.id)]


async def test_a_task_is_found_by_its_exact_id_only(store: Store) -> None:
    each = task()
    await put(store, each)
    assert await store.read(lambda tx: tx.task(each.id[:-1])) is None
    odd = ["", "' or 1=1", '"', "\\", each.id.upper() + "x", each.id]
    assert set(await store.read(lambda tx: tx.tasks(odd))) == {each.id}
    assert await store.read(lambda tx: tx.tasks([])) == {}


async def test_an_id_is_taken_once_and_a_batch_goes_in_whole_or_not_at_all(store: Store) -> None:
    first, second = task(), task()
    await put(store, first)
    with pytest.raises(Conflict, match="exist"):
        await put(store, second, first)
    assert await store.read(lambda tx: tx.task(second.id)) is None
    assert await store.read(lambda tx: tx.counts()) == {("build", S.QUEUED): 1}
    assert await store.read(lambda tx: tx.position()) == 1


IMPOSSIBLE: dict[str, Task] = {
    "fence zero": task(fence=0),
    "priority 10": task(priority=10),
    "priority -1": task(priority=-1),
    "negative retries": task(retries=-1),
    "negative losses": task(losses=-1),
    "held and ended": task(S.SUCCEEDED, holder="r1"),
    "held and scheduled": task(S.SCHEDULED, holder="r1"),
    "held and undecided": task(S.NEEDS_DECISION, holder="r1"),
    "running unheld": task(S.RUNNING, holder=""),
    "running never started": task(S.RUNNING, started_at=None),
    "paused without attempt": task(S.PAUSED, attempt=0),
    "ended without time": task(S.FAILED, finished_at=None),
    "undecided without time": task(S.NEEDS_DECISION, finished_at=None),
    "queued and finished": task(finished_at=NOW),
    "scheduled for no time": task(S.SCHEDULED, not_before=None),
    "blocked by nothing": task(S.BLOCKED, depends_on=()),
    "false green": task(S.SUCCEEDED, measured=replace(EXITED_0, exit_code=None), reason=""),
    "false green of 1": task(S.SUCCEEDED, measured=replace(EXITED_0, exit_code=1), reason=""),
}


@pytest.mark.parametrize("name", IMPOSSIBLE)
async def test_an_impossible_task_is_refused_at_the_insert(store: Store, name: str) -> None:
    with pytest.raises(Internal):
        await put(store, IMPOSSIBLE[name])
    assert await store.read(lambda tx: tx.counts()) == {}


@pytest.mark.parametrize("name", [name for name in IMPOSSIBLE if not name.startswith(("priority", "negative retries"))])
async def test_an_impossible_task_is_refused_at_a_move(store: Store, name: str) -> None:
    before = task(depends_on=IMPOSSIBLE[name].depends_on)
    fixed = {
        field: getattr(before, field)
        for field in ("id", "created_at", "params", "priority", "effects", "retries", "timeout", "labels")
    }
    impossible = IMPOSSIBLE[name]._replace(**fixed)
    await put(store, before)
    with pytest.raises(Internal):
        await move(store, before, impossible)
    assert stored(await get(store, before.id)) == before


async def test_a_move_cannot_change_what_a_task_asks_for(store: Store) -> None:
    each = task()
    await put(store, each)
    changes: list[dict[str, Any]] = [
        {"priority": 9},
        {"params": "{ }"},
        {"effects": Effects.NONE},
        {"labels": {"a": "b"}},
    ]
    for change in changes:
        with pytest.raises(Internal, match="cannot be changed"):
            await move(store, each, each._replace(**change))
    assert stored(await get(store, each.id)) == each


async def test_a_move_replaces_the_task(store: Store) -> None:
    each = task()
    await put(store, each)
    held = lease(each, "r1")
    await move(store, each, held)
    running = start(held, held.fence, at=after(1))
    await move(store, held, running)
    assert stored(await get(store, each.id)) == running


async def test_a_lease_is_guarded_as_a_move_is_and_nobody_who_watches_hears_of_it(store: Store) -> None:
    each, other = task(), task()
    await put(store, each, other)
    held = lease(each, "r1")
    await store.write(lambda tx: tx.lease([(each, held)]))
    assert await get(store, each.id) == held._replace(change=1)
    assert await store.read(lambda tx: tx.position()) == 2
    assert await store.read(lambda tx: [found.id for found in tx.held(after_id="", limit=9)]) == [each.id]
    with pytest.raises(Stale):
        await store.write(lambda tx: tx.lease([(other, lease(other, "r1")), (each, lease(each, "r2"))]))
    with pytest.raises(Internal, match="twice"):
        await store.write(lambda tx: tx.lease([(other, lease(other, "r1")), (other, lease(other, "r2"))]))
    with pytest.raises(Internal, match="cannot be changed"):
        await store.write(lambda tx: tx.lease([(other, lease(other, "r1")._replace(priority=0))]))
    assert stored(await get(store, other.id)) == other
    await move(store, held, start(held, held.fence, at=after(1)))
    assert (await get(store, each.id)).change == 3


@pytest.mark.parametrize("change", [{"fence": 1}, {"state": S.SCHEDULED, "not_before": NOW}])
async def test_a_move_from_what_is_no_longer_so_is_stale(store: Store, change: dict[str, Any]) -> None:
    each, other = task(), task()
    await put(store, each, other)
    seen = each._replace(**change)
    with pytest.raises(Stale):
        await store.write(lambda tx: tx.save([(other, lease(other, "r1")), (seen, seen._replace(reason="x"))]))
    assert stored(await get(store, each.id)) == each
    assert stored(await get(store, other.id)) == other
    assert await store.read(lambda tx: tx.position()) == 2


async def test_a_move_of_a_task_that_is_not_there_is_stale(store: Store) -> None:
    each = task()
    with pytest.raises(Stale):
        await move(store, each, lease(each, "r1"))


@pytest.mark.parametrize("kind", ["moves", "leases", "each after the other"])
async def test_a_task_is_saved_once_at_a_time(store: Store, kind: str) -> None:
    each, other = task(), task()
    await put(store, each, other)
    held, gone = lease(each, "r1"), request_cancel(each, reason="no", now=NOW)
    second = {"moves": (each, gone), "leases": (each, lease(each, "r2")), "each after the other": (held, gone)}[kind]
    first = (each, gone if kind == "moves" else held)
    with pytest.raises(Internal, match="twice"):
        await store.write(lambda tx: tx.save([(other, lease(other, "r1")), first, second]))
    assert [stored(await get(store, kept.id)) for kept in (each, other)] == [each, other]
    await store.write(lambda tx: tx.save([(other, lease(other, "r1")), first]))
    assert stored(await get(store, each.id)) == first[1]


@pytest.mark.parametrize("state", [S.SUCCEEDED, S.FAILED, S.CANCELLED, S.DEAD])
async def test_an_ended_task_never_changes(store: Store, state: TaskState) -> None:
    each = task(state)
    await put(store, each)
    for now in (each._replace(reason="better"), task(S.QUEUED, id=each.id), each._replace(fence=each.fence + 1)):
        with pytest.raises(Stale):
            await move(store, each, now)
        with pytest.raises(Stale):
            await move(store, now._replace(state=S.QUEUED, finished_at=None), now)
    assert stored(await get(store, each.id)) == each


async def test_of_two_leases_of_one_task_one_is_stale(store: Store) -> None:
    each = task()
    await put(store, each)
    outcomes = await asyncio.gather(
        *(move(store, each, lease(each, runner)) for runner in ("r1", "r2", "r3")), return_exceptions=True
    )
    assert [type(outcome) for outcome in outcomes] == [type(None), Stale, Stale]
    assert (await get(store, each.id)).holder == "r1"


async def test_a_failing_write_undoes_itself_alone(store: Store) -> None:
    tasks = [task() for _ in range(9)]

    def writing(number: int) -> Callable[[StoreTransaction], int]:
        def work(tx: StoreTransaction) -> int:
            tx.insert([tasks[number]])
            tx.set_fact(f"fact-{number}", "set")
            tx.put_output(tasks[number].id, "text")
            if number % 3 == 1:
                raise LookupError(number)
            return number

        return work

    outcomes = await asyncio.gather(*(store.write(writing(number)) for number in range(9)), return_exceptions=True)
    kept = [number for number in range(9) if number % 3 != 1]
    assert [outcome for outcome in outcomes if isinstance(outcome, int)] == kept
    assert all(isinstance(outcome, int | LookupError) for outcome in outcomes)
    found = await store.read(lambda tx: tx.changes(after=0, limit=99))
    assert [(each.id, each.change) for each in found] == [(tasks[n].id, at) for at, n in enumerate(kept, 1)]
    assert await store.read(lambda tx: tx.counts()) == {("build", S.QUEUED): 6}
    assert await store.read(lambda tx: [tx.fact(f"fact-{n}") for n in (0, 1)]) == ["set", None]
    assert await store.read(lambda tx: tx.output(tasks[1].id)) == ""


async def test_a_transaction_reads_its_own_writes(store: Store) -> None:
    def work(tx: StoreTransaction) -> None:
        each = task()
        tx.insert([each])
        assert tx.position() == 1
        assert tx.counts() == {("build", S.QUEUED): 1}
        cancelled = request_cancel(each, reason="no", now=NOW)
        tx.save([(each, cancelled)])
        assert tx.counts() == {("build", S.CANCELLED): 1}
        assert tx.position() == 2
        found = tx.task(each.id)
        assert found is not None and stored(found) == cancelled

    await store.write(work)


async def test_a_write_hands_back_what_its_work_returned(store: Store) -> None:
    assert await store.write(lambda tx: tx.position() + 41) == 41


async def test_errors_are_our_own(store: Store) -> None:
    each = task()
    await put(store, each)
    with pytest.raises(QuantumError) as caught:
        await put(store, each)
    assert caught.value.code == "task_exists"


async def test_a_read_sees_every_write_that_was_answered(store: Store) -> None:
    for number in range(20):
        await put(store, task(priority=number % 10))
        assert await store.read(lambda tx: tx.position()) == number + 1


async def test_delays_of_a_microsecond_survive(store: Store) -> None:
    each = task(created_at=NOW + timedelta(microseconds=1), ready_at=NOW - timedelta(days=20_000, microseconds=3))
    await put(store, each)
    assert stored(await get(store, each.id)) == each
