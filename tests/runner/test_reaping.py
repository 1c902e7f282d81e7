"""kill -9 of runner, warden or both: the next runner ends what is left before it registers, and touches nobody else.

In a PID namespace of its own, where pids can be given away on purpose.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.runner.support import ROOT

# Orphans of whatever is killed go to the namespace's first process, which has to reap them: a shell that waits does.
_ALONE = ("unshare", "--pid", "--fork", "--mount-proc", "--kill-child", "sh", "-c", '"$@" & wait $!', "sh")


@pytest.mark.parametrize(
    "rounds", [pytest.param(3), pytest.param(100, marks=[pytest.mark.long, pytest.mark.timeout(1800)])]
)
def test_what_a_predecessor_left_is_ended_and_nobody_else_is_touched(tmp_path: Path, rounds: int) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can make a PID namespace in which pids can be chosen")
    done = subprocess.run(
        [*_ALONE, sys.executable, "-m", "tests.runner.reaping_trial", str(rounds), str(tmp_path / "ws")],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=60 + 15 * rounds,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    tally = json.loads(done.stdout.splitlines()[-1])
    print(tally)
    assert tally["rounds"] == rounds and tally["tasks"] == 10 * rounds
    assert tally["left_by_the_dead"] >= 10 * rounds, "there was something to reap"
    assert tally["reused_pids"] >= 3 * rounds, "pids were reused"
    assert tally["alive_at_hello"] == 0, "it registers no earlier"
    if rounds >= 100:
        # The short form runs beside other tests, where starting a runner alone may take as long.
        assert tally["survivors"] == 0, "5 s after the next start"
    assert tally["bystanders_hurt"] == 0
