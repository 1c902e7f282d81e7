"""What every store must do: lists, counts, changes, and what dispatch reads."""

from services.coordinator.domain.task import Task, TaskState, lease, request_cancel, start
from services.coordinator.ports import ReadyEntry, Store, TaskFilter
from tests.coordinator.stores import move, put
from tests.coordinator.tasks import NOW, S, after, leased, task


async def test_pages_go_from_the_newest_to_the_oldest_without_a_gap(store: Store) -> None:
    tasks = [task(agent=agent, created_at=after(n), state=state) for n, (agent, state) in enumerate(_mixed())]
    await put(store, *tasks)
    for wanted in _filters():
        expected = [each.id for each in reversed(tasks) if _wanted(each, wanted)]
        found: list[str] = []
        before = None
        while page := await store.read(lambda tx, b=before, w=wanted: tx.page(w, before=b, limit=3)):  # type: ignore[misc]
            found += [each.id for each in page]
            before = (page[-1].created_at, page[-1].id)
        assert found == expected, wanted


async def test_matching_walks_upwards_by_id(store: Store) -> None:
    tasks = [task(agent=agent, state=state) for agent, state in _mixed()]
    await put(store, *tasks)
    for wanted in _filters():
        expected = [each.id for each in tasks if _wanted(each, wanted)]
        found: list[str] = []
        while page := await store.read(
            lambda tx, a=found[-1] if found else "", w=wanted: tx.matching(w, after_id=a, limit=4)  # type: ignore[misc]
        ):
            found += [each.id for each in page]
        assert found == expected, wanted


async def test_lists_know_projects(store: Store) -> None:
    tasks = [task(project=project, agent=agent) for project in ("", "a", "b") for agent in ("x", "y") for _ in range(3)]
    ended = [task(S.FAILED, project="a", agent="x")]
    await put(store, *tasks, *ended)
    for wanted, number in (
        (TaskFilter(project="a"), 7),
        (TaskFilter(project="a", agent="x"), 4),
        (TaskFilter(project="a", states=frozenset({S.FAILED})), 1),
        (TaskFilter(project="a", agent="y", states=frozenset({S.FAILED})), 0),
        (TaskFilter(project="c"), 0),
    ):
        expected = [each.id for each in (*tasks, *ended) if _wanted(each, wanted)]
        assert len(expected) == number
        upwards = await store.read(lambda tx, w=wanted: tx.matching(w, after_id="", limit=99))  # type: ignore[misc]
        downwards = await store.read(lambda tx, w=wanted: tx.page(w, before=None, limit=99))  # type: ignore[misc]
        assert [each.id for each in upwards] == expected
        assert [each.id for each in downwards] == expected[::-1]


def _mixed() -> list[tuple[str, TaskState]]:
    return [(agent, state) for state in TaskState for agent in ("build", "test", "audit")]


def _filters() -> list[TaskFilter]:
    some = frozenset({S.QUEUED, S.DEAD})
    return [
        TaskFilter(),
        TaskFilter(agent="build"),
        TaskFilter(agent="nobody"),
        TaskFilter(states=some),
        TaskFilter(states=some, agent="test"),
    ]


def _wanted(each: Task, wanted: TaskFilter) -> bool:
    return (
        (not wanted.states or each.state in wanted.states)
        and wanted.agent in ("", each.agent)
        and wanted.project in ("", each.project)
    )


async def test_counts_follow_every_change(store: Store) -> None:
    each, other, third = task(), task(agent="test"), task(S.SCHEDULED)
    await put(store, each, other, third)
    held = lease(each, "r1")
    await move(store, each, held)
    await move(store, held, start(held, held.fence, at=NOW))
    await move(store, other, request_cancel(other, reason="no", now=NOW))
    counts = await store.read(lambda tx: {place: number for place, number in tx.counts().items() if number})
    assert counts == {("build", S.RUNNING): 1, ("test", S.CANCELLED): 1, ("build", S.SCHEDULED): 1}


async def test_changes_come_in_order_and_each_task_once(store: Store) -> None:
    tasks = [task() for _ in range(4)]
    await put(store, *tasks)
    held = lease(tasks[1], "r1")
    await move(store, tasks[1], held)
    await move(store, tasks[0], request_cancel(tasks[0], reason="no", now=NOW))
    found = await store.read(lambda tx: tx.changes(after=0, limit=99))
    assert [(each.id, each.change) for each in found] == [
        (tasks[2].id, 3),
        (tasks[3].id, 4),
        (tasks[1].id, 5),
        (tasks[0].id, 6),
    ]
    assert await store.read(lambda tx: tx.position()) == 6
    rest = await store.read(lambda tx: tx.changes(after=4, limit=1))
    assert [each.id for each in rest] == [tasks[1].id]
    assert await store.read(lambda tx: tx.changes(after=6, limit=1)) == []


async def test_ready_tasks_come_by_priority_then_moment_then_id(store: Store) -> None:
    late = task(priority=5, ready_at=after(10))
    low = task(priority=0)
    high = task(priority=9, ready_at=after(60))
    twins = [task(priority=5) for _ in range(3)]
    others = [
        task(agent="test"),
        leased(),
        task(S.RUNNING),
        task(S.SCHEDULED),
        task(S.BLOCKED),
        task(S.CANCELLED),
    ]
    await put(store, late, low, high, *twins, *others)
    expected = [high, *twins, late, low]
    found = await store.read(lambda tx: tx.ready("build", after=None, limit=99))
    assert found == [ReadyEntry(9 - each.priority, each.ready_at, each.id) for each in expected]
    for place in range(len(found)):
        rest = await store.read(lambda tx, p=place: tx.ready("build", after=found[p], limit=2))  # type: ignore[misc]
        assert list(rest) == list(found[place + 1 : place + 3])
    assert await store.read(lambda tx: tx.ready("nobody", after=None, limit=9)) == []


async def test_a_leased_task_is_not_ready_and_is_again_when_it_comes_back(store: Store) -> None:
    each = task()
    await put(store, each)
    held = lease(each, "r1")
    await move(store, each, held)
    assert await store.read(lambda tx: tx.ready("build", after=None, limit=9)) == []
    await move(store, held, held._replace(holder=""))
    found = await store.read(lambda tx: tx.ready("build", after=None, limit=9))
    assert [entry.id for entry in found] == [each.id]


async def test_due_tasks_come_earliest_first(store: Store) -> None:
    tasks = [task(S.SCHEDULED, not_before=after(n), ready_at=after(n)) for n in (30, 10, 20)]
    assert await store.read(lambda tx: tx.next_due()) is None
    await put(store, *tasks, task())
    assert await store.read(lambda tx: tx.next_due()) == after(10)
    assert await store.read(lambda tx: tx.due(after(9.999999), limit=9)) == []
    found = await store.read(lambda tx: tx.due(after(20), limit=9))
    assert [each.id for each in found] == [tasks[1].id, tasks[2].id]
    assert len(await store.read(lambda tx: tx.due(after(99), limit=2))) == 2


async def test_held_tasks_are_walked_by_id(store: Store) -> None:
    tasks = [leased(), task(S.RUNNING), task(), task(S.PAUSED), task(S.SUCCEEDED)]
    await put(store, *tasks)
    first = await store.read(lambda tx: tx.held(after_id="", limit=2))
    rest = await store.read(lambda tx: tx.held(after_id=first[-1].id, limit=2))
    assert [each.id for each in (*first, *rest)] == [tasks[0].id, tasks[1].id, tasks[3].id]


async def test_children_and_parents_find_each_other(store: Store) -> None:
    good, bad, open_ = task(S.SUCCEEDED), task(S.FAILED), task(S.RUNNING)
    one = task(S.BLOCKED, depends_on=(good.id, open_.id))
    two = task(S.BLOCKED, depends_on=(open_.id, bad.id, open_.id))
    free = task(S.QUEUED, depends_on=(open_.id,))
    await put(store, good, bad, open_, one, two, free)

    async def children(*parents: Task) -> list[str]:
        ids = [each.id for each in parents]
        return [each.id for each in await store.read(lambda tx: tx.blocked_on(ids))]

    assert await children(open_) == [one.id, two.id]
    assert await children(good, bad) == [one.id, two.id]
    assert await children(bad) == [two.id]
    assert await children(one) == []
    assert await children() == []
    unmet = await store.read(lambda tx: [tx.unmet_parents(each.id) for each in (one, two, good)])
    assert [sorted(each.id for each in parents) for parents in unmet] == [[open_.id], sorted([open_.id, bad.id]), []]
    assert await store.read(lambda tx: tx.unmet_parents("nobody")) in ((), [])


async def test_a_clearing_is_found_again(store: Store) -> None:
    tasks = [task() for _ in range(3)]
    await put(store, *tasks)
    for each in tasks[:2]:
        await move(store, each, request_cancel(each, reason="cleared", now=NOW)._replace(clearing="c1"))
    first = await store.read(lambda tx: tx.in_clearing("c1", after_id="", limit=1))
    rest = await store.read(lambda tx: tx.in_clearing("c1", after_id=first[0].id, limit=9))
    assert [each.id for each in (*first, *rest)] == [tasks[0].id, tasks[1].id]
    assert list(await store.read(lambda tx: tx.in_clearing("", after_id="", limit=9))) == []
