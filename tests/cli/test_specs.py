"""What is to be run, from options and from JSON; every fault is named by its place."""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta

import pytest

from cli.tasks.specs import read_specs
from foundation.errors import Invalid
from tests.cli.conftest import Quantum
from tests.cli.fakes import PlayedCoordinator


def test_one_task_a_list_or_an_object_of_tasks() -> None:
    assert [spec.agent for spec in read_specs('{"agent": "a"}')] == ["a"]
    assert [spec.agent for spec in read_specs('[{"agent": "a"}, {"agent": "b"}]')] == ["a", "b"]
    assert [spec.agent for spec in read_specs('{"tasks": [{"agent": "a"}]}')] == ["a"]


def test_every_field_is_read() -> None:
    (spec,) = read_specs(
        """{"agent": "build", "params": {"configuration": "release"}, "project": "HabitQuest", "priority": 7,
        "not_before": "2026-12-01T06:00:00Z", "depends_on": ["#a"], "ref": "b", "timeout": "5m", "retries": 2,
        "labels": {"os": "mac"}}"""
    )
    assert spec.timeout == timedelta(minutes=5)
    assert spec.not_before == datetime(2026, 12, 1, 6, tzinfo=UTC)
    assert (spec.params, spec.project, spec.priority) == ({"configuration": "release"}, "HabitQuest", 7)
    assert (spec.depends_on, spec.ref, spec.retries, spec.labels) == (("#a",), "b", 2, {"os": "mac"})


@pytest.mark.parametrize(
    ("text", "places"),
    [
        ("{", []),
        ("[]", []),
        ("[7]", ["tasks[0]"]),
        ('[{"agent": "a"}, {"agent": "b", "timeot": "5m"}]', ["tasks[1].timeot"]),
        ('{"agent": "a", "timeout": "soon", "priority": "9"}', ["tasks[0].timeout", "tasks[0].priority"]),
        ('{"agent": "a", "params": []}', ["tasks[0].params"]),
        ('{"agent": "a", "not_before": "2026-12-01"}', ["tasks[0].not_before"]),
        ('{"params": {}}', ["tasks[0].agent"]),
    ],
)
def test_faults_are_named_by_their_place(text: str, places: list[str]) -> None:
    with pytest.raises(Invalid) as refused:
        read_specs(text)
    assert [fault.path for fault in refused.value.fields] == places


def test_options_become_one_task(quantum: Quantum, coordinator: PlayedCoordinator) -> None:
    done = quantum(
        *("submit", "build", "--project", "HabitQuest", "--params", '{"a": 1}', "--param", "b=x=y"),
        *("--priority", "9", "--timeout", "90", "--retries", "2", "--label", "os=mac", "--after", "t0"),
    )
    assert done.code == 0, done.err
    (spec,) = coordinator.submitted
    assert spec.params == {"a": 1, "b": "x=y"}
    assert (spec.project, spec.priority, spec.retries) == ("HabitQuest", 9, 2)
    assert (spec.timeout, spec.labels, spec.depends_on) == (timedelta(seconds=90), {"os": "mac"}, ("t0",))


def test_each_invocation_has_a_key_of_its_own(quantum: Quantum, coordinator: PlayedCoordinator) -> None:
    for _ in range(3):
        quantum("submit", "build")
    assert len(set(coordinator.keys)) == 3
    assert all(len(key) == 32 for key in coordinator.keys)


@pytest.mark.parametrize("spelling", [["build"], ["--agent", "build"], ["--task", "build"]])
def test_the_agent_may_be_named_as_the_runbook_does(
    quantum: Quantum, coordinator: PlayedCoordinator, spelling: list[str]
) -> None:
    assert quantum("submit", *spelling).out == "new-0\n"
    assert coordinator.submitted[0].agent == "build"


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["submit"], 2),
        (["submit", "a", "--task", "b"], 2),
        (["submit", "a", "--priority", "10"], 2),
        (["submit", "a", "--timeout", "soon"], 2),
        (["submit", "a", "--param", "novalue"], 2),
        (["submit", "a", "--params", "[1]"], 65),
        (["submit", "a", "--params", "{"], 65),
    ],
)
def test_bad_input_is_refused_and_nothing_is_submitted(
    quantum: Quantum, coordinator: PlayedCoordinator, words: list[str], code: int
) -> None:
    assert quantum(*words).code == code
    assert coordinator.submitted == []


def test_many_come_by_standard_input(
    quantum: Quantum, coordinator: PlayedCoordinator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO('[{"agent": "a"}, {"agent": "b"}]'))
    assert quantum("submit", "-").out == "new-0\nnew-1\n"
    assert [spec.agent for spec in coordinator.submitted] == ["a", "b"]
