"""Tasks of a legacy queue: every shape, what is left out and why, and no task twice."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from cli.adopting.importing import Ledger, import_tasks
from cli.adopting.legacy import Known, Left, LegacyTask, plan, read_queue
from clients.coordinator_values import AgentState, Effects, TaskSpec
from foundation.errors import Invalid, Unavailable
from tests.cli.conftest import Quantum
from tests.cli.fakes import PlayedAgent, PlayedCoordinator

KNOWN = Known(
    agents={"build": "agent_build", "agent_build": "agent_build", "scan": "scan"},
    again={"scan"},
    projects={"HabitQuest"},
)


def planned(document: object) -> tuple[list[LegacyTask], Left]:
    """What of a document is to be submitted."""
    return plan(read_queue(json.dumps(document).encode()), KNOWN)


@pytest.mark.parametrize(
    "shape",
    [
        lambda one, two: [one, two],
        lambda one, two: {"tasks": [one, two], "completed": [], "last_update": 1},
        lambda one, two: {"tasks": {"a": one, "b": two}},
        lambda one, two: {"a": one, "b": two},
        lambda one, two: {"queue": [one, two]},
    ],
)
def test_every_shape_gives_the_same_tasks(shape: Any) -> None:
    one = {
        "id": "a",
        "assigned_agent": "agent_build.sh",
        "status": "queued",
        "type": "debug",
        "priority": 8,
        "created": 1,
    }
    two = {"id": "b", "agent": "/old/agents/build.sh", "state": "pending", "params": {"x": 1}, "project": "HabitQuest"}
    tasks, left = planned(shape(one, two))
    assert [(task.id, task.agent, task.project, task.priority) for task in tasks] == [
        ("a", "agent_build", "", 8), ("b", "agent_build", "HabitQuest", None),
    ]  # fmt: skip
    assert [task.params for task in tasks] == [{"type": "debug", "legacy_id": "a"}, {"x": 1, "legacy_id": "b"}]
    assert not left.counts


@pytest.mark.parametrize(
    "named", ["agent_build", "build", "build_agent", "agent_build.sh", "/old/Build.sh", "build_agent.py"]
)
def test_an_agent_is_known_however_it_was_spelled(named: str) -> None:
    tasks, _ = planned([{"id": 1, "agent": named}])
    assert [task.agent for task in tasks] == ["agent_build"]


def test_everything_that_is_left_out_has_its_reason() -> None:
    entries: list[object] = [
        {"id": "1", "assigned_agent": "build", "status": "completed"},
        {"id": "2", "assigned_agent": "build", "status": "failed"},
        {"id": "3", "assigned_agent": "build", "status": "in_progress"},
        {"id": "4", "assigned_agent": "scan", "status": "in_progress"},
        {"id": "5", "assigned_agent": "", "status": "queued"},
        {"id": "6", "assigned_agent": "build", "status": "queued", "project": "Gone"},
        {"id": "7", "assigned_agent": "build", "status": "sideways"},
        {"id": "8", "assigned_agent": "build", "dependencies": ["1"]},
        {"id": "9", "assigned_agent": "build", "dependencies": ["2"]},
        {"id": "10", "assigned_agent": "build", "dependencies": ["8"]},
        {"id": "11", "assigned_agent": "build", "dependencies": ["12"]},
        {"id": "12", "assigned_agent": "build", "dependencies": ["11"]},
        {"id": "10", "assigned_agent": "scan"},
        {"id": "14", "assigned_agent": "build", "params": {"text": "x" * 300_000}},
        "nonsense",
    ]
    tasks, left = planned({"tasks": entries})
    assert [(task.id, task.needs) for task in tasks] == [("4", ()), ("8", ()), ("10", ("8",))]
    assert dict(left.counts) == {
        "ended already (completed)": 1,
        "ended already (failed)": 1,
        "was under way, and may have been done in part": 1,
        "for no agent": 1,
        "for a project that does not exist (Gone)": 1,
        "in a state that is not known (sideways)": 1,
        "waits for a task that is left out": 1,
        "waits for itself, or behind one that does": 2,
        "the same id twice": 1,
        "its params are larger than 200 KiB": 1,
        "no object": 1,
    }
    assert len(tasks) + left.counts.total() == len(entries), "every entry is accounted for"


@pytest.mark.parametrize("table", [False, True])
def test_of_a_file_that_is_cut_every_whole_entry_is_read(table: bool) -> None:
    entries = [{"id": f"t{number}", "assigned_agent": "build", "note": 'a "[{" b'} for number in range(50)]
    document = {"tasks": {entry["id"]: entry for entry in entries} if table else entries}
    text = json.dumps(document, indent=2).encode()
    whole = [text.index(f'"t{number}",'.encode()) for number in range(50)]
    for cut in range(len(text) // 3, len(text) - 10, 977):
        queue = read_queue(text[:cut])
        ended = [at for at in range(50) if at + 1 < 50 and whole[at + 1] < cut]
        assert len(queue.entries) in (len(ended), len(ended) + 1)
        assert [dict(entry)["id"] for _, entry in queue.entries if isinstance(entry, dict)] == [
            f"t{at}" for at in range(len(queue.entries))
        ]
        assert f"{len(queue.entries)} entries stand whole" in queue.damage


class Submits:
    """Accepts tasks under keys as the coordinator does, and fails when told to."""

    def __init__(self) -> None:
        self.accepted: dict[str, list[str]] = {}
        self.specs: list[TaskSpec] = []
        self.fails_before: int | None = None
        self.fails_after: int | None = None

    def __call__(self, specs: Sequence[TaskSpec], key: str) -> Sequence[str]:
        if self.fails_before == len(self.accepted):
            raise Unavailable("away", "It does not answer.")
        if key not in self.accepted:
            self.accepted[key] = [f"id{len(self.specs) + number}" for number in range(len(specs))]
            self.specs += specs
        if self.fails_after == len(self.accepted):
            raise Unavailable("away", "It does not answer.")
        return self.accepted[key]


def test_a_second_import_adds_nothing_whatever_was_cut_short(tmp_path: Path) -> None:
    entries = [
        {"id": f"t{n}", "assigned_agent": "build", "dependencies": [f"t{n - 1}"] if n % 700 == 0 and n else []}
        for n in range(1400)
    ]
    path, submits = tmp_path / "imported.jsonl", Submits()
    for before, after in ((1, None), (None, 2), (None, None), (None, None)):
        submits.fails_before, submits.fails_after = before, after
        tasks, left = planned(entries)
        try:
            done = import_tasks(tasks, Ledger.read(path), left, submits)
        except Unavailable:
            continue
    assert len(submits.specs) == 1400 and (done.submitted, done.earlier) == (0, 1400)
    [later] = [spec for spec in submits.specs if spec.params["legacy_id"] == "t700"]
    assert len(later.depends_on) == 1
    entries.append({"id": "new", "assigned_agent": "build"})
    tasks, left = planned(entries)
    assert import_tasks(tasks, Ledger.read(path), left, submits).submitted == 1
    path.unlink()
    submits.accepted.clear()
    import_tasks(tasks, Ledger.read(path), left, submits)
    assert len(submits.specs) == 1401 + 1401, "the control: without what is written down every task is there twice"


def test_no_number_and_no_text_breaks_the_reading_and_none_that_would_be_refused_is_sent() -> None:
    deep = '{"a":' * 500 + "1" + "}" * 500
    entries = [
        *(f'"priority": {value}' for value in ("1e999", "-1e999", "NaN", f'"{"9" * 5000}"', '"²"')),
        *(f'"params": {{"x": {value}}}' for value in ("NaN", "[Infinity]", '"\\ud800"', deep)),
        *('"depends_on": "0"', '"dependencies": 1', '"depends_on": [{"id": 0}]', '"depends_on": true'),
    ]
    text = ", ".join(f'{{"id": {number}, "agent": "build", {entry}}}' for number, entry in enumerate(entries))
    tasks, left = plan(read_queue(f"[{text}]".encode()), KNOWN)
    assert [(task.id, task.priority) for task in tasks[:5]] == [
        ("0", 9),
        ("1", 0),
        ("2", None),
        ("3", None),
        ("4", None),
    ]
    assert [(task.id, task.needs) for task in tasks[5:]] == [("9", ("0",)), ("10", ("1",))]
    assert dict(left.counts) == {
        "its params are no JSON": 3,
        "its params are nested too deeply": 1,
        "waits for something that is no id": 2,
    }


def test_a_batch_that_was_refused_is_not_taken_for_one_that_may_have_been_submitted(tmp_path: Path) -> None:
    def refuses(specs: Sequence[TaskSpec], key: str) -> Sequence[str]:
        raise Invalid("bad_params", "The params are not taken.")

    entries = [{"id": "a", "agent": "build"}, {"id": "bad", "agent": "build"}]
    path, submits = tmp_path / "imported.jsonl", Submits()
    tasks, left = planned(entries)
    with pytest.raises(Invalid):
        import_tasks(tasks, Ledger.read(path), left, refuses)
    tasks, left = planned(entries[:1])
    assert import_tasks(tasks, Ledger.read(path), left, submits).submitted == 1 and not left.counts


def test_what_a_queue_says_does_not_reach_the_terminal_as_it_is(
    quantum: Quantum, coordinator: PlayedCoordinator, folder: Path
) -> None:
    queue = folder / "old.json"
    queue.write_text(json.dumps([{"id": "a\ud800", "agent": "\x1b]0;gone\x07"}]))
    said = quantum("adopt", "--tasks", str(queue))
    assert said.code == 0 and "\x1b" not in said.out and "an agent that does not exist" in said.out


def test_sixty_thousand_tasks_for_nobody_are_counted_not_submitted() -> None:
    entries = [{"id": n, "assigned_agent": "ghost_agent", "status": "queued"} for n in range(60_000)]
    tasks, left = planned({"tasks": entries})
    assert tasks == [] and dict(left.counts) == {"for an agent that does not exist (ghost_agent)": 60_000}
    assert left.examples["for an agent that does not exist (ghost_agent)"] == ["0", "1", "2"]


def test_the_verb_says_it_all_and_submits_only_when_told_to(
    quantum: Quantum, coordinator: PlayedCoordinator, folder: Path
) -> None:
    coordinator.agents["build"] = PlayedAgent(name="build", effects=Effects.ONCE)
    coordinator.agents["watch"] = PlayedAgent(name="watch", kind="service", state=AgentState.RUNNING)
    queue = folder / "old.json"
    queue.write_text(
        json.dumps([{"id": "a", "agent": "build"}, {"id": "b", "agent": "watch"}, {"id": "c", "agent": "build"}])
    )
    dry = quantum("adopt", "--tasks", str(queue), "--json").document
    assert (dry["dry_run"], dry["tasks"]["to_submit"], coordinator.submitted) == (True, 2, [])
    assert dry["tasks"]["left_out"] == [
        {"reason": "for a service, which runs by itself (watch)", "count": 1, "examples": ["b"]}
    ]
    said = quantum("adopt", "--tasks", str(queue), "--apply")
    assert (said.code, len(coordinator.submitted)) == (0, 2)
    assert "2 tasks submitted, 0 submitted earlier, 1 left out." in said.out
    assert quantum("adopt", "--tasks", str(queue), "--apply", "--json").document["tasks"]["submitted_earlier"] == 2
    assert len(coordinator.submitted) == 2
    assert quantum("adopt", "--tasks", str(folder / "none.json")).code == 66
