"""Tasks per second, from the first submit to the last recorded end, beside xargs and GNU parallel."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from benchmarks.system import PLAIN, SCRIPT, System, running
from clients.coordinator_values import TaskSpec, TaskState

AT_ONCE = 10
BATCH = 100
# Looking costs the machine something, so the fewer tasks are left, the sooner the next look: each time after about a
# quarter of what they need, and never later than this after the end.
SECONDS_PER_TASK_LEFT = 0.000_25
LOOK_SECONDS = 0.005


def measure(rounds: int, tasks: int) -> Mapping[str, list[float]]:
    """Interleave the contestants round by round and return their rates in tasks/s."""
    with plain_script(PLAIN) as script, running({"noop.sh": SCRIPT}, max_concurrent_agents=str(AT_ONCE)) as system:
        contestants: dict[str, Callable[[], None]] = {
            "quantum": lambda: run_all(system, tasks),
            "xargs": lambda: shell(f"seq {tasks} | xargs -P{AT_ONCE} -n1 {script} > /dev/null"),
        }
        if shutil.which("parallel"):
            contestants["parallel"] = lambda: shell(
                f"seq {tasks} | parallel --will-cite -j{AT_ONCE} {script} > /dev/null"
            )
        run_all(system, tasks)  # warm: imports, statement caches, slot files
        rates: dict[str, list[float]] = {name: [] for name in contestants}
        for _ in range(rounds):
            for name, contest in contestants.items():
                begun = time.perf_counter()
                contest()
                rates[name].append(tasks / (time.perf_counter() - begun))
        return rates


@contextmanager
def plain_script(text: str) -> Iterator[Path]:
    """An executable script that others than Quantum can run."""
    with tempfile.TemporaryDirectory(prefix="qb-") as folder:
        script = Path(folder, "noop.sh")
        script.write_text(text)
        script.chmod(0o755)
        yield script


def run_all(system: System, tasks: int, agent: str = "noop") -> None:
    """Submit so many tasks in batches and wait until every one of them has succeeded."""
    before = _succeeded(system)
    for at in range(0, tasks, BATCH):
        system.call(system.coordinator.submit([TaskSpec(agent=agent)] * min(BATCH, tasks - at)))
    while (done := _succeeded(system) - before) < tasks:
        time.sleep(LOOK_SECONDS + (tasks - done) * SECONDS_PER_TASK_LEFT)
    assert done == tasks, f"{done} ended, {tasks} were submitted"


def _succeeded(system: System) -> int:
    return system.call(system.coordinator.queue_stats()).counts[TaskState.SUCCEEDED]


def shell(line: str) -> None:
    """Run a line of shell; raises when it fails."""
    subprocess.run(["sh", "-c", line], check=True)
