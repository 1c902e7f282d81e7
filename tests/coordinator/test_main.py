"""The coordinator as a process: it starts in any order, never makes a key, and ends when told."""

import asyncio
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from clients.health import is_serving
from foundation.ids import random_bytes
from foundation.secrets import DATABASE_KEY, SERVICE_TOKEN, open_secret_store, service_account, user_account
from foundation.tokens import mint
from foundation.workspace import Workspace
from tests.waiting import PATIENCE_SECONDS, eventually

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def environ(monkeypatch: pytest.MonkeyPatch) -> Iterator[Mapping[str, str]]:
    """A short folder for sockets, and secrets in files."""
    with tempfile.TemporaryDirectory(dir="/tmp") as sockets:
        monkeypatch.setenv("XDG_RUNTIME_DIR", sockets)
        monkeypatch.setenv("QUANTUM_KEYCHAIN", "file")
        monkeypatch.setenv("PYTHONPATH", str(ROOT))
        yield os.environ


@pytest.fixture
def workspace(tmp_path: Path, environ: Mapping[str, str]) -> Workspace:
    """A workspace with secrets and without databases."""
    made = Workspace(tmp_path)
    for folder in (made.state, made.agents, made.logs, made.config_file.parent):
        folder.mkdir()
    made.config_file.write_text("{}")
    secrets = open_secret_store(made, environ)
    secrets.set(DATABASE_KEY, user_account(made), "ab" * 32)
    secrets.set(SERVICE_TOKEN, service_account(made, "coordinator"), mint(random_bytes).text)
    return made


def command(workspace: Workspace, *verb: str) -> list[str]:
    return [sys.executable, "-m", "services.coordinator", *verb, "--workspace", str(workspace.root)]


def run(workspace: Workspace, *verb: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(workspace, *verb), capture_output=True, text=True, timeout=60, check=False)


def test_without_a_database_it_ends_with_the_line_to_type(workspace: Workspace) -> None:
    ended = run(workspace)
    assert ended.returncode == 78
    assert "`quantum init`" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert not workspace.coordinator_db.exists()


def test_with_a_database_and_no_key_it_makes_none(workspace: Workspace, environ: Mapping[str, str]) -> None:
    assert run(workspace, "provision").returncode == 0
    secrets = open_secret_store(workspace, environ)
    secrets.delete(DATABASE_KEY, user_account(workspace))
    ended = run(workspace)
    assert ended.returncode == 78
    assert "quantum init" in ended.stderr
    assert secrets.get(DATABASE_KEY, user_account(workspace)) is None


def test_another_key_does_not_open_the_database(workspace: Workspace, environ: Mapping[str, str]) -> None:
    assert run(workspace, "provision").returncode == 0
    assert run(workspace, "provision").returncode == 0
    before = workspace.coordinator_db.read_bytes()
    open_secret_store(workspace, environ).set(DATABASE_KEY, user_account(workspace), "cd" * 32)
    ended = run(workspace)
    assert ended.returncode == 78
    assert "Traceback" not in ended.stderr
    assert workspace.coordinator_db.read_bytes() == before


async def test_it_serves_without_safety_and_ends_when_told(workspace: Workspace) -> None:
    assert (await asyncio.to_thread(run, workspace, "provision")).returncode == 0
    process = await asyncio.create_subprocess_exec(*command(workspace), stderr=subprocess.PIPE)
    try:
        await eventually(lambda: is_serving(workspace.socket("coordinator")), "the coordinator serves")
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(PATIENCE_SECONDS):
            _, said = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    assert process.returncode == 0, said
    assert not workspace.socket("coordinator").exists()
