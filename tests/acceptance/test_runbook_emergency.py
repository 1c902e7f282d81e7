"""The runbook's emergency lines, as typed, do no harm: no task lost, no ghost, no breaker opened."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import tests
from tests.acceptance.emergency import QUEUED, RUNNING, SINGLE, WHOLE_WITHIN_SECONDS
from tests.measured import measured
from tests.programs import missing, require

ROOT = Path(tests.__path__[0]).parent


def require_namespace() -> list[str]:
    """The command that begins a PID namespace of its own; skips the test where there can be none."""
    command = [require("unshare", "util-linux"), "--pid", "--fork", "--mount-proc", "--kill-child"]
    require("pkill", "procps")
    require("bash")
    tried = subprocess.run([*command, "true"], capture_output=True, text=True, timeout=90, check=False)
    if tried.returncode:
        missing(f"A PID namespace of its own needs root and a kernel that allows it: {tried.stderr.strip()}")
    return command


@pytest.mark.parametrize("within", measured(WHOLE_WITHIN_SECONDS))
def test_the_lines_lose_nothing_and_hold_nothing(tmp_path: Path, within: float) -> None:
    ran = subprocess.run(
        [*require_namespace(), sys.executable, "-m", "tests.acceptance.emergency", str(tmp_path)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr[-8000:]
    report = json.loads(ran.stdout.splitlines()[-1])
    print(json.dumps(report, indent=1, ensure_ascii=False))

    assert report["codes"] == {"agents": 0, "server": 1, "queue": 0, "status": 0}, "1: there is no mcp_server"
    assert report["services alive"]
    assert (report["lost"], report["ghosts"]) == (0, 0)
    assert report["tasks"] == {"succeeded": RUNNING + QUEUED - SINGLE, "needs_decision": SINGLE}
    assert report["begun"] == RUNNING + QUEUED + RUNNING - SINGLE, "those that may run again did, once"
    assert report["breakers"] == []
    assert report["stale results"] == 0
    assert all(after <= within for after in report["whole after seconds"].values())
    assert any("quantum queue clear" in said for said in report["said of the files"])
    assert any("quantum breaker reset" in said for said in report["said of the files"])
    assert any("quantum stop --all" in said for said in report["said of the killing"])
