"""Restores and backups while something else goes on: services, agents, another backup, a restore that was cut short."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
from datetime import timedelta
from pathlib import Path

import pytest

from cli.__main__ import run
from cli.backups.finding import find
from cli.backups.restoring import rehearse, restore
from cli.processes.running import require_nothing_runs
from cli.session import Session
from foundation.errors import Conflict
from foundation.secrets import DATABASE_KEY, user_account
from foundation.workspace import WorkspaceLock
from tests.cli.test_restore_losses import CLOCK, NOW, OLD_KEY, Keychain, sealed, workspace_in


def typed(folder: Path, *words: str) -> int:
    """The exit code of one command."""
    environ = {"QUANTUM_KEYCHAIN": "file", "PATH": os.environ["PATH"]}
    return run(list(words), Session(environ=environ, cwd=folder))


@pytest.mark.parametrize("words", [("stop", "--all"), ("isolate",)])
def test_a_restore_that_cannot_be_ended_keeps_nobody_from_stopping_everything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    workspace = workspace_in(tmp_path / "ws")
    workspace.restore_journal.write_text("{ somebody was here")
    assert typed(workspace.root, "backup", "list") != 0, "what may wait does"
    assert not workspace.stop_file.exists()
    typed(workspace.root, *words)
    assert workspace.stop_file.exists()


def test_verify_says_so_when_there_is_nothing_to_verify(tmp_path: Path) -> None:
    workspace = workspace_in(tmp_path / "ws")
    assert typed(workspace.root, "backup", "verify") != 0
    assert typed(workspace.root, "backup", "verify", "latest") != 0


def test_nothing_is_pruned_while_a_backup_is_made_or_checked(tmp_path: Path) -> None:
    workspace = workspace_in(tmp_path / "ws")
    older, newer = sealed(workspace, NOW - timedelta(days=400)), sealed(workspace, NOW)
    with WorkspaceLock(workspace.state / "backups" / "lock"):
        assert typed(workspace.root, "backup", "prune") != 0
        assert older.exists()
    monthly_none = json.dumps({"backup_monthly": 0, "backup_weekly": 0, "backup_daily": 1})
    workspace.config_file.write_text(monthly_none)
    assert typed(workspace.root, "backup", "prune") == 0
    assert (older.exists(), newer.exists()) == (False, True)


def test_services_that_outlived_their_folder_keep_a_restore_from_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever removes `.quantum` while everything runs ends nothing, and they would write into what is put back."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    workspace = workspace_in(tmp_path / "ws")
    path = workspace.make_sockets() / "safety.sock"
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen()
        shutil.rmtree(workspace.state)
        with pytest.raises(Conflict, match="still runs"):
            require_nothing_runs(workspace)
    assert path.exists(), "what is left of one that has ended keeps nobody"
    require_nothing_runs(workspace)


def test_a_rehearsal_and_a_backup_do_not_take_away_each_other_s_scratch_folder(tmp_path: Path) -> None:
    workspace = workspace_in(tmp_path / "ws")
    sealed(workspace, NOW)
    source = find(workspace, "latest", workspace.root, {})
    with (
        WorkspaceLock(workspace.state / "backups" / "lock"),
        pytest.raises(Conflict, match="made or checked"),
    ):
        rehearse(workspace, Keychain(), {}, source, bytes.fromhex(OLD_KEY))


def test_a_second_backup_says_that_another_one_is_made(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    workspace = workspace_in(tmp_path / "ws")
    with WorkspaceLock(workspace.lock_file), WorkspaceLock(workspace.state / "backups" / "lock"):
        assert typed(workspace.root, "backup", "create") != 0
    assert "A backup is being made" in capsys.readouterr().err
    with WorkspaceLock(workspace.lock_file):
        assert typed(workspace.root, "backup", "create") != 0
    assert f"process {os.getpid()}" in capsys.readouterr().err, "whoever else holds it is named"


def test_a_leftover_of_an_agent_keeps_a_restore_from_beginning(tmp_path: Path) -> None:
    """It would go on beside the same task, which the restore lets run again."""
    workspace = workspace_in(tmp_path / "ws")
    sealed(workspace, NOW)
    secrets = Keychain({(DATABASE_KEY, user_account(workspace)): OLD_KEY})
    source = find(workspace, "latest", workspace.root, {})
    marked = {"QUANTUM_TASK_ID": "t", "QUANTUM_WORKSPACE": str(workspace.root), "PATH": os.environ["PATH"]}
    with subprocess.Popen(["sleep", "60"], env=marked) as left:
        try:
            with pytest.raises(Conflict, match=str(left.pid)):
                restore(workspace, secrets, {}, source, bytes.fromhex(OLD_KEY), clock=CLOCK)
        finally:
            left.kill()
