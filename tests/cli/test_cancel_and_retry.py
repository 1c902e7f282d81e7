"""Verbs that change many tasks: they say how many, can change nothing, and print the line that undoes them."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from clients.coordinator_values import TaskState
from tests.cli.conftest import Quantum
from tests.cli.fakes import PlayedCoordinator


def test_cancel_by_id_names_the_undo(quantum: Quantum, coordinator: PlayedCoordinator) -> None:
    coordinator.put("t1")
    coordinator.put("t2", state=TaskState.SUCCEEDED)
    done = quantum("cancel", "t1", "t2")
    assert done.out == (
        "1 task cancelled.\n  1 task had ended already; nothing was changed there.\n  undo: quantum retry t1\n"
    )


def test_cancel_dry_run_changes_nothing(quantum: Quantum, coordinator: PlayedCoordinator) -> None:
    coordinator.put("t1")
    coordinator.put("t2", state=TaskState.SUCCEEDED)
    assert quantum("cancel", "--all", "--dry-run").out == "1 task would be cancelled.\n"
    assert quantum("cancel", "t1", "t2", "--dry-run", "--json").document == {"dry_run": True, "cancelled": 1}
    assert coordinator.tasks["t1"].state is TaskState.QUEUED


def test_the_undo_of_many_is_one_line_too(quantum: Quantum, coordinator: PlayedCoordinator, folder: Path) -> None:
    coordinator.page_size = 7
    for number in range(50):
        coordinator.put(f"t{number}")
    done = quantum("cancel", "--all", "--json").document
    assert done["cancelled"] == 50
    verb, *words = shlex.split(done["undo"])[1:]
    assert (verb, words[0]) == ("retry", "--from")
    assert quantum("retry", *words, "--json").document["retried"] == 50


def test_cancel_of_an_agent_leaves_the_others(quantum: Quantum, coordinator: PlayedCoordinator) -> None:
    coordinator.put("t1", agent="build")
    coordinator.put("t2", agent="other")
    quantum("cancel", "--agent", "alias")
    assert [task.state.value for task in coordinator.tasks.values()] == ["cancelled", "queued"]


@pytest.mark.parametrize(
    "words",
    [
        ["cancel"],
        ["cancel", "t1", "--all"],
        ["cancel", "--all", "--agent", "a"],
        ["retry"],
        ["retry", "t1", "--agent", "a"],
    ],
)
def test_what_is_meant_must_be_clear(quantum: Quantum, words: list[str]) -> None:
    assert quantum(*words).code == 2


def test_retry_by_agent_means_what_went_wrong(quantum: Quantum, coordinator: PlayedCoordinator) -> None:
    coordinator.put("t1", state=TaskState.FAILED)
    coordinator.put("t2", state=TaskState.SUCCEEDED)
    coordinator.put("t3", state=TaskState.QUEUED)
    assert quantum("retry", "--agent", "build", "--dry-run").out == "1 task would be submitted again.\n"
    assert quantum("retry", "--agent", "build").out == "1 task submitted again.\n  undo: quantum cancel again-t1\n"
    assert set(coordinator.tasks) == {"t1", "t2", "t3", "again-t1"}


def test_a_file_of_ids_that_is_not_there(quantum: Quantum) -> None:
    refused = quantum("retry", "--from", "/nowhere.ids")
    assert refused.code == 65
    assert "/nowhere.ids" in refused.err


def test_decide_records_the_note(quantum: Quantum, coordinator: PlayedCoordinator) -> None:
    coordinator.put("t1", state=TaskState.NEEDS_DECISION)
    assert quantum("decide", "t1", "succeeded", "--note", "seen").out == "Task t1 (build) is succeeded.\n"
    assert coordinator.tasks["t1"].reason == "succeeded: seen"
    assert quantum("decide", "t1", "maybe").code == 2


def test_decide_takes_every_waiting_task_of_an_agent(quantum: Quantum, coordinator: PlayedCoordinator) -> None:
    for task_id in ("t1", "t2"):
        coordinator.put(task_id, state=TaskState.NEEDS_DECISION)
    coordinator.put("t3", state=TaskState.FAILED)
    assert quantum("decide", "failed", "--agent", "build", "--dry-run").out == "2 tasks would be decided about.\n"
    assert quantum("decide", "failed", "--agent", "build", "--json").document["decided"] == 2
    assert quantum("decide", "failed", "--agent", "build").out == "No task of build waits for a decision.\n"
    assert quantum("decide", "t1", "failed", "--agent", "build").code == 2
    assert quantum("decide", "failed").code == 2


def test_clearing_the_queue_names_the_undo(quantum: Quantum) -> None:
    assert quantum("queue", "clear", "--dry-run").out == "3 tasks would be cancelled.\n"
    assert quantum("queue", "clear").out == "3 tasks cancelled.\n  undo: quantum queue undo c1\n"
