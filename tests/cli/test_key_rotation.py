"""The databases' key is rotated to the end or can be, wherever the rotation is killed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from cli.keys.key_rotation import rotate_key
from foundation.errors import Conflict, NotFound
from foundation.secrets import FileStore
from foundation.workspace import Workspace, WorkspaceLock

ROOT = Path(__file__).parents[2]


def test_killed_at_each_step_both_databases_open_and_the_next_run_ends_it(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.cli.rotation_trial", str(tmp_path)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=250,
    )
    found = [json.loads(line) for line in done.stdout.splitlines()]
    kills = [one for one in found if one["killed"]]
    assert not found[-1]["killed"]
    assert all(None not in one["after"] for one in found)
    assert [one["end"] for one in found] == [["new", "new"]] * len(found)
    mixed = [one for one in kills if one["after"][:2] == ["new", "first"]]
    both = [one for one in kills if "two keys" in one["after"]]
    assert mixed and both, "no kill fell between the two databases"
    print(f"killed at {len(kills)} steps, {len(mixed)} of them between the two databases, {len(both)} with two keys")


def test_while_the_system_runs_it_is_refused(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    with WorkspaceLock(workspace.lock_file), pytest.raises(Conflict):
        rotate_key(workspace, FileStore(tmp_path / "s"), {}, show=print)


def test_without_databases_or_without_their_key_nothing_is_made(tmp_path: Path) -> None:
    workspace, store = Workspace(tmp_path), FileStore(tmp_path / "s")
    with pytest.raises(NotFound, match="There is no"):
        rotate_key(workspace, store, {}, show=print)
    for path in (workspace.coordinator_db, workspace.safety_db):
        path.touch()
    with pytest.raises(NotFound, match="key is not in"):
        rotate_key(workspace, store, {}, show=print)
    assert not (tmp_path / "s").exists()
