"""A restore that is killed leaves the old state or the new one, never one between, whoever comes next."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from cli.workspace.settling import Journal, commit, settle
from foundation.errors import Conflict
from foundation.settled import require_settled
from foundation.workspace import Workspace, WorkspaceLock

ROOT = Path(__file__).parents[2]


def trial(folder: Path, stride: int, *words: str) -> list[dict[str, Any]]:
    """The lines of the trial."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.cli.restore_trial", str(folder), str(stride), *words],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=250,
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


def look(folder: Path, stride: int) -> int:
    """Kill at every so-many-th step; how many kills fell into the middle of it."""
    found = trial(folder, stride)
    kills = [one for one in found if one["killed"]]
    states = Counter(one["state"] for one in kills)
    assert not found[-1]["killed"] and found[-1]["state"] == "new"
    assert set(states) == {"old", "new"}
    mid = [one for one in kills if one["begun"]]
    assert {one["state"] for one in mid} == {"new"}
    assert all(one["left"] == [] for one in found)
    print(f"killed at {len(kills)} steps, {len(mid)} of them in the middle: {dict(states)}, none between")
    return len(mid)


def test_killed_at_every_ninth_step_it_is_the_old_state_or_the_new_one(tmp_path: Path) -> None:
    assert look(tmp_path, 9) >= 5


@pytest.mark.long
def test_killed_at_each_step_it_is_the_old_state_or_the_new_one(tmp_path: Path) -> None:
    assert look(tmp_path, 1) >= 50


def test_without_the_journal_some_are_between(tmp_path: Path) -> None:
    """The control: the same steps, and nobody who brings them to their end."""
    states = Counter(one["state"] for one in trial(tmp_path, 11, "without-journal") if one["killed"])
    assert states["between"] >= 2
    print(f"without the journal: {dict(states)}")


def test_no_service_opens_a_database_until_it_is_done(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    workspace.state.mkdir()
    require_settled(workspace)
    commit(workspace, Journal(staging="restoring-x", before="before-restore-x", new=[], old=[]))
    with pytest.raises(Conflict, match="cut short"):
        require_settled(workspace)
    for service in ("coordinator", "safety"):
        done = subprocess.run(
            [sys.executable, "-m", f"services.{service}", "serve", "--workspace", str(tmp_path)],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.returncode != 0 and "cut short" in done.stderr


def test_while_one_goes_on_another_command_waits_for_nothing(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    workspace.state.mkdir()
    assert not settle(workspace, {"QUANTUM_KEYCHAIN": "file"})
    commit(workspace, Journal(staging="restoring-x", before="before-restore-x", new=[], old=[]))
    with WorkspaceLock(workspace.lock_file), pytest.raises(Conflict, match="just now"):
        settle(workspace, {"QUANTUM_KEYCHAIN": "file"})
    assert settle(workspace, {"QUANTUM_KEYCHAIN": "file"})
    assert not workspace.restore_journal.exists()
