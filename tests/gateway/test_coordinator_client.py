"""The coordinator's client: values in and out, errors of ours, streams that outlive a restart."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, asynccontextmanager
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from clients.coordinator import CoordinatorClient
from clients.coordinator_convert import spec_to, state_from, task_from
from clients.coordinator_values import AgentState, Decision, Effects, TaskFilter, TaskSpec, TaskState
from clients.health import is_serving
from foundation.errors import Conflict, Denied, Internal, Invalid, NotFound, TimedOut, Unauthenticated, Unavailable
from protos.coordinator.v1 import tasks_pb2
from tests.gateway.stand_in_coordinator import OUTPUT, World, start_coordinator

NOW = timedelta(0)


@asynccontextmanager
async def running(world: World, socket: Path) -> AsyncIterator[CoordinatorClient]:
    """A client of a coordinator that serves within the block."""
    server = await start_coordinator(world, socket)
    try:
        async with CoordinatorClient.dial(socket, token=lambda: world.user.text) as client:
            yield client
    finally:
        await server.stop(NOW)


@pytest.fixture
def socket() -> Iterator[Path]:
    """A short path."""
    with tempfile.TemporaryDirectory(prefix="qcl") as folder:
        yield Path(folder, "s", "c.sock")


async def test_what_goes_in_comes_out(socket: Path) -> None:
    moment = datetime(2026, 12, 1, 6, tzinfo=timezone(timedelta(hours=2)))
    spec = TaskSpec(
        agent="hello",
        params={"who": "wörld", "deep": [1, None, {"x": 2.5}]},
        project="HabitQuest",
        priority=0,
        not_before=moment,
        timeout=timedelta(minutes=5),
        retries=2,
        labels={"os": "mac"},
    )
    async with running(World(), socket) as client:
        accepted = await client.submit([spec])
        assert not accepted.replayed
        task = await client.get_task(accepted.tasks[0].id)
    assert (task.agent, task.params, task.project, task.priority) == ("hello", spec.params, "HabitQuest", 0)
    assert (task.state, task.effects, task.attempts_max) == (TaskState.QUEUED, Effects.ONCE, 3)
    assert task.not_before == moment
    assert task.not_before.tzinfo is UTC
    assert (task.exit_code, task.signal, task.usage, task.duration) == (None, None, None, None)


async def test_each_refusal_is_an_error_of_ours(socket: Path) -> None:
    world = World()
    async with running(world, socket) as client:
        with pytest.raises(NotFound, match="no task"):
            await client.get_task("nonesuch")
        with pytest.raises(NotFound, match="hello"):
            await client.submit([TaskSpec(agent="helo")])
        with pytest.raises(Invalid) as refused:
            await client.submit([TaskSpec(agent="hello", depends_on=("#x",))])
        assert refused.value.fields[0].path == "tasks[0].depends_on"
        with pytest.raises(Internal):
            await client.submit([TaskSpec(agent="broken")])
        task = (await client.submit([TaskSpec(agent="hello")])).tasks[0]
        with pytest.raises(Conflict):
            await client.decide(task.id, Decision.SUCCEEDED)
        with pytest.raises(TimedOut):
            await client.submit([TaskSpec(agent="slow")], deadline=timedelta(milliseconds=100))
        async with CoordinatorClient.dial(socket, token=lambda: world.reader.text) as reader:
            assert await reader.list_agents()
            with pytest.raises(Denied):
                await reader.cancel([task.id])
        async with CoordinatorClient.dial(socket, token=lambda: None) as nobody:
            with pytest.raises(Unauthenticated):
                await nobody.list_agents()


async def test_what_cannot_be_sent_is_refused_here() -> None:
    for spec in (
        TaskSpec(agent="a", not_before=datetime(2026, 1, 1)),
        TaskSpec(agent="a", params={"x": float("nan")}),
        TaskSpec(agent="a", params={"x": object()}),
        TaskSpec(agent="a", params={"x": "\ud800"}),
        TaskSpec(agent="a", timeout=timedelta.max),
    ):
        with pytest.raises(Invalid):
            spec_to(spec)


def test_a_state_of_a_newer_coordinator_is_no_guess() -> None:
    with pytest.raises(Internal):
        state_from(tasks_pb2.TASK_STATE_UNSPECIFIED)
    with pytest.raises(Internal):
        task_from(tasks_pb2.Task(state=tasks_pb2.TASK_STATE_QUEUED, params_json=b"[1]"))


async def test_lists_figures_and_agents(socket: Path) -> None:
    async with running(World(), socket) as client:
        await client.submit([TaskSpec(agent="hello"), TaskSpec(agent="build")])
        page = await client.list_tasks(TaskFilter(states=frozenset({TaskState.QUEUED}), agent="build"), limit=1)
        assert [task.agent for task in page.tasks] == ["build"]
        assert (page.next, page.counts[TaskState.QUEUED], page.counts[TaskState.DEAD]) == (None, 2, 0)
        stats = await client.queue_stats()
        assert (stats.open, stats.wait_p50_seconds, stats.runners[0].name) == (2, None, "local")
        agents = await client.list_agents()
        assert (agents[0].state, agents[0].success_rate, agents[0].breaker) == (AgentState.IDLE, None, None)
        assert (await client.get_agent("hello")).name == "hello"
        assert await client.list_reports() == ()
        clearing = await client.clear_queue()
        assert await client.undo_clear(clearing.clearing_id) == clearing.cleared == 2


async def test_a_watch_leaves_no_gap_over_a_restart(socket: Path) -> None:
    world = World()
    async with CoordinatorClient.dial(socket, token=lambda: world.user.text) as client:
        server = await start_coordinator(world, socket)
        async with aclosing(client.watch()) as changes:
            assert (await anext(changes)).tasks == ()
            first = (await client.submit([TaskSpec(agent="hello")])).tasks[0].id
            assert [task.id for task in (await anext(changes)).tasks] == [first]
            await server.stop(NOW)
            world.add(tasks_pb2.TaskSpec(agent="build"))
            server = await start_coordinator(world, socket)
            assert [task.agent for task in (await anext(changes)).tasks] == ["build"]
        await server.stop(NOW)


async def test_a_followed_log_goes_on_behind_what_was_read(socket: Path) -> None:
    world = World()
    async with CoordinatorClient.dial(socket, token=lambda: world.user.text) as client:
        server = await start_coordinator(world, socket)
        task = (await client.submit([TaskSpec(agent="hello")])).tasks[0]
        seen = b""
        async with aclosing(client.read_log(task.id, follow=True)) as chunks:
            while len(seen) < len(OUTPUT):
                seen += (await anext(chunks)).data
            await server.stop(NOW)
            world.log_goes_on.set()
            server = await start_coordinator(world, socket)
            last = await anext(chunks)
            assert (last.data, last.ended and last.ended.state) == (b"", TaskState.SUCCEEDED)
            with pytest.raises(StopAsyncIteration):
                await anext(chunks)
        await server.stop(NOW)
    assert seen == OUTPUT
    assert world.log_offsets == [0, len(OUTPUT)]


async def test_patience_has_an_end(socket: Path) -> None:
    async with CoordinatorClient.dial(socket, token=lambda: "x") as client:
        with pytest.raises(Unavailable):
            await anext(client.watch(patience=timedelta(milliseconds=200)))
        with pytest.raises(Unavailable):
            await anext(client.read_log("x"))


async def test_an_error_of_the_request_is_not_asked_again(socket: Path) -> None:
    async with running(World(), socket) as client:
        with pytest.raises(NotFound):
            await anext(client.read_log("nonesuch", follow=True))


async def test_health(socket: Path) -> None:
    assert not await is_serving(socket)
    server = await start_coordinator(World(), socket)
    assert await is_serving(socket)
    await server.set_serving(False)
    assert not await is_serving(socket)
    await server.stop(NOW)
