"""The doors, over a real socket: what the client says arrives, and what is answered comes back."""

import json
import tempfile
from collections.abc import AsyncIterator, Awaitable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import cast

import pytest

from clients import coordinator_values as values
from clients.coordinator import CoordinatorClient
from foundation.auth import Caller
from foundation.errors import Conflict, Denied, Exhausted, Invalid, NotFound, QuantumError, Unavailable
from foundation.log import get_logger
from foundation.rpc.channel import open_channel, translate
from foundation.rpc.server import RpcServer
from protos.coordinator.v1 import (
    agents_pb2,
    agents_pb2_grpc,
    queue_pb2,
    queue_pb2_grpc,
    reports_pb2,
    reports_pb2_grpc,
    tasks_pb2,
    tasks_pb2_grpc,
)
from protos.scopes import scopes_of
from services.coordinator.adapters.memory import MemoryStore
from services.coordinator.domain.fleet import FleetView, Parked, RunnerView
from services.coordinator.domain.request import TaskRequest
from services.coordinator.domain.task import TaskState
from services.coordinator.ports import AgentHistory, Report, TaskFilter
from services.coordinator.servicer import AgentServicer, QueueServicer, ReportServicer, TaskServicer
from tests.coordinator.desk import Desk

SCOPES = {"user": frozenset({"read", "submit", "cancel", "operate"}), "reader": frozenset({"read"})}
SCOPES["in grace"] = SCOPES["user"]
PACKAGE = "quantum.coordinator.v1"


class Verifier:
    """A token is the name of its holder."""

    async def verify(self, token: str) -> Caller:
        return Caller(token_id=token, name=token, scopes=SCOPES[token], in_grace=token == "in grace")


@pytest.fixture
def desk() -> Desk:
    """On a store in memory: the other store is behind the same port."""
    return Desk(MemoryStore(), open_tasks_max=5)


@pytest.fixture
async def socket(desk: Desk) -> AsyncIterator[Path]:
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        contracts = (tasks_pb2, queue_pb2, agents_pb2, reports_pb2)
        server = RpcServer(
            "coordinator",
            verifier=Verifier(),
            scopes=scopes_of(contract.DESCRIPTOR for contract in contracts),
            logger=get_logger("coordinator"),
            clock=desk.clock,
        )
        tasks = TaskServicer(
            desk.store,
            desk.changes,
            desk.services,
            desk.catalogue,
            submit=desk.submit,
            cancel=desk.cancel,
            retry=desk.retry,
            decide=desk.decide,
            explain=desk.explain,
            read_log=desk.read_log,
        )
        add = server.add
        add(tasks_pb2_grpc.add_TaskServiceServicer_to_server, tasks, f"{PACKAGE}.TaskService")
        queue = QueueServicer(desk.queue, desk.clear, desk.undo)
        add(queue_pb2_grpc.add_QueueServiceServicer_to_server, queue, f"{PACKAGE}.QueueService")
        agents = AgentServicer(desk.agents, desk.catalogue)
        add(agents_pb2_grpc.add_AgentServiceServicer_to_server, agents, f"{PACKAGE}.AgentService")
        reports = ReportServicer(desk.store)
        add(reports_pb2_grpc.add_ReportServiceServicer_to_server, reports, f"{PACKAGE}.ReportService")
        path = Path(folder, "c.sock")
        await server.start(path)
        yield path
        await server.stop(timedelta(0))


@pytest.fixture
async def client(socket: Path) -> AsyncIterator[CoordinatorClient]:
    async with CoordinatorClient.dial(socket, token=lambda: "user") as client:
        yield client


async def test_a_task_there_and_back(client: CoordinatorClient, desk: Desk) -> None:
    at = desk.clock.now() + timedelta(hours=1)
    spec = values.TaskSpec(
        agent="build",
        params={"a": [1, "ü"]},
        project="HabitQuest",
        priority=0,
        not_before=at,
        timeout=timedelta(seconds=90.5),
        retries=0,
        labels={"os": "mac"},
    )
    done = await client.submit([spec], idempotency_key="k")
    [task] = done.tasks
    assert (task.agent, task.params, task.project, task.priority) == ("build", {"a": [1, "ü"]}, "HabitQuest", 0)
    assert (task.state, task.not_before, task.timeout) == (values.TaskState.SCHEDULED, at, timedelta(seconds=90.5))
    assert (task.attempts_max, task.labels, task.submitted_by) == (1, {"os": "mac"}, "user")
    assert task == await client.get_task(task.id)
    again = await client.submit([spec], idempotency_key="k")
    assert (again.replayed, list(again.tasks)) == (True, [task])


async def test_with_safety_out_of_reach_people_tighten_and_do_not_loosen(socket: Path, desk: Desk) -> None:
    [task] = await desk.add()
    async with CoordinatorClient.dial(socket, token=lambda: "in grace") as client:
        assert await client.pause_queue(reason="odd")
        assert (await client.cancel([task.id])).cancelled == 1
        for loosening in (
            client.resume_queue(),
            client.undo_clear("clearing"),
            client.decide(task.id, values.Decision.RUN_AGAIN),
        ):
            with pytest.raises(Unavailable, match="loosened"):
                await loosening
        assert (await client.queue_stats()).paused_reason
    async with CoordinatorClient.dial(socket, token=lambda: "user") as client:
        assert await client.resume_queue()


async def test_an_ended_task_shows_what_was_measured(client: CoordinatorClient, desk: Desk) -> None:
    [task] = await desk.add()
    await desk.end(task, TaskState.FAILED, output="It broke.\n")
    shown = await client.get_task(task.id)
    assert (shown.state, shown.exit_code, shown.signal) == (values.TaskState.FAILED, 1, None)
    assert (shown.output_tail, shown.runner, shown.attempt) == ("It broke.\n", "one", 1)
    assert shown.finished_at == desk.clock.now()
    page = await client.list_tasks(values.TaskFilter(states=frozenset({values.TaskState.FAILED})))
    assert [each.id for each in page.tasks] == [task.id]
    assert page.counts[values.TaskState.FAILED] == 1


async def test_errors_keep_their_kind_their_fields_and_their_remedy(client: CoordinatorClient) -> None:
    with pytest.raises(Invalid) as invalid:
        await client.submit([values.TaskSpec(agent="build"), values.TaskSpec(agent="build", priority=11)])
    assert [fault.path for fault in invalid.value.fields] == ["tasks[1].priority"]
    with pytest.raises(NotFound, match="nobody"):
        await client.submit([values.TaskSpec(agent="nobody")])
    with pytest.raises(Exhausted) as full:
        await client.submit([values.TaskSpec(agent="build")] * 6)
    assert full.value.retry_after == timedelta(seconds=10)
    await client.submit([values.TaskSpec(agent="build")], idempotency_key="k")
    with pytest.raises(Conflict):
        await client.submit([values.TaskSpec(agent="hello")], idempotency_key="k")


async def test_each_verb_needs_its_scope(socket: Path) -> None:
    async with CoordinatorClient.dial(socket, token=lambda: "reader") as reader:
        await reader.list_tasks()
        for call in (
            reader.submit([values.TaskSpec(agent="build")]),
            reader.cancel(ids=["0" * 26]),
            reader.pause_queue(),
        ):
            with pytest.raises(Denied):
                await call


async def test_the_verbs_on_tasks(client: CoordinatorClient, desk: Desk) -> None:
    one, two, three = await desk.add(
        *[TaskRequest(agent="build"), TaskRequest(agent="build"), TaskRequest(agent="hello")]
    )
    cancelled = await client.cancel(ids=[one.id], reason="no")
    assert (cancelled.cancelled, cancelled.tasks[0].reason) == (1, "no")
    retried = await client.retry(ids=[one.id])
    assert retried.tasks[0].retry_of == one.id
    await desk.undecided(two)
    decided = await client.decide(two.id, values.Decision.FAILED, note="seen")
    assert decided.state is values.TaskState.FAILED
    why = await client.explain(three.id)
    assert (why.code, why.task.id) == ("no_runner", three.id)


async def test_a_secret_param_leaves_by_no_door(client: CoordinatorClient, desk: Desk) -> None:
    desk.catalogue.specs["build"] = replace(desk.catalogue.specs["build"], secret_params=("password",))
    secret = "correct-horse"
    spec = values.TaskSpec(agent="short", params={"password": secret, "user": "ada"})
    watch = client.watch()
    await anext(watch)
    shown = {"submit": (await client.submit([spec] * 3, idempotency_key="k")).tasks}
    one, two, three = shown["submit"]
    shown["submit again"] = (await client.submit([spec] * 3, idempotency_key="k")).tasks
    shown["watch"] = (await anext(watch)).tasks
    await watch.aclose()
    shown["list"] = (await client.list_tasks()).tasks
    shown["get"] = [await client.get_task(one.id)]
    shown["explain"] = [(await client.explain(one.id)).task]
    shown["cancel"] = (await client.cancel(ids=[one.id])).tasks
    shown["retry"] = (await client.retry(ids=[one.id])).tasks
    stored = await desk.store.read(lambda tx: tx.tasks([two.id, three.id]))
    await desk.undecided(stored[two.id])
    shown["decide"] = [await client.decide(two.id, values.Decision.FAILED)]
    await desk.end(stored[three.id])
    log = [chunk async for chunk in client.read_log(three.id, follow=True)]
    shown["log"] = [chunk.ended for chunk in log if chunk.ended is not None]
    await desk.store.write(lambda tx: tx.record_history(AgentHistory(agent="build", ends="1", last_task_id=three.id)))
    shown["agents"] = [agent.last_task for agent in await client.list_agents() if agent.last_task is not None]
    for door, tasks in shown.items():
        assert tasks, door
        assert {json.dumps(task.params) for task in tasks} == {json.dumps({"password": "•••", "user": "ada"})}, door
    # What runs has it, in a retry too.
    kept = await desk.store.read(lambda tx: tx.page(TaskFilter(), before=None, limit=10))
    assert [json.loads(task.params)["password"] for task in kept] == [secret] * 4
    # Nobody can tell any more what was secret.
    del desk.catalogue.specs["build"]
    assert (await client.get_task(one.id)).params == {"password": "•••", "user": "•••"}


async def test_the_queue(client: CoordinatorClient, desk: Desk) -> None:
    await desk.add(TaskRequest(agent="build"))
    assert await client.pause_queue(reason="lunch")
    now = desk.clock.now()
    runner = RunnerView(
        name="one", host="here", slots=4, leased=2, running=1, draining=True, attached_at=now, last_heartbeat_at=now
    )
    parked = Parked(scope="agent:build", code="breaker", reason="It failed.", until=now)
    desk.dispatch.view = FleetView(runners=(runner,), parked={"build": parked}, waits_seconds=(0.25,))
    stats = await client.queue_stats()
    assert (stats.open, stats.paused, stats.counts[values.TaskState.QUEUED]) == (1, True, 1)
    assert (stats.wait_p50_seconds, stats.runners[0].slots, stats.runners[0].draining) == (0.25, 4, True)
    assert [(scope.scope, scope.tasks) for scope in stats.parked] == [("queue", 1), ("agent:build", 1)]
    cleared = await client.clear_queue()
    assert cleared.cleared == 1
    assert await client.undo_clear(cleared.clearing_id) == 1
    assert await client.resume_queue()


async def test_agents_projects_and_reports(client: CoordinatorClient, desk: Desk) -> None:
    desk.gate.open = {"agent:build": ("open", "It failed.", None)}
    agents = {agent.name: agent for agent in await client.list_agents()}
    build = agents["build"]
    assert (build.state, build.breaker, build.held_reason) == (values.AgentState.HELD, "open", "It failed.")
    assert (build.success_rate, build.last_task, build.timeout) == (None, None, timedelta(minutes=7))
    assert agents["broken"].faults
    assert (await client.get_agent("short")).name == "build"
    assert (await client.list_projects()).projects[0].name == "HabitQuest"
    report = Report(
        type="coverage",
        project="HabitQuest",
        summary="93 %",
        data='{"lines": 93}',
        task_id="t",
        agent="coverage",
        published_at=desk.clock.now(),
    )
    await desk.store.write(lambda tx: tx.publish(report))
    [shown] = await client.list_reports(type="coverage")
    assert (shown.summary, shown.data) == ("93 %", {"lines": 93})


async def test_watching_and_following_end_as_they_should(client: CoordinatorClient, desk: Desk) -> None:
    watch = client.watch()
    first = await anext(watch)
    assert (first.tasks, first.position) == ((), -1)
    [task] = await desk.add()
    change = await anext(watch)
    assert [each.id for each in change.tasks] == [task.id]
    await watch.aclose()
    await desk.end(task, output="done\n")
    chunks = [chunk async for chunk in client.read_log(task.id, follow=True)]
    assert b"".join(chunk.data for chunk in chunks) == b"done\n"
    ended = chunks[-1].ended
    assert ended is not None
    assert ended.state is values.TaskState.SUCCEEDED


async def test_what_the_wire_can_say_and_nobody_means_is_refused(socket: Path) -> None:
    async with open_channel(socket, token=lambda: "user") as channel:
        stub = tasks_pb2_grpc.TaskServiceStub(channel)
        spec = tasks_pb2.TaskSpec(agent="build")
        spec.not_before.seconds = 1 << 60
        bad: list[Awaitable[object]] = [
            stub.SubmitTasks(tasks_pb2.SubmitTasksRequest(tasks=[spec]), timeout=60),
            stub.DecideTask(tasks_pb2.DecideTaskRequest(id="x"), timeout=60),
            stub.CancelTasks(tasks_pb2.CancelTasksRequest(), timeout=60),
            stub.ListTasks(
                tasks_pb2.ListTasksRequest(filter=tasks_pb2.TaskFilter(states=[cast(tasks_pb2.TaskState, 99)])),
                timeout=60,
            ),
        ]
        for call in bad:
            with pytest.raises(QuantumError) as caught, translate():
                await call
            assert caught.value.kind == "invalid"
