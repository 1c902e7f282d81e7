"""Where secrets are kept: one behaviour, whichever store was picked."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from keyring.backend import KeyringBackend
from keyring.errors import KeyringLocked, PasswordDeleteError

from foundation import secrets
from foundation.clock import ManualClock
from foundation.errors import Conflict, Denied, Internal, Invalid, Unavailable
from foundation.secrets import (
    FileStore,
    KeyringStore,
    SecretStore,
    open_secret_store,
    service_account,
    user_account,
    wait_for_secret,
)
from foundation.workspace import Workspace
from tests import programs


class MemoryKeyring(KeyringBackend):
    """A keychain that forgets everything at its end."""

    priority = 1

    def __init__(self) -> None:
        self.kept: dict[tuple[str, str], str] = {}

    def get_password(self, service: str, username: str) -> str | None:
        return self.kept.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self.kept[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        if (service, username) not in self.kept:
            raise PasswordDeleteError("no such password")
        del self.kept[service, username]


class LockedKeyring(MemoryKeyring):
    """A keychain whose owner said no."""

    def get_password(self, service: str, username: str) -> str | None:
        raise KeyringLocked("dismissed")


def make_workspace(root: Path) -> Workspace:
    (root / ".quantum").mkdir(mode=0o700)
    return Workspace(root)


def keyring_store(folder: Path) -> SecretStore:
    return KeyringStore(MemoryKeyring(), "memory")


@pytest.mark.parametrize("make", [FileStore, keyring_store])
def test_what_every_store_does(tmp_path: Path, make: Callable[[Path], SecretStore]) -> None:
    store = make(tmp_path / "store")
    assert store.get("quantum-auth", "/w") is None
    store.delete("quantum-auth", "/w")  # nothing there: nothing happens
    store.set("quantum-auth", "/w", "first")
    store.set("quantum-auth", "/w", "second ✓")
    store.set("quantum-auth", "/w#x", "other")
    store.set("quantum-key", "/w", "")
    assert store.get("quantum-auth", "/w") == "second ✓"
    assert store.get("quantum-auth", "/w#x") == "other"
    assert store.get("quantum-key", "/w") == ""
    store.delete("quantum-auth", "/w")
    assert store.get("quantum-auth", "/w") is None
    assert store.get("quantum-auth", "/w#x") == "other"
    assert store.describe


def test_a_locked_keychain_is_unavailable_and_says_so() -> None:
    dismissed = KeyringStore(LockedKeyring(), "Test Keychain")
    with pytest.raises(Unavailable, match=r"Test Keychain.*dismissed"):
        dismissed.get("a", "b")
    locked = KeyringStore(MemoryKeyring(), "Test Keychain", ready=lambda: False)
    with pytest.raises(Unavailable) as caught:
        locked.set("a", "b", "secret-value")
    assert caught.value.code == "keychain_locked"
    assert "secret-value" not in str(caught.value)


def test_files_are_encrypted_and_for_us_alone(tmp_path: Path) -> None:
    folder = tmp_path / "credentials"
    store = FileStore(folder)
    store.set("quantum-auth", "/w", "the-secret-text")
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    files = sorted(folder.iterdir())
    assert len(files) == 2
    for path in files:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert b"the-secret-text" not in path.read_bytes()
    assert len((folder / "key").read_bytes()) == 32


def test_a_secret_sealed_twice_looks_different(tmp_path: Path) -> None:
    store = FileStore(tmp_path)
    store.set("a", "b", "same")
    (path,) = tmp_path.glob("*.json")
    before = path.read_bytes()
    store.set("a", "b", "same")
    assert path.read_bytes() != before


def test_a_changed_or_moved_file_is_noticed(tmp_path: Path) -> None:
    store = FileStore(tmp_path)
    store.set("a", "one", "1")
    (one,) = tmp_path.glob("*.json")
    store.set("a", "two", "2")
    (two,) = set(tmp_path.glob("*.json")) - {one}
    good = one.read_bytes()
    content: dict[str, Any] = json.loads(good)
    for bad in (b"", b"[]", b"{}", b"\xff", json.dumps(content | {"sealed": "AAAA"}).encode(), two.read_bytes()):
        one.write_bytes(bad)
        with pytest.raises(Internal) as caught:
            store.get("a", "one")
        assert caught.value.code == "secret_unreadable"
    one.write_bytes(good)
    assert store.get("a", "one") == "1"


def test_a_key_file_that_is_not_right(tmp_path: Path) -> None:
    store = FileStore(tmp_path)
    store.set("a", "b", "c")
    key = tmp_path / "key"
    key.chmod(0o640)
    with pytest.raises(Denied, match="Others can read"):
        store.get("a", "b")
    key.chmod(0o600)
    kept = key.read_bytes()
    key.write_bytes(b"short")
    with pytest.raises(Internal, match="32 bytes"):
        store.get("a", "b")
    key.write_bytes(bytes(32))
    with pytest.raises(Internal, match="another key"):
        store.get("a", "b")
    key.unlink()
    with pytest.raises(Internal, match="is gone"):
        store.get("a", "b")
    key.write_bytes(kept)
    key.chmod(0o600)
    assert store.get("a", "b") == "c"


def test_a_lost_key_is_not_made_anew_behind_the_secrets(tmp_path: Path) -> None:
    store = FileStore(tmp_path)
    store.set("a", "b", "c")
    (tmp_path / "key").unlink()
    with pytest.raises(Internal, match="is gone"):
        store.set("a", "d", "e")
    assert not (tmp_path / "key").exists()


def test_two_that_begin_at_once_share_one_key(tmp_path: Path) -> None:
    together = threading.Barrier(8)

    def begin(account: str) -> None:
        together.wait()
        FileStore(tmp_path).set("a", account, account)

    threads = [threading.Thread(target=begin, args=(str(number),)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [FileStore(tmp_path).get("a", str(number)) for number in range(8)] == [str(n) for n in range(8)]
    assert len(list(tmp_path.iterdir())) == 9


def test_accounts(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    assert user_account(workspace) == str(tmp_path)
    assert service_account(workspace, "safety") == f"{tmp_path}#safety"


def test_files_are_picked_where_there_is_no_keychain_and_that_is_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = make_workspace(tmp_path)
    monkeypatch.setattr(secrets, "_os_keychain", lambda: None)
    store = open_secret_store(workspace, {})
    assert store.describe.startswith(f"file {workspace.credentials}")
    assert workspace.keychain_record.read_text() == "file\n"
    monkeypatch.setattr(secrets, "_os_keychain", lambda: "secret-service")  # a desktop was installed since
    assert open_secret_store(workspace, {}).describe == store.describe
    assert open_secret_store(workspace, {"QUANTUM_KEYCHAIN": "file"}).describe == store.describe
    with pytest.raises(Conflict) as caught:
        open_secret_store(workspace, {"QUANTUM_KEYCHAIN": "os"})
    assert caught.value.code == "other_keychain"


def test_a_keychain_is_picked_where_there_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    workspace = make_workspace(tmp_path)
    monkeypatch.setattr(secrets, "_os_keychain", lambda: "secret-service")
    assert open_secret_store(workspace, {}).describe == "Secret Service"
    assert workspace.keychain_record.read_text() == "secret-service\n"
    monkeypatch.setattr(secrets, "_os_keychain", lambda: None)  # the desktop is gone: no silent change to files
    assert open_secret_store(workspace, {"QUANTUM_KEYCHAIN": "os"}).describe == "Secret Service"
    with pytest.raises(Conflict):
        open_secret_store(workspace, {"QUANTUM_KEYCHAIN": "file"})


def test_a_wish_for_what_is_not_there_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    workspace = make_workspace(tmp_path)
    monkeypatch.setattr(secrets, "_os_keychain", lambda: None)
    with pytest.raises(Unavailable) as caught:
        open_secret_store(workspace, {"QUANTUM_KEYCHAIN": "os"})
    assert "QUANTUM_KEYCHAIN=file" in caught.value.remedy
    with pytest.raises(Invalid):
        open_secret_store(workspace, {"QUANTUM_KEYCHAIN": "plaintext"})
    assert not workspace.keychain_record.exists()
    workspace.keychain_record.write_text("keyrings.alt.file\n")
    with pytest.raises(Internal):
        open_secret_store(workspace, {})


def test_before_init_nothing_is_recorded(tmp_path: Path) -> None:
    open_secret_store(Workspace(tmp_path), {"QUANTUM_KEYCHAIN": "file"})
    assert os.listdir(tmp_path) == []


def test_a_machine_without_a_session_bus_has_no_keychain(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    if sys.platform == "darwin":
        pytest.skip("macOS always has its keychain")
    monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", f"unix:path={tmp_path}/no-bus")
    assert open_secret_store(make_workspace(tmp_path), {}).describe.startswith("file ")


def test_a_secret_that_is_away_for_a_moment_is_waited_for() -> None:
    backend, clock = MemoryKeyring(), ManualClock()
    store = KeyringStore(backend, "memory")

    def pause(seconds: float) -> None:
        clock.advance(timedelta(seconds=seconds))
        if clock.boottime() > 1001.0:
            backend.set_password("a", "b", "c")

    assert wait_for_secret(store, "a", "b", within=timedelta(seconds=5), clock=clock, pause=pause) == "c"
    assert 1001.0 < clock.boottime() < 1001.5


def test_a_secret_that_never_comes_is_given_up() -> None:
    store, clock = keyring_store(Path()), ManualClock()
    got = wait_for_secret(
        store,
        "a",
        "b",
        within=timedelta(seconds=5),
        clock=clock,
        pause=lambda seconds: clock.advance(timedelta(seconds=seconds)),
    )
    assert got is None
    assert clock.boottime() >= 1005.0


def test_keyring_is_imported_only_by_those_who_use_it() -> None:
    check = "import sys, foundation.secrets; sys.exit(bool({'keyring', 'cryptography'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0


IN_SESSION = """
import os, sys
from pathlib import Path
from foundation.errors import Unavailable
from foundation.secrets import open_secret_store
from foundation.workspace import Workspace
import secretstorage

workspace = Workspace(Path(sys.argv[1]))
store = open_secret_store(workspace, {})
assert store.describe == "Secret Service", store.describe
assert store.get("quantum-auth", "/w") is None
store.set("quantum-auth", "/w", "one")
store.set("quantum-auth", "/w", "two")
store.set("quantum-auth", "/other", "three")
assert store.get("quantum-auth", "/w") == "two"
store.delete("quantum-auth", "/w")
store.delete("quantum-auth", "/w")
assert store.get("quantum-auth", "/w") is None
assert open_secret_store(workspace, {}).get("quantum-auth", "/other") == "three"

collection = secretstorage.get_default_collection(secretstorage.dbus_init())
collection.lock()
try:
    store.get("quantum-auth", "/other")
except Unavailable as error:
    assert error.code == "keychain_locked"
    print("locked is said")
"""


def test_a_real_keychain(tmp_path: Path) -> None:
    session = programs.require("dbus-run-session", apt="dbus")
    daemon = programs.require("gnome-keyring-daemon", apt="gnome-keyring")
    workspace = make_workspace(tmp_path)
    # The daemon goes with its session bus; the password on its standard input makes and opens the login keyring.
    script = f'printf password | {daemon} --unlock --components=secrets >/dev/null && exec "$0" -c "$1" "$2"'
    environ = os.environ | {"HOME": str(tmp_path), "XDG_DATA_HOME": str(tmp_path / "data")}
    environ["XDG_RUNTIME_DIR"] = str(tmp_path)
    environ.pop("QUANTUM_KEYCHAIN", None)
    done = subprocess.run(
        [session, "--", "sh", "-c", script, sys.executable, IN_SESSION, str(workspace.root)],
        env=environ,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "locked is said\n"), done.stderr
    assert workspace.keychain_record.read_text() == "secret-service\n"
    assert not workspace.credentials.exists()
