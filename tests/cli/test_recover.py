"""Letting held agents go: which breakers are reset, what is said, and what undoes it."""

from __future__ import annotations

from datetime import timedelta
from types import SimpleNamespace

import pytest

from cli.incidents.recovering import DEAD_MAX
from clients.coordinator_values import AgentState, TaskState
from tests.cli.conftest import Quantum
from tests.cli.fakes import NOW, NoBudgets, PlayedAgent, PlayedCoordinator, PlayedSafety


@pytest.fixture
def safety(played_safety: PlayedSafety) -> PlayedSafety:
    """Two agents that failed, one that a person holds, and three breakers that hold no agent."""
    played_safety.put("agent:build", "open", reason="3 in a row failed")
    played_safety.put("agent:lint", "half_open")
    played_safety.put("agent:deploy", "forced_open", reason="not today")
    played_safety.put("agent:fine", "closed")
    played_safety.put("agent:trusted", "forced_closed")
    played_safety.put("cloud:openai", "open")
    return played_safety


def test_all_means_those_that_failed_and_leaves_what_a_person_holds(quantum: Quantum, safety: PlayedSafety) -> None:
    done = quantum("recover", "--all")
    assert done.out == (
        "2 agents were let go:\n"
        "  build was open: 3 in a row failed\n"
        "  lint was half open\n"
        "  deploy stays, forced open by hand: quantum recover --agent deploy\n"
        "  cloud:openai stays, open, shared by several agents: quantum breaker reset cloud:openai\n"
        "  undo: quantum breaker force-open agent:build && quantum breaker force-open agent:lint\n"
    )
    assert safety.resets == {"agent:build": "recovered by hand", "agent:lint": "recovered by hand"}


def test_one_by_its_name_or_alias_also_when_forced(quantum: Quantum, safety: PlayedSafety) -> None:
    assert quantum("recover", "--agent", "deploy", "--reason", "now").code == 0
    assert quantum("recover", "--agent", "alias").code == 0
    assert safety.resets == {"agent:deploy": "now", "agent:build": "recovered by hand"}


def test_one_that_is_not_held_changes_nothing(quantum: Quantum, safety: PlayedSafety) -> None:
    assert quantum("recover", "--agent", "fine").out == "It is not held.\n"
    assert safety.resets == {}


def test_dry_run_changes_nothing_and_has_nothing_to_undo(quantum: Quantum, safety: PlayedSafety) -> None:
    said = quantum("recover", "--all", "--dry-run", "--json").document
    assert (said["dry_run"], said["recovered"], said["undo"]) == (True, 2, None)
    assert [breaker["scope"] for breaker in said["breakers"]] == ["agent:build", "agent:lint"]
    assert said["held_by_hand"] == ["deploy"]
    assert safety.resets == {}


def test_what_a_breaker_says_cannot_move_the_cursor(quantum: Quantum, played_safety: PlayedSafety) -> None:
    played_safety.put("agent:build", "open", reason="evil\x1b[2J\x07")
    said = quantum("recover", "--all").out
    assert "evil�[2J�" in said
    assert "\x1b" not in quantum("breaker", "list").out


@pytest.fixture
def services(coordinator: PlayedCoordinator) -> PlayedCoordinator:
    """A service that is held, one that a person has ended, and one that runs."""
    ended = coordinator.put("old", state=TaskState.FAILED)
    agents = (
        PlayedAgent(
            name="watch", kind="service", state=AgentState.HELD, held_reason="held: it ended 6 times", last_task=ended
        ),
        PlayedAgent(name="off", kind="service"),
        PlayedAgent(name="fine", kind="service", state=AgentState.RUNNING, current_tasks=("t",)),
        PlayedAgent(name="build", state=AgentState.HELD, held_reason="its breaker is open"),
    )
    coordinator.agents = {agent.name: agent for agent in agents}
    return coordinator


def test_a_held_service_is_started_again_as_it_ran_before(quantum: Quantum, services: PlayedCoordinator) -> None:
    assert quantum("recover", "--all").out == (
        "1 service is started again:\n  watch was held: it ended 6 times\n  undo: quantum cancel again-old\n"
    )
    assert services.submitted == []


def test_one_that_a_person_has_ended_is_started_by_its_name_alone(
    quantum: Quantum, services: PlayedCoordinator
) -> None:
    assert quantum("recover", "--agent", "fine").out == "It is not held.\n"
    assert quantum("recover", "--agent", "off", "--dry-run").out == "1 service would be started again:\n  off\n"
    assert services.submitted == []
    assert quantum("recover", "--agent", "off").code == 0
    assert [spec.agent for spec in services.submitted] == ["off"]


@pytest.mark.parametrize("words", [["recover"], ["recover", "--all", "--agent", "build"]])
def test_what_is_meant_must_be_clear(quantum: Quantum, words: list[str]) -> None:
    assert quantum(*words).code == 2


def dead(coordinator: PlayedCoordinator, task_id: str, **changes: object) -> None:
    """Have a task that died of its configuration today."""
    given = {"state": TaskState.DEAD, "exit_code": 127, "started_at": NOW, "finished_at": NOW, "reason": "exit 127"}
    coordinator.put(task_id, **{**given, **changes})


def test_dead_tasks_are_run_again_once_and_what_stays_says_why(
    quantum: Quantum, coordinator: PlayedCoordinator
) -> None:
    coordinator.agents = {
        "build": PlayedAgent(name="build"),
        "broken": PlayedAgent(name="broken", faults=("no timeout",)),
    }
    dead(coordinator, "d1")
    dead(coordinator, "d2")
    dead(coordinator, "lost", exit_code=None)
    dead(coordinator, "old", finished_at=NOW - timedelta(days=8))
    dead(coordinator, "known")
    coordinator.put("of-known", retry_of="known", state=TaskState.SUCCEEDED)
    dead(coordinator, "b1", agent="broken")
    dead(coordinator, "g1", agent="gone")
    tried = quantum("recover", "--all", "--dry-run", "--json").document
    assert (tried["redriven"], tried["new_tasks"], tried["undo"]) == (["d1", "d2"], [], None)
    assert {one["what"]: one["why"] for one in tried["left"]} == {
        "task lost of build": "runner after runner was lost under it",
        "1 dead task of build": "dead for more than 7 days",
        "1 dead task of broken": "broken cannot be run as it is",
        "1 dead task of gone": "gone is not there any more",
    }
    assert "again-d1" not in coordinator.tasks
    done = quantum("recover", "--agent", "build", "--json").document
    assert (done["redriven"], done["new_tasks"]) == (["d1", "d2"], ["again-d1", "again-d2"])
    assert done["undo"] == "quantum cancel again-d1 again-d2"
    assert quantum("recover", "--agent", "build", "--json").document["redriven"] == []


def test_a_hundred_at_a_time(quantum: Quantum, coordinator: PlayedCoordinator) -> None:
    coordinator.agents = {"build": PlayedAgent(name="build")}
    for number in range(DEAD_MAX + 3):
        dead(coordinator, f"d{number:03}")
    done = quantum("recover", "--all", "--json").document
    assert len(done["redriven"]) == DEAD_MAX
    assert [(one["what"], one["why"]) for one in done["left"]] == [("3 dead tasks of build", "100 at a time")]


def test_what_a_budget_holds_stays_held(quantum: Quantum, played_safety: PlayedSafety) -> None:
    class Spent(NoBudgets):
        async def list(self) -> tuple[object, ...]:
            return (SimpleNamespace(scope="agent:build", grade="spent", evidence="9 of 10 failed"),)

    played_safety.budgets = Spent()
    said = quantum("recover", "--all").out
    assert "agent:build stays, its error budget is spent: 9 of 10 failed: quantum budget reset agent:build" in said
