"""Tasks per second in a sandbox, as another user and plainly, round by round beside xargs."""

from __future__ import annotations

import time
from collections.abc import Mapping

from benchmarks.system import PLAIN, SCRIPT, System, running
from benchmarks.throughput import AT_ONCE, plain_script, run_all, shell

_DECLARED = {
    "plain": "",
    "sandbox": '# sandbox = { network = "none" }\n',
    "run_as": '# run_as = "user"\n',
}


def measure(rounds: int, tasks: int) -> Mapping[str, list[float]]:
    """Interleave the contestants round by round and return their rates in tasks/s."""
    agents = {f"{name.replace('_', '-')}.sh": _script(line) for name, line in _DECLARED.items()}
    rates: dict[str, list[float]] = {name: [] for name in ("xargs", *_DECLARED)}
    with plain_script(PLAIN) as script, running(agents, max_concurrent_agents=str(AT_ONCE)) as system:
        # Made for us alone; the user that `run_as` means has to get through it.
        system.workspace.root.parent.chmod(0o755)
        for _ in range(rounds):
            for name, taken in rates.items():
                taken.append(_rate(system, name, f"seq {tasks} | xargs -P{AT_ONCE} -n1 {script} > /dev/null", tasks))
    return rates


def _rate(system: System, name: str, line: str, tasks: int) -> float:
    begun = time.perf_counter()
    if name == "xargs":
        shell(line)
    else:
        run_all(system, tasks, agent=name.replace("_", "-"))
    return tasks / (time.perf_counter() - begun)


def _script(line: str) -> str:
    return SCRIPT.replace("# [tool.quantum]\n", f"# [tool.quantum]\n{line}")
