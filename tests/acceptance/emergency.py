"""The runbook's emergency lines against a whole system, in a PID namespace of its own; prints what came of it as JSON.

Run as `unshare --pid --fork --mount-proc --kill-child python -m tests.acceptance.emergency FOLDER`: `pkill` then sees
nothing but this.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from clients.coordinator_values import TaskSpec, TaskState
from tests.acceptance.deployment import Deployment, deployed, ended, tasks_of
from tests.waiting import Stopwatch, eventually

RUNNING, QUEUED, SINGLE = 5, 50, 2
WHOLE_WITHIN_SECONDS = 2.0
LINES = {
    "agents": r'pkill -f "agent_.*\.sh"',
    "server": "pkill -f mcp_server",
    "queue": "echo '[]' > task_queue.json",
    "status": "echo '{}' > agent_status.json",
}


def type_line(system: Deployment, line: str) -> int:
    """Type a line into a shell; it is read from there, so that no process but `pkill` itself carries it."""
    return subprocess.run(
        ["bash"], input=f"{line}\n".encode(), cwd=system.workspace.root, env=system.environ, check=False
    ).returncode


def document(path: Path) -> Mapping[str, Any] | None:
    """A file's JSON object; None while it is something else."""
    try:
        found = json.loads(path.read_bytes())
    except ValueError:
        return None
    return found if isinstance(found, dict) and "written_at" in found else None


async def main(folder: Path) -> dict[str, object]:
    settings = {"max_concurrent_agents": RUNNING, "infrastructure_retry_seconds": 0.2}
    async with deployed(folder, **settings) as system:
        root = system.workspace.root
        system.agent("agent_slow", system.runs.gate())
        system.agent("agent_single", system.runs.gate(), effects="once")
        await system.up("safety", "coordinator", "runner-local")
        pids = {name: service.pid for name, service in system.running.items()}
        async with system.coordinator() as client:
            await client.reload_agents()
            specs = [TaskSpec(agent="agent_single", priority=9)] * SINGLE
            specs += [TaskSpec(agent="agent_slow")] * (RUNNING - SINGLE + QUEUED)
            ids = {task.id for task in (await client.submit(specs)).tasks}
            await eventually(lambda: len(system.runs.alive()) == RUNNING, "five run")
            await eventually(lambda: _counts(root) == (QUEUED, RUNNING), "the export says so")

            first = {run.pid for run in system.runs.alive()}
            codes = {"agents": type_line(system, LINES["agents"])}
            await eventually(lambda: not first & {run.pid for run in system.runs.alive()}, "all five were killed")
            await eventually(lambda: len(system.runs.alive()) == RUNNING, "five others run")
            codes["server"] = type_line(system, LINES["server"])
            whole_after = {}
            for name, file in (("queue", "task_queue.json"), ("status", "agent_status.json")):
                codes[name] = type_line(system, LINES[name])
                watch = Stopwatch()
                await eventually(lambda: document(root / file), f"{file} is whole")  # noqa: B023
                whole_after[file] = round(watch.seconds, 2)
            alive = {name: service.child.poll() is None for name, service in system.running.items()}
            same = {name: service.pid for name, service in system.running.items()} == pids

            with system.runs.open_gate():
                counts = await ended(client, len(ids) - SINGLE)
            tasks = await tasks_of(client)
            deciding = [task for task in tasks.values() if task.state is TaskState.NEEDS_DECISION]
            await eventually(lambda: _counts(root) == (0, 0), "the export has followed")
        async with system.safety() as safety:
            breakers = [one.scope for one in await safety.list_breakers(not_closed=True)]
        stale = len(system.log_lines("stale_fence_refused"))
        restored = [json.loads(line)["message"] for line in system.log_lines("export_restored")]
        killed = [json.loads(line)["message"] for line in system.log_lines("killed_from_outside")]
    return {
        "codes": codes,
        "services alive": all(alive.values()) and same,
        "tasks": {str(state): number for state, number in counts.items()},
        "lost": len(ids - set(tasks)),
        "ghosts": len(set(tasks) - ids),
        "begun": len(system.runs.all()),
        "why undecided": sorted({task.reason for task in deciding}),
        "whole after seconds": whole_after,
        "breakers": breakers,
        "stale results": stale,
        "said of the files": restored,
        "said of the killing": killed,
    }


def _counts(root: Path) -> tuple[int, int] | None:
    found = document(root / "task_queue.json")
    return (found["counts"]["queued"], found["counts"]["running"]) if found else None


if __name__ == "__main__":
    print(json.dumps(asyncio.run(main(Path(sys.argv[1])))))
    sys.stdout.flush()
    os._exit(0)  # as the namespace's first process: nothing that was left to it is waited for
