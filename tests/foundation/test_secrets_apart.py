"""Secrets read by another process are the same secrets, and its errors are our errors."""

from datetime import timedelta
from pathlib import Path

import pytest

from foundation.errors import Conflict
from foundation.secrets import open_secret_store
from foundation.secrets_apart import read_secrets_apart
from foundation.workspace import Workspace

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    monkeypatch.setenv("QUANTUM_KEYCHAIN", "file")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    made = Workspace(tmp_path)
    made.state.mkdir()
    open_secret_store(made, {"QUANTUM_KEYCHAIN": "file"}).set("service", "account", "ünder “quotes”")
    return made


def test_what_is_there_and_what_is_not(workspace: Workspace) -> None:
    wanted = [("service", "account"), ("service", "nobody")]
    where, secrets = read_secrets_apart(workspace, wanted, within=timedelta(0))
    assert secrets == ["ünder “quotes”", None]
    assert str(workspace.credentials) in where


def test_an_error_of_the_store_is_raised_here(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUANTUM_KEYCHAIN", "os")
    with pytest.raises(Conflict, match="QUANTUM_KEYCHAIN") as caught:
        read_secrets_apart(workspace, [("service", "account")], within=timedelta(0))
    assert caught.value.code == "other_keychain"
