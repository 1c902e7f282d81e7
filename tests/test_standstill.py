"""A test that fails is made again if the machine stood still meanwhile, and only then."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
STOPS = """
import os, pathlib, subprocess, pytest

NOTES = pathlib.Path(__file__).parent / "notes"

def begun(name):
    with NOTES.open("a") as file:
        file.write(name + " ")
    return NOTES.read_text().split().count(name)

def stand_still():
    subprocess.Popen(["sh", "-c", f"kill -STOP {os.getpid()}; sleep 1.4; kill -CONT {os.getpid()}"]).wait()

@pytest.fixture(scope="module")
def held():
    return begun("held")

def test_once(held):
    if begun("once") == 1:
        stand_still()
        assert held == 2, "a bound of its own"
    assert held == 2, "what it stands on is new as well"

def test_without():
    assert begun("without") == 2

def test_passes():
    begun("passes")
    stand_still()
"""


def test_it_is_made_again_with_new_fixtures_only_if_it_failed_and_the_machine_stood_still(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text("from tests.standstill import pytest_runtest_protocol\n")
    (tmp_path / "test_stops.py").write_text(STOPS)
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(tmp_path), str(tmp_path)],
        cwd=ROOT,
        env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert re.search(r"1 failed, 2 passed, 1 warning", ran.stdout), ran.stdout + ran.stderr
    assert "FAILED" in ran.stdout and "::test_without" in ran.stdout
    assert "made again: the machine stood still for 1." in ran.stdout and "a bound of its own" in ran.stdout
    assert (tmp_path / "notes").read_text().split() == ["held", "once", "held", "once", "without", "passes"]
