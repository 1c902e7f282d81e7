"""A folder of somebody's scripts becomes agents that run, in place and from elsewhere, and goes back to what it was."""

from __future__ import annotations

import json
from pathlib import Path

from tests.acceptance.conftest import MakeSystem
from tests.acceptance.system import System
from tests.cli.test_adopt_journal import tree

GREETER = """\
        #!/usr/bin/env bash
# Greets whoever asks
set -euo pipefail
LOG=/Users/ann/Desktop/greet.log
cp /dev/null "$QUANTUM_WORKDIR/greeted"
echo "hello from $(basename "$0") in agent ${QUANTUM_AGENT}"
"""
WATCHER = """\
#!/bin/bash
# Looks at things for ever
echo up
while true; do
  sleep 1
done
"""


def test_adopted_scripts_run_in_place_and_from_elsewhere_and_come_off_again(make_system: MakeSystem) -> None:
    system = make_system().init()
    inside, elsewhere = system.workspace.agents, system.folder / "old scripts"
    elsewhere.mkdir()
    for path, text in (
        (inside / "agent_greet.sh", GREETER),
        (elsewhere / "Far Away.sh", GREETER),
        (elsewhere / "watcher.sh", WATCHER),
    ):
        path.write_text(text)
        path.chmod(0o755)
    before = (tree(inside), tree(elsewhere))
    dry = system.ask("adopt", str(elsewhere))
    assert (dry["dry_run"], dry["applied"], tree(inside)) == (True, None, before[0])
    [far, watcher] = dry["scripts"]
    assert (far["name"], far["place"], watcher["manifest"]["kind"]) == ("far-away", "file", "service")
    assert {defect["code"] for defect in far["defects"]} == {"shebang-late", "home-path", "name-illegal"}

    first, second = system.ask("adopt", "agents", "--apply"), system.ask("adopt", str(elsewhere), "--apply")
    assert tree(elsewhere) == before[1], "what lies elsewhere is not touched"
    system.up()
    assert "hello from agent_greet.sh in agent agent_greet" in system.quantum("run", "greet", code=0).out
    assert "in agent far-away" in system.quantum("run", "far-away", code=0).out
    assert system.until(lambda: "running" in _state_of(system, "watcher"), what="the service")

    queue = system.folder / "task_queue.json"
    queue.write_text(json.dumps({"tasks": [
        {"id": "a", "assigned_agent": "agent_greet.sh", "status": "queued", "type": "greet", "dependencies": ["b"]},
        {"id": "b", "assigned_agent": "far-away", "status": "pending"},
        {"id": "c", "assigned_agent": "ghost", "status": "queued"},
        {"id": "d", "assigned_agent": "greet", "status": "in_progress"},
    ]}))  # fmt: skip
    imported = [system.ask("adopt", "--tasks", str(queue), "--apply")["tasks"] for _ in range(2)]
    assert [(one["submitted"], one["submitted_earlier"]) for one in imported] == [(2, 0), (0, 2)]
    assert {one["reason"] for one in imported[0]["left_out"]} == {
        "for an agent that does not exist (ghost)",
        "was under way, and may have been done in part",
    }
    done = system.until(lambda: _ended(system.http("GET", "/tasks/queue")[1]["tasks"]), what="the imported tasks")
    assert [task["state"] for task in done] == ["succeeded", "succeeded"]

    system.quantum("down", code=0)
    for applied in (second, first):
        system.quantum("adopt", "--undo", applied["applied"], code=0)
    assert (tree(inside), tree(elsewhere)) == before
    assert Path(system.workspace.state / "adopt").stat().st_mode & 0o777 == 0o700


def _state_of(system: System, name: str) -> list[str]:
    """The state of an agent; nothing while it is not listed."""
    agents = system.http("GET", "/agents/status")[1]["agents"]
    return [one["state"] for one in agents if one["name"] == name]


def _ended(tasks: list[dict[str, object]]) -> list[dict[str, object]]:
    """The imported ones, once both have ended."""
    imported = [task for task in tasks if "legacy_id" in str(task["params"])]
    return imported if len(imported) == 2 and all(task["finished_at"] for task in imported) else []
