"""Letting held agents go: which breakers are reset, what is said, and what undoes it."""

from __future__ import annotations

import pytest

from clients.coordinator_values import AgentState, TaskState
from tests.cli.conftest import Quantum
from tests.cli.fakes import PlayedAgent, PlayedCoordinator, PlayedSafety


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
    assert said["held_by_hand"] == ["agent:deploy"]
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
