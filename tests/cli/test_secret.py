"""`quantum secret`: from standard input into the keychain, never shown, never on the command line."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from foundation.agent_secrets import LENGTH_MIN
from foundation.secret_acts import SecretActs
from foundation.secrets import AGENT_SECRET, open_secret_store, service_account
from foundation.workspace import Workspace
from tests.cli.conftest import Quantum

SECRET = "sk-canary-4711-secret"


@pytest.fixture(autouse=True)
def _files(folder: Path) -> None:
    Workspace(folder).keychain_record.write_text("file\n")


def _give(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(text))


def _kept(folder: Path, name: str) -> str | None:
    workspace = Workspace(folder)
    store = open_secret_store(workspace, {})
    return store.get(AGENT_SECRET, service_account(workspace, name))


@pytest.mark.parametrize("given", [SECRET, f"{SECRET}\n", f"{SECRET}\r\n"])
def test_it_is_read_from_standard_input(
    quantum: Quantum, folder: Path, monkeypatch: pytest.MonkeyPatch, given: str
) -> None:
    _give(monkeypatch, given)
    done = quantum("secret", "set", "openai")
    assert done.code == 0 and SECRET not in done.out + done.err
    assert _kept(folder, "openai") == SECRET
    assert SECRET.encode() not in b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


def test_a_secret_of_several_lines_stays_whole(quantum: Quantum, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _give(monkeypatch, "first line\nsecond\n\n")
    assert quantum("secret", "set", "pem").code == 0
    assert _kept(folder, "pem") == "first line\nsecond\n"


def test_names_are_listed_and_secrets_are_not(quantum: Quantum, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "No secret is stored" in quantum("secret", "list").out
    for name in ("openai", "chat"):
        _give(monkeypatch, SECRET)
        assert quantum("secret", "set", name, "--json").document["new"]
    _give(monkeypatch, SECRET)
    assert not quantum("secret", "set", "chat", "--json").document["new"]
    workspace = Workspace(folder)
    store = open_secret_store(workspace, {})
    store.delete(AGENT_SECRET, service_account(workspace, "openai"))
    listed = quantum("secret", "list", "--json")
    assert listed.document == {"secrets": [{"name": "chat", "present": True}, {"name": "openai", "present": False}]}
    assert SECRET not in listed.out + quantum("secret", "list").out


def test_one_is_removed(quantum: Quantum, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _give(monkeypatch, SECRET)
    quantum("secret", "set", "openai")
    assert "would be removed" in quantum("secret", "remove", "openai", "--dry-run").out
    assert _kept(folder, "openai") == SECRET
    assert "quantum secret set openai" in quantum("secret", "remove", "openai").out
    assert _kept(folder, "openai") is None and quantum("secret", "list", "--json").document == {"secrets": []}
    assert quantum("secret", "remove", "openai").code == 66


def test_what_cannot_be_kept_is_refused(quantum: Quantum, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, text in (
        ("Open AI", SECRET),
        ("../x", SECRET),
        ("short", "x" * (LENGTH_MIN - 1)),
        ("zero", "abcd\0efgh"),
    ):
        _give(monkeypatch, text)
        done = quantum("secret", "set", name)
        assert done.code == 65 and text not in done.err
    assert quantum("secret", "list", "--json").document == {"secrets": []}


def test_each_act_leaves_a_note_for_the_audit_log_before_it_is_done(
    quantum: Quantum, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    acts = SecretActs(Workspace(folder).secret_acts)
    _give(monkeypatch, SECRET)
    quantum("secret", "set", "openai")
    quantum("secret", "remove", "openai", "--dry-run")
    quantum("secret", "remove", "openai")
    quantum("secret", "remove", "openai")
    _give(monkeypatch, "x")
    quantum("secret", "set", "short")
    noted, _ = acts.waiting(10)
    assert sorted((one.act, one.name) for one in noted) == [("secret_remove", "openai"), ("secret_set", "openai")]
    acts.forget(one.id for one in noted)
    monkeypatch.setattr(SecretActs, "note", _no_room)
    _give(monkeypatch, SECRET)
    assert quantum("secret", "set", "openai").code != 0 and _kept(folder, "openai") is None


def _no_room(*_: object, **__: object) -> None:
    raise OSError(28, "No space left on device")


def test_a_runner_that_joined_has_no_log_to_note_for(
    quantum: Quantum, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Workspace(folder).joined.write_text("{}")
    _give(monkeypatch, SECRET)
    assert quantum("secret", "set", "openai").code == 0
    assert not Workspace(folder).secret_acts.exists()


def test_the_command_line_takes_no_secret(quantum: Quantum) -> None:
    assert quantum("secret", "set", "openai", SECRET).code == 2
