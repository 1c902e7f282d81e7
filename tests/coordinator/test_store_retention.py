"""What every store must do: forget ended tasks by age, number and bytes."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from services.coordinator.domain.task import Task, request_cancel
from services.coordinator.ports import Accepted, Store, StoreTransaction, TaskFilter
from tests.coordinator.stores import move, put
from tests.coordinator.tasks import NOW, S, after, task

ALL = TaskFilter()


async def prune(store: Store, **changes: Any) -> int:
    rules: dict[str, Any] = {
        "ended_before": after(-1e6),
        "decided_before": after(-1e6),
        "rows_max": 10**6,
        "bytes_max": 2**40,
        "keys_before": after(-1e6),
        "limit": 100,
    }
    return await store.write(lambda tx: tx.prune(**rules | changes))


async def put_outputs(store: Store, tasks: Sequence[Task], text: str) -> None:
    def work(tx: StoreTransaction) -> None:
        for each in tasks:
            tx.put_output(each.id, text)

    await store.write(work)


async def left(store: Store) -> list[str]:
    return [each.id for each in await store.read(lambda tx: tx.matching(ALL, after_id="", limit=999))]


async def test_ended_tasks_go_by_age_oldest_first_with_all_that_is_theirs(store: Store) -> None:
    tasks = [task(S.SUCCEEDED, finished_at=after(-n), params='{"a": "' + "x" * 5_000 + '"}') for n in (10, 30, 20)]
    await put(store, *tasks)
    await put_outputs(store, tasks, "text")
    assert await prune(store, ended_before=after(-15), limit=1) == 1
    assert await left(store) == [tasks[0].id, tasks[2].id]
    assert await prune(store, ended_before=after(-15)) == 1
    assert await prune(store, ended_before=after(-15)) == 0
    assert await left(store) == [tasks[0].id]
    assert await store.read(lambda tx: [tx.output(each.id) for each in tasks]) == ["text", "", ""]
    assert await store.read(lambda tx: +Counter(tx.counts())) == {("build", S.SUCCEEDED): 1}
    await put(store, tasks[1])  # nothing of it was left behind


async def test_what_waits_for_a_person_has_an_age_of_its_own(store: Store) -> None:
    tasks = [task(state, finished_at=after(-20)) for state in (S.DEAD, S.NEEDS_DECISION, S.FAILED)]
    await put(store, *tasks, task())
    assert await prune(store, ended_before=NOW, decided_before=after(-30), rows_max=0, bytes_max=0) == 1
    assert tasks[2].id not in await left(store)
    assert await prune(store, decided_before=NOW) == 2
    assert len(await left(store)) == 1


async def test_rows_beyond_their_number_go_oldest_first(store: Store) -> None:
    tasks = [task(S.SUCCEEDED, finished_at=after(n)) for n in range(6)]
    await put(store, *tasks, *(task() for _ in range(6)))
    assert await prune(store, rows_max=4, limit=1) == 1
    assert await prune(store, rows_max=4) == 1
    assert await prune(store, rows_max=4) == 0
    assert set(await left(store)).isdisjoint({tasks[0].id, tasks[1].id})


async def test_bytes_beyond_their_number_make_room(store: Store) -> None:
    tasks = [task(S.SUCCEEDED, finished_at=after(n)) for n in range(600)]
    await put(store, *tasks)
    await put_outputs(store, tasks, "x" * 5_000)
    full_size = await store.read(lambda tx: tx.size_bytes())
    assert full_size > 600 * 5_000
    removed = await prune(store, bytes_max=full_size // 2, limit=1_000)
    assert 250 <= removed <= 450
    assert await store.read(lambda tx: tx.size_bytes()) <= full_size // 2
    assert await store.read(lambda tx: tx.output(tasks[-1].id)) != ""


async def test_a_parent_of_an_open_task_stays_and_starves_nobody(store: Store) -> None:
    parents = [task(S.SUCCEEDED, finished_at=after(-100)) for _ in range(3)]
    others = [task(S.SUCCEEDED, finished_at=after(-50)) for _ in range(2)]
    child = task(S.QUEUED, depends_on=tuple(each.id for each in parents))
    await put(store, *parents, *others, child)
    assert await prune(store, ended_before=NOW, limit=2) == 2
    assert await left(store) == [*(each.id for each in parents), child.id]
    await move(store, child, request_cancel(child, reason="no", now=NOW))
    assert await prune(store, ended_before=NOW, limit=99) == 3
    assert await left(store) == [child.id]
    assert await prune(store, ended_before=after(1)) == 1


async def test_old_idempotency_keys_are_forgotten_in_pages(store: Store) -> None:
    for number in range(4):
        accepted = Accepted(digest="d", task_ids=("1",), at=after(number))
        await store.write(lambda tx, n=number, a=accepted: tx.remember("t", f"k{n}", a))  # type: ignore[misc]
    await prune(store, keys_before=after(3), limit=2)
    assert await store.read(lambda tx: [tx.accepted("t", f"k{n}") is None for n in range(4)]) == [
        True,
        True,
        False,
        False,
    ]
    await prune(store, keys_before=after(3), limit=2)
    assert await store.read(lambda tx: [tx.accepted("t", f"k{n}") is None for n in range(4)]) == [
        True,
        True,
        True,
        False,
    ]
