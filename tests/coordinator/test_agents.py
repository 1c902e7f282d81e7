"""What people see of agents."""

from dataclasses import replace
from datetime import timedelta

import pytest

from foundation.errors import NotFound
from services.coordinator.app.agents import AgentState, AgentView
from services.coordinator.domain import task as moves
from services.coordinator.domain.fleet import FleetView, Parked
from services.coordinator.domain.request import TaskRequest
from services.coordinator.domain.task import TaskState
from services.coordinator.ports import AgentHistory
from tests.coordinator.desk import Desk

HELD = Parked(scope="agent:build", code="breaker", reason="Three failures.", until=None)


async def states(desk: Desk) -> dict[str, AgentState]:
    return {view.spec.name: view.state for view in await desk.agents.list()}


async def build(desk: Desk) -> AgentView:
    return await desk.agents.get("build")


async def test_each_state_has_its_reason(desk: Desk) -> None:
    assert await states(desk) == {
        "broken": AgentState.INVALID,
        "build": AgentState.IDLE,
        "hello": AgentState.IDLE,
        "plain": AgentState.UNDECLARED,
    }
    [task] = await desk.add()
    running = await desk.run(task)
    desk.dispatch.view = FleetView(held_tasks={"build": (task.id,)}, parked={"build": HELD}, restarts={"build": 2})
    view = await build(desk)
    assert (view.state, view.current_tasks, view.restarts) == (AgentState.RUNNING, (task.id,), 2)
    assert view.held_reason == "Three failures."
    await desk.move(running, moves.pause(running, running.fence, reason="mode"))
    assert (await build(desk)).state is AgentState.PAUSED


async def test_what_safety_refuses_is_held(desk: Desk) -> None:
    desk.dispatch.view = FleetView(parked={"build": HELD})
    assert (await states(desk))["build"] is AgentState.HELD
    desk.dispatch.view = FleetView(stopped=replace(HELD, scope="fleet", reason="Stopped."))
    found = await states(desk)
    assert found["hello"] is AgentState.HELD
    assert found["broken"] is AgentState.INVALID


async def test_an_open_breaker_holds_before_anything_was_refused(desk: Desk) -> None:
    until = desk.clock.now()
    desk.gate.open = {"agent:build": ("open", "Three failures.", until), "agent:hello": ("half_open", "", None)}
    view = await build(desk)
    assert (view.state, view.breaker, view.held_until) == (AgentState.HELD, "open", until)
    hello = await desk.agents.get("hello")
    assert (hello.state, hello.breaker) == (AgentState.IDLE, "half_open")
    assert (await desk.agents.get("plain")).breaker == "closed"


async def test_breakers_are_asked_once_a_second_and_may_be_out_of_reach(desk: Desk) -> None:
    desk.gate.away = True
    assert (await build(desk)).breaker == ""
    await build(desk)
    assert desk.gate.asked == 1
    desk.gate.away = False
    desk.clock.advance(timedelta(seconds=1))
    assert (await build(desk)).breaker == "closed"
    assert desk.gate.asked == 2


async def test_rates_are_unknown_until_something_has_ended(desk: Desk) -> None:
    view = await build(desk)
    assert (view.success_rate, view.predicted_failure, view.last_task) == (None, None, None)
    [task] = await desk.add(TaskRequest(agent="build"))
    await desk.end(task, TaskState.FAILED)
    history = AgentHistory(agent="build", ends="1110", last_task_id=task.id)
    await desk.store.write(lambda tx: tx.record_history(history))
    view = await build(desk)
    assert view.success_rate == 0.75
    assert view.predicted_failure is not None
    assert 0.1 < view.predicted_failure < 0.5
    assert view.last_task is not None
    assert view.last_task.id == task.id


async def test_an_alias_finds_its_agent_and_an_unknown_name_does_not(desk: Desk) -> None:
    assert (await desk.agents.get("short")).spec.name == "build"
    with pytest.raises(NotFound):
        await desk.agents.get("nobody")
