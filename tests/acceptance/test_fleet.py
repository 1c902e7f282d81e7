"""Two runners of different labels: each task runs where it should, and a drained one gets nothing new."""

from __future__ import annotations

from typing import Any

from tests.acceptance.system import System

GPU = {"gpu": "yes"}


class Front:
    """The gateway, because each command of the command line takes a second where many tests run."""

    def __init__(self, system: System) -> None:
        self.system = system
        self.token = system.token

    def submit(self, *tasks: dict[str, Any]) -> list[str]:
        status, document = self.system.http("POST", "/tasks/queue", {"tasks": list(tasks)}, token=self.token)
        assert status == 201, document
        return [task["id"] for task in document["tasks"]]

    def get(self, path: str) -> Any:
        status, document = self.system.http("GET", path, token=self.token)
        assert status == 200, document
        return document

    def ended(self, *ids: str) -> list[Any]:
        def look(task_id: str) -> Any:
            task = self.get(f"/tasks/{task_id}")["task"]
            return task if task["finished_at"] else None

        return [self.system.until(lambda each=each: look(each), what=f"the end of {each}") for each in ids]  # type: ignore[misc]


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

    front = Front(workspace)

    # Where its labels are, by its agent and by the task itself; what nobody has waits and says so.
    [nowhere] = front.submit({"agent": "apple"})
    by_agent = front.submit(*[{"agent": "graphics"}] * 5)
    by_task = front.submit(*[{"agent": "any", "labels": {"runner": "local"}}] * 5)
    assert {task["runner"] for task in front.ended(*by_agent)} == {"local-2"}
    assert {task["runner"] for task in front.ended(*by_task)} == {"local"}
    why = workspace.ask("why", nowhere)
    assert (why["code"], why["sentence"]) == ("labels", "No attached runner has os=plan9.")

    # A drained one ends what runs and gets nothing new, also after a restart of everything.
    [running] = front.submit({"agent": "long", "labels": GPU})
    workspace.until(lambda: front.get(f"/tasks/{running}")["task"]["state"] == "running", what="the start")
    drained = workspace.ask("runner", "drain", "local-2", "--reason", "a new disk")
    assert (drained["changed"], drained["running"]) == (True, 1)
    [late] = front.submit({"agent": "graphics"})
    why = front.get(f"/tasks/{late}/why")
    assert why["code"] == "no_runner"
    assert "every attached runner with gpu=yes is draining" in why["sentence"]
    others = front.submit(*[{"agent": "any"}] * 10)
    assert {task["runner"] for task in front.ended(*others)} == {"local"}
    gate.touch()
    assert [task["state"] for task in front.ended(running)] == ["succeeded"]
    status = workspace.quantum("status").out
    assert "gets nothing new: Drained by user" in status
    assert "a new disk" in status
    workspace.quantum("down", code=0)
    workspace.up("--runners", "2", "--label", "local-2:gpu=yes")
    assert front.get(f"/tasks/{late}/why")["code"] == "no_runner"
    assert workspace.ask("runner", "resume", "local-2")["changed"]
    assert {task["runner"] for task in front.ended(late)} == {"local-2"}
    assert front.get(f"/tasks/{nowhere}/why")["code"] == "labels"
