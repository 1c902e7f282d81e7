"""Ten real agents flood their logs for a minute, and the runner is killed under them: the quota holds, and every line
that is kept is whole."""

from __future__ import annotations

import re
import signal
import sys

import pytest

from foundation.clock import SystemClock
from foundation.log_files import PARTIAL, files_of, open_log
from tests.acceptance.conftest import MakeSystem
from tests.acceptance.system import System
from tests.runner.test_logs_kept import LOOK_SECONDS_MAX, leftovers, packed, room_of

MB = 1 << 20
QUOTA = 100 * MB
AGENTS, RATE, SECONDS, KILLS = 10, 5 * MB, 60, 4
CLOCK = SystemClock()

FLOOD = """
import hashlib, os, sys, time
out, fence, number, begun = sys.stdout.buffer, os.environ["QUANTUM_FENCE"], 0, time.monotonic()
while True:
    due = int((time.monotonic() - begun) * {rate} / 200)
    lines = []
    while number < due:
        own = (hashlib.sha512(b"%d" % number).hexdigest() * 2)[:170]
        lines.append(b"%s-%010d %s\\n" % (fence.encode(), number, own.encode()))
        number += 1
    out.write(b"".join(lines))
    out.flush()
    time.sleep(0.02)
"""
_LINE = re.compile(r"\S+Z ([0-9a-z]{26}) (\d+)-(\d{10}) [0-9a-f]{170}")


def _faults(system: System, agent: str) -> tuple[int, int, list[str]]:
    """Lines kept of an agent, marks of lines that were left out, and what is wrong with them."""
    kept, marks, faults = 0, 0, []
    last: dict[str, tuple[int, int]] = {}
    for path in files_of(system.workspace.logs / f"agent_{agent}.log"):
        with open_log(path) as file:
            for line in file.read().decode().splitlines():
                found = _LINE.fullmatch(line)
                if found is None:
                    marks += "came too fast" in line
                    last.clear()  # what follows a gap that is said begins anew
                    if "came too fast" not in line:
                        faults.append(f"{path.name}: {line[:100]}")
                    continue
                task, at = found[1], (int(found[2]), int(found[3]))
                before = last.get(task)
                if before is not None and at != (before[0], before[1] + 1) and at[0] <= before[0]:
                    faults.append(f"{path.name}: {at} follows {before}")
                last[task] = at
                kept += 1
    return kept, marks, faults


@pytest.mark.long
@pytest.mark.timeout(400)
def test_ten_agents_flood_and_the_runner_is_killed(make_system: MakeSystem) -> None:
    system = make_system(
        logs_bytes_max=QUOTA, lease_seconds=2, heartbeat_seconds=0.5, max_concurrent_agents=AGENTS, timeout_seconds=600
    ).init()
    for number in range(AGENTS):
        path = system.workspace.agents / f"flood{number}.py"
        head = '# /// script\n# [tool.quantum]\n# effects = "none"\n# ///\n'
        path.write_text(f"#!{sys.executable}\n{head}{FLOOD.format(rate=RATE)}")
        path.chmod(0o755)
    system.up()
    for number in range(AGENTS):
        system.quantum("submit", f"flood{number}", code=0)
    begun, most, samples, killed, inside = CLOCK.boottime(), 0, 0, 0, 0
    while (passed := CLOCK.boottime() - begun) < SECONDS:
        before = CLOCK.boottime()
        room = room_of(system.workspace.logs)
        if CLOCK.boottime() - before < LOOK_SECONDS_MAX:
            most, samples = max(most, room), samples + 1
        if killed < KILLS and passed > (killed + 1) * SECONDS / (KILLS + 1):
            killed += 1
            inside += any(system.workspace.logs.glob(f".*{PARTIAL}"))
            system.running.processes["runner-local"].send(signal.SIGKILL)
    system.quantum("stop", "--all", code=0)
    system.quantum("down", code=0)
    checked = [_faults(system, f"flood{number}") for number in range(AGENTS)]
    count, broken = packed(system.workspace.logs)
    kept, marks = sum(lines for lines, _, _ in checked), sum(marks for _, marks, _ in checked)
    print(
        f"at most {most / MB:.1f} MB of {QUOTA / MB:.0f} in {samples} samples ({most / QUOTA:.1%}); the runner was"
        f" killed {killed} times, {inside} of them while it compressed; {kept} lines kept, {marks} gaps that are said,"
        f" {count} .gz"
    )
    assert most <= 1.05 * QUOTA and most > QUOTA / 2, "the quota was reached, and held"
    assert [faults for _, _, faults in checked if faults] == [] and broken == []
    assert leftovers(system.workspace.logs) == []
    assert killed == KILLS and kept
