"""Submitting: all or nothing, all faults at once, and a key that means one request."""

import asyncio
import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from unittest.mock import patch

import pytest

from foundation.errors import Conflict, Exhausted, Invalid, NotFound, QuantumError
from services.coordinator.domain.request import PARAMS_BYTES_MAX, TaskRequest
from services.coordinator.domain.task import Effects, TaskState
from services.coordinator.ports import Store, StoreTransaction
from tests.coordinator.desk import KEYS_GOOD_FOR, OTHER, USER, Desk


async def test_a_task_takes_what_the_manifest_says_and_the_caller_leaves_open(desk: Desk) -> None:
    [task] = await desk.add(TaskRequest(agent="short", params=b' {"a": 1}', project="HabitQuest", labels={"os": "mac"}))
    stored = await desk.task(task)
    assert stored.agent == "build"
    assert stored.params == ' {"a": 1}'
    assert stored.effects is Effects.IDEMPOTENT
    assert stored.timeout == timedelta(minutes=7)
    assert stored.retries == 3  # the manifest asks for 9, the ceiling is 3
    assert stored.submitted_by == "user"
    assert stored.priority == 5
    assert dict(stored.labels) == {"os": "mac"}
    assert [task.id for task in desk.announced] == [stored.id]


async def test_an_undeclared_agent_runs_once_with_the_defaults(desk: Desk) -> None:
    [task] = await desk.add(TaskRequest(agent="plain"))
    assert (task.effects, task.retries, task.timeout) == (Effects.ONCE, 0, timedelta(minutes=5))


async def test_the_position_is_that_of_the_last_task(desk: Desk) -> None:
    done = await desk.submit([TaskRequest(agent="hello")] * 3, "", USER)
    stored = [await desk.task(task) for task in done.tasks]
    assert done.position == stored[-1].change
    assert [task.change for task in stored] == [done.position - 2, done.position - 1, done.position]


async def test_every_fault_of_every_task_is_told_and_nothing_is_added(desk: Desk) -> None:
    with pytest.raises(Invalid) as caught:
        await desk.add(
            TaskRequest(agent="hello"),
            TaskRequest(agent="hello", params=b"[1]", priority=10),
            TaskRequest(agent="nobody", retries=4, timeout=timedelta(0)),
            TaskRequest(agent="broken", project="Nowhere", labels={"x" * 65: ""}),
            TaskRequest(agent="hello", ref="no spaces", depends_on=("#gone",)),
        )
    assert {fault.path for fault in caught.value.fields} == {
        "tasks[1].params",
        "tasks[1].priority",
        "tasks[2].agent",
        "tasks[2].retries",
        "tasks[2].timeout",
        "tasks[3].agent",
        "tasks[3].project",
        "tasks[3].labels",
        "tasks[4].ref",
        "tasks[4].depends_on[0]",
    }
    assert not await desk.store.read(lambda tx: tx.counts())


async def test_an_unknown_agent_alone_is_not_found(desk: Desk) -> None:
    with pytest.raises(NotFound, match="nobody") as caught:
        await desk.add(TaskRequest(agent="hello"), TaskRequest(agent="nobody"))
    assert caught.value.fields[0].path == "tasks[1].agent"


async def test_an_agent_with_a_broken_manifest_is_refused_with_its_faults(desk: Desk) -> None:
    with pytest.raises(Invalid, match="timeout must be a duration"):
        await desk.add(TaskRequest(agent="broken"))


@pytest.mark.parametrize(
    ("params", "said"),
    [
        (b"[]", "an array"),
        (b"null", "null"),
        (b"{", "not JSON"),
        (b'{"a": NaN}', "NaN"),
        (b"\xff", "UTF-8"),
        (b"[" * 100_000, "deeply"),
        (b'{"a": "' + b"x" * PARAMS_BYTES_MAX + b'"}', "at most"),
        (b'{"a": ' + b"9" * 5000 + b"}", "not JSON"),
    ],
)
async def test_params_that_cannot_be_are_refused(params: bytes, said: str, desk: Desk) -> None:
    with pytest.raises(Invalid, match=said):
        await desk.add(TaskRequest(agent="hello", params=params))


async def test_no_tasks_and_too_many_are_refused(desk: Desk) -> None:
    for requests in ([], [TaskRequest(agent="hello")] * 10_001):
        with pytest.raises(Invalid, match="1 to 10000"):
            await desk.submit(requests, "", USER)


# -- dependencies


async def test_a_batch_may_name_its_own_tasks(desk: Desk) -> None:
    child, parent = await desk.add(
        TaskRequest(agent="hello", depends_on=("#p", "#p")), TaskRequest(agent="build", ref="p")
    )
    assert child.state is TaskState.BLOCKED
    assert child.depends_on == (parent.id,)
    assert parent.state is TaskState.QUEUED


async def test_a_cycle_is_refused_by_the_names_of_its_members(desk: Desk) -> None:
    with pytest.raises(Invalid, match=r"#a → #c → #b → #a|#b → #a → #c → #b|#c → #b → #a → #c"):
        await desk.add(
            TaskRequest(agent="hello", ref="a", depends_on=("#c",)),
            TaskRequest(agent="hello", ref="b", depends_on=("#a",)),
            TaskRequest(agent="hello", ref="c", depends_on=("#b",)),
        )


async def test_an_unknown_ref_gets_the_nearest_one(desk: Desk) -> None:
    with pytest.raises(Invalid, match="“#parent”"):
        await desk.add(TaskRequest(agent="hello", ref="parent"), TaskRequest(agent="hello", depends_on=("#parnt",)))


async def test_a_parent_outside_the_batch_is_looked_up(desk: Desk) -> None:
    [parent] = await desk.add()
    [waiting] = await desk.add(TaskRequest(agent="hello", depends_on=(parent.id,)))
    assert waiting.state is TaskState.BLOCKED
    await desk.end(parent)
    [ready] = await desk.add(TaskRequest(agent="hello", depends_on=(parent.id,)))
    assert ready.state is TaskState.QUEUED


async def test_a_parent_that_failed_or_never_was_is_refused(desk: Desk) -> None:
    [parent] = await desk.add()
    await desk.end(parent, TaskState.FAILED)
    with pytest.raises(Invalid) as caught:
        await desk.add(
            TaskRequest(agent="hello", depends_on=(parent.id,)), TaskRequest(agent="hello", depends_on=("nothing",))
        )
    assert [fault.path for fault in caught.value.fields] == ["tasks[0].depends_on[0]", "tasks[1].depends_on[0]"]
    assert sum((await desk.store.read(lambda tx: tx.counts())).values()) == 1


async def test_not_before_schedules(desk: Desk) -> None:
    at = desk.clock.now() + timedelta(hours=1)
    [later] = await desk.add(TaskRequest(agent="hello", not_before=at))
    assert (later.state, later.ready_at) == (TaskState.SCHEDULED, at)
    [past] = await desk.add(TaskRequest(agent="hello", not_before=desk.clock.now() - timedelta(hours=1)))
    assert past.state is TaskState.QUEUED


# -- idempotency


async def test_the_same_key_and_payload_is_the_same_task(desk: Desk) -> None:
    first = await desk.submit([TaskRequest(agent="hello", params=b'{"a":1,"b":2}')], "k", USER)
    again = await desk.submit([TaskRequest(agent="hello", params=b'{ "b": 2, "a": 1 }')], "k", USER)
    assert (first.replayed, again.replayed) == (False, True)
    assert [task.id for task in again.tasks] == [task.id for task in first.tasks]
    assert len(desk.announced) == 1


async def test_a_key_is_its_tokens_own(desk: Desk) -> None:
    first = await desk.submit([TaskRequest(agent="hello")], "k", USER)
    other = await desk.submit([TaskRequest(agent="hello")], "k", OTHER)
    assert not other.replayed
    assert other.tasks[0].id != first.tasks[0].id


async def test_a_timeout_of_nothing_is_a_fault_also_under_a_key(desk: Desk) -> None:
    with pytest.raises(Invalid, match="between 50 ms and 30 days"):
        await desk.submit([TaskRequest(agent="hello", timeout=timedelta(0))], "a-key", USER)


async def test_the_same_key_with_another_payload_is_refused(desk: Desk) -> None:
    await desk.submit([TaskRequest(agent="hello")], "k", USER)
    with pytest.raises(Conflict, match="another request"):
        await desk.submit([TaskRequest(agent="hello", priority=9)], "k", USER)


async def test_a_key_is_forgotten_after_its_time(desk: Desk) -> None:
    await desk.submit([TaskRequest(agent="hello")], "k", USER)
    desk.clock.advance(KEYS_GOOD_FOR)
    assert not (await desk.submit([TaskRequest(agent="build")], "k", USER)).replayed


async def test_what_was_accepted_is_found_again_although_its_agent_is_gone(desk: Desk) -> None:
    await desk.submit([TaskRequest(agent="hello")], "k", USER)
    del desk.catalogue.specs["hello"]
    assert (await desk.submit([TaskRequest(agent="hello")], "k", USER)).replayed
    with pytest.raises(NotFound):
        await desk.submit([TaskRequest(agent="hello")], "new", USER)


async def test_an_overlong_key_is_refused(desk: Desk) -> None:
    with pytest.raises(Invalid, match="too long"):
        await desk.submit([TaskRequest(agent="hello")], "k" * 256, USER)


# -- the cap


async def test_the_cap_refuses_and_says_when_to_come_again(store: Store) -> None:
    desk = Desk(store, open_tasks_max=3)
    first = await desk.add(*[TaskRequest(agent="hello")] * 2)
    with pytest.raises(Exhausted, match="2 tasks are open and the cap is 3") as caught:
        await desk.add(*[TaskRequest(agent="hello")] * 2)
    assert caught.value.retry_after is not None
    await desk.add()
    with pytest.raises(Exhausted):
        await desk.add()
    await desk.end(first[0])
    await desk.add()
    counts = await desk.store.read(lambda tx: tx.counts())
    assert sum(number for (_, state), number in counts.items() if state is TaskState.QUEUED) == 3


async def test_params_are_stored_as_a_json_object(desk: Desk) -> None:
    [task] = await desk.add(TaskRequest(agent="hello"))
    assert json.loads((await desk.task(task)).params) == {}


async def test_errors_are_ours(desk: Desk) -> None:
    with pytest.raises(QuantumError):
        await desk.add(TaskRequest(agent="../etc/passwd"))


async def test_a_caller_that_goes_in_the_middle_leaves_a_task_that_everybody_heard_of(desk: Desk) -> None:
    """Durable and not announced, it would wait for the next start of the coordinator."""
    asked = asyncio.create_task(desk.submit([TaskRequest(agent="hello")], "", USER))
    committed = asyncio.Event()
    write = desk.store.write

    async def slow_to_return(work: Callable[[StoreTransaction], Any]) -> Any:
        result = await write(work)
        committed.set()
        await asyncio.sleep(0)  # the moment between the commit and the announcement
        return result

    with patch.object(type(desk.store), "write", lambda store, work: slow_to_return(work)):
        await committed.wait()
        asked.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asked
        async with asyncio.timeout(60):
            while not desk.announced:
                await asyncio.sleep(0)
    assert [task.agent for task in desk.announced] == ["hello"]
