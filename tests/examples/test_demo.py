"""`make demo` as the README promises it: exit 0, the results of real agents on the screen, nothing left behind."""

from __future__ import annotations

import subprocess
import sys

import pytest

from examples.demo import TASKS
from tests.repository.tracked import ROOT


@pytest.mark.timeout(240)
def test_the_demo_succeeds_and_shows_results() -> None:
    if not (ROOT / ".venv" / ".ready").exists():
        pytest.skip("the demo runs this repository's own smoke test, which wants its .venv: make setup")
    ended = subprocess.run(
        [sys.executable, "-m", "examples.demo"], cwd=ROOT, capture_output=True, text=True, check=False, timeout=200
    )
    assert ended.returncode == 0, f"{ended.stdout}\n{ended.stderr}"
    recorded = ended.stdout.partition("What was recorded")[2].splitlines()
    for task in TASKS:
        assert [line for line in recorded if line.split()[:2] == [task["agent"], "succeeded"]], ended.stdout
    assert "files (first look)" in ended.stdout, "the summary of todo-scan is not on the screen"
