"""Two runners of different labels: each task runs where it should, and a drained one gets nothing new."""

from __future__ import annotations

from typing import Any

from tests.acceptance.system import System

GPU = ("--label", "gpu=yes")


def _ended(system: System, task_id: str) -> Any:
    def look() -> Any:
        task = system.task(task_id)
        return task if task["finished_at"] else None

    return system.until(look, what=f"the end of {task_id}")


def _submit(system: System, *words: str) -> str:
    return str(system.ask("submit", *words)["tasks"][0]["id"])


def test_labels_say_where_a_drain_says_where_not_and_why_says_it(workspace: System) -> None:
    gate = workspace.folder / "gate"
    workspace.agent("any", ":", 'effects = "idempotent"')
    workspace.agent("long", f"while ! test -e {gate}; do sleep 0.02; done", 'effects = "idempotent"')
    workspace.agent("graphics", ":", 'labels = { gpu = "yes" }', 'effects = "idempotent"')
    workspace.agent("apple", ":", 'labels = { os = "plan9" }', 'effects = "idempotent"')
    workspace.up("--runners", "2", "--label", "local-2:gpu=yes", "--label", "site=here")
    listed = {runner["name"]: runner for runner in workspace.ask("runner", "list")["runners"]}
    assert listed["local"]["labels"] | {"gpu": "yes", "runner": "local-2"} == listed["local-2"]["labels"]
    assert listed["local"]["labels"]["site"] == "here"
    assert listed["local"]["memory_bytes"] > 1 << 28
    assert listed["local"]["services_max"] == 100

    # Where its labels are, by its agent and by the task itself; what nobody has waits and says so.
    nowhere = _submit(workspace, "apple")
    by_agent = [_submit(workspace, "graphics") for _ in range(5)]
    by_task = [_submit(workspace, "any", "--label", "runner=local") for _ in range(5)]
    assert {_ended(workspace, each)["runner"] for each in by_agent} == {"local-2"}
    assert {_ended(workspace, each)["runner"] for each in by_task} == {"local"}
    why = workspace.ask("why", nowhere)
    assert (why["code"], why["sentence"]) == ("labels", "No attached runner has os=plan9.")

    # A drained one ends what runs and gets nothing new, also after a restart of everything.
    running = _submit(workspace, "long", *GPU)
    workspace.until(lambda: workspace.task(running)["state"] == "running", what="the start")
    drained = workspace.ask("runner", "drain", "local-2", "--reason", "a new disk")
    assert (drained["changed"], drained["running"]) == (True, 1)
    late = _submit(workspace, "graphics")
    why = workspace.ask("why", late)
    assert why["code"] == "no_runner"
    assert "every attached runner with gpu=yes is draining" in why["sentence"]
    others = [_submit(workspace, "any") for _ in range(10)]
    assert {_ended(workspace, each)["runner"] for each in others} == {"local"}
    gate.touch()
    assert _ended(workspace, running)["state"] == "succeeded"
    status = workspace.quantum("status").out
    assert "gets nothing new: Drained by user" in status
    assert "a new disk" in status
    workspace.quantum("down", code=0)
    workspace.up("--runners", "2", "--label", "local-2:gpu=yes")
    assert workspace.ask("why", late)["code"] == "no_runner"
    assert workspace.ask("runner", "resume", "local-2")["changed"]
    assert _ended(workspace, late)["runner"] == "local-2"
    assert workspace.ask("why", nowhere)["code"] == "labels"
