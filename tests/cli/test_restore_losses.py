"""What could be lost by a restore or by keeping backups, each on files alone, without a service."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeVar

import pytest

from cli.backups import archive, checking, making
from cli.backups.catalogue import SUFFIX, entries, folder_of, next_number, note_verdict, remove
from cli.backups.checking import ENTRIES
from cli.backups.finding import find
from cli.backups.making import make, verify
from cli.backups.restoring import restore
from cli.workspace.settling import (
    CONFIG,
    KEYCHAIN,
    NEW,
    RESTORING,
    Journal,
    commit,
    go_forward,
    managed,
    open_entries,
    seal_entries,
)
from foundation.backup_ids import new_backup_id
from foundation.clock import SystemClock
from foundation.errors import Internal, Invalid, NotFound, QuantumError, Unavailable
from foundation.secrets import AGENT_SECRET, AUDIT_KEY, DATABASE_KEY, USER_TOKEN, user_account
from foundation.workspace import Workspace

NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)
OLD_KEY, NEW_KEY = "0a" * 32, "0b" * 32
BEFORE = "before-restore-20261128T120000.000000Z"
CLOCK = SystemClock()
T = TypeVar("T")


@dataclass
class Keychain:
    """In memory; at the call with the number `gives_out_at` it cannot be reached, before that call or just after."""

    held: dict[tuple[str, str], str] = field(default_factory=dict)
    gives_out_at: int | None = None
    having_done_it: bool = False
    calls: int = 0
    describe: str = "memory"

    def get(self, service: str, account: str) -> str | None:
        return self._do(lambda: self.held.get((service, account)))

    def set(self, service: str, account: str, secret: str) -> None:
        self._do(lambda: self.held.update({(service, account): secret}))

    def delete(self, service: str, account: str) -> None:
        self._do(lambda: self.held.pop((service, account), None))

    def _do(self, work: Callable[[], T]) -> T:
        self.calls += 1
        out = self.calls == self.gives_out_at
        if out and not self.having_done_it:
            raise Unavailable("keychain_unavailable", "It is locked.")
        result = work()
        if out:
            raise Unavailable("keychain_unavailable", "It was locked.")
        return result


def workspace_in(folder: Path) -> Workspace:
    """A workspace with nothing in it."""
    workspace = Workspace(folder)
    workspace.state.mkdir(mode=0o700, parents=True)
    workspace.config_file.parent.mkdir()
    workspace.config_file.write_text("{}")
    return workspace


def begun(folder: Path) -> tuple[Workspace, Keychain]:
    """A restore of another key's backup that has just begun; the secret `stripe` was stored since that backup."""
    workspace = workspace_in(folder)
    (workspace.secret_names).mkdir()
    (workspace.secret_names / "stripe").touch()
    workspace.coordinator_db.write_text("old")
    root = user_account(workspace)
    keychain = Keychain(
        {
            (DATABASE_KEY, root): OLD_KEY,
            (DATABASE_KEY, root + RESTORING): NEW_KEY,
            (USER_TOKEN, root): "old token",
            (AUDIT_KEY, root): "old audit",
            (AGENT_SECRET, f"{root}#stripe"): "sk-of-the-user",
        }
    )
    staging = workspace.state / "restoring-now"
    (staging / NEW / "secrets").mkdir(parents=True)
    (staging / NEW / "secrets" / "openai").touch()
    (staging / NEW / "coordinator.db").write_text("new")
    (staging / CONFIG).mkdir()
    coming = [(USER_TOKEN, "", "new token"), (AUDIT_KEY, "", "new audit"), (AGENT_SECRET, "#openai", "sk-of-then")]
    seal_entries(staging / KEYCHAIN, bytes.fromhex(NEW_KEY), coming)
    new = sorted(path.name for path in (staging / NEW).iterdir())
    commit(workspace, Journal(staging=staging.name, before=BEFORE, new=new, old=managed(workspace)))
    return workspace, keychain


def require_both(workspace: Workspace, keychain: Keychain) -> None:
    """The new state holds, and what was there before can be gone back to, with all its secrets."""
    root = user_account(workspace)
    kept = keychain.held[DATABASE_KEY, f"{root}#{BEFORE}"]
    assert kept == OLD_KEY
    found = open_entries(workspace.state / BEFORE / KEYCHAIN, bytes.fromhex(kept))
    assert {(one[0], one[1]): one[2] for one in found} == {
        (USER_TOKEN, ""): "old token",
        (AUDIT_KEY, ""): "old audit",
        (AGENT_SECRET, "#stripe"): "sk-of-the-user",
    }
    assert (workspace.state / BEFORE / "coordinator.db").read_text() == "old"
    assert workspace.coordinator_db.read_text() == "new"
    assert keychain.held == {
        (DATABASE_KEY, root): NEW_KEY,
        (DATABASE_KEY, f"{root}#{BEFORE}"): OLD_KEY,
        (USER_TOKEN, root): "new token",
        (AUDIT_KEY, root): "new audit",
        (AGENT_SECRET, f"{root}#openai"): "sk-of-then",
    }
    assert not workspace.restore_journal.exists()


def test_secrets_that_were_stored_since_the_backup_are_kept_aside(tmp_path: Path) -> None:
    workspace, keychain = begun(tmp_path / "ws")
    go_forward(workspace, keychain)
    require_both(workspace, keychain)


def test_secrets_are_kept_aside_also_where_the_databases_key_was_lost(tmp_path: Path) -> None:
    workspace, keychain = begun(tmp_path / "ws")
    del keychain.held[DATABASE_KEY, user_account(workspace)]
    go_forward(workspace, keychain)
    found = open_entries(workspace.state / BEFORE / KEYCHAIN, bytes.fromhex(NEW_KEY))
    assert (AGENT_SECRET, "#stripe", "sk-of-the-user") in [tuple(one) for one in found]


@pytest.mark.parametrize("having_done_it", [False, True], ids=["before", "after"])
def test_the_keychain_may_give_out_at_any_call_and_nothing_is_lost(tmp_path: Path, having_done_it: bool) -> None:
    gave_out = 0
    for number in range(1, 100):
        workspace, keychain = begun(tmp_path / str(number))
        keychain.gives_out_at, keychain.having_done_it = number, having_done_it
        try:
            go_forward(workspace, keychain)
        except Unavailable:
            gave_out += 1
            if workspace.restore_journal.exists():
                go_forward(workspace, keychain)
            keychain.held.pop((DATABASE_KEY, user_account(workspace) + RESTORING), None)
        require_both(workspace, keychain)
        if keychain.calls < number:
            break
    print(f"the keychain gave out at each of {gave_out} calls")
    assert gave_out >= 15


def sealed(workspace: Workspace, made_at: datetime, content: str = "x", *, number: int = 0) -> Path:
    """A backup that says it is good; there are no databases in it."""
    backup_id = new_backup_id(made_at)
    folder = workspace.state / f"of-{backup_id}"
    folder.mkdir()
    (folder / "coordinator.db").write_text(content)
    where = folder_of(workspace, {})
    where.mkdir(parents=True, exist_ok=True)
    target = where / f"{backup_id}{SUFFIX}"
    archive.pack(folder, target, bytes.fromhex(OLD_KEY), backup_id=backup_id, made_at=made_at, number=number, counts={})
    shutil.rmtree(folder)
    note_verdict(target, fault="", now=made_at)
    return target


def test_an_older_backup_under_a_newer_one_s_name_is_not_taken_for_it(tmp_path: Path) -> None:
    """Whoever can write into the folder could otherwise have an old state put back: revoked tokens, spent money."""
    workspace = workspace_in(tmp_path / "ws")
    older, newer = sealed(workspace, NOW - timedelta(days=9)), sealed(workspace, NOW)
    shutil.copyfile(older, newer)
    secrets = Keychain({(DATABASE_KEY, user_account(workspace)): OLD_KEY})
    source = find(workspace, "latest", workspace.root, {})
    assert source.path == newer
    with pytest.raises(Invalid, match="another name") as caught:
        restore(workspace, secrets, {}, source, bytes.fromhex(OLD_KEY), clock=CLOCK)
    assert caught.value.code == "backup_renamed"
    findings = verify(entries(workspace, {})[0], workspace, secrets, {}, clock=CLOCK)
    assert "another name" in findings.faults[0]
    copy = tmp_path / f"a copy{SUFFIX}"
    shutil.copyfile(older, copy)
    assert find(workspace, str(copy), tmp_path, {}).id == archive.header_of(older).id, (
        "a person names files as they like"
    )


def test_two_workspaces_with_one_folder_for_backups_leave_each_other_s_alone(tmp_path: Path) -> None:
    shared = {"QUANTUM_BACKUP_FOLDER": str(tmp_path / "shared")}
    one, other = workspace_in(tmp_path / "a" / "ws"), workspace_in(tmp_path / "b" / "ws")
    for workspace, made_at in ((one, NOW), (other, NOW + timedelta(minutes=1))):
        folder = folder_of(workspace, shared)
        folder.mkdir(parents=True)
        (folder / f"{new_backup_id(made_at)}{SUFFIX}").touch()
    seen = [{entry.path for entry in entries(workspace, shared)} for workspace in (one, other)]
    assert len(seen[0]) == len(seen[1]) == 1 and not seen[0] & seen[1]
    assert all(path.is_relative_to(tmp_path / "shared") for path in seen[0] | seen[1])


def test_what_could_not_be_looked_at_is_not_called_bad(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bad one goes at the next prune: a full disk or a killed process must not make one of a good one."""
    workspace = workspace_in(tmp_path / "ws")
    sealed(workspace, NOW)
    secrets = Keychain({(DATABASE_KEY, user_account(workspace)): OLD_KEY})

    def fails(*_: object) -> None:
        raise Internal("offline_failed", "The coordinator could not do “check-copy”: no space left on device")

    monkeypatch.setattr(checking, "look_over", fails)
    with pytest.raises(Internal):
        verify(entries(workspace, {})[0], workspace, secrets, {}, clock=CLOCK)
    assert entries(workspace, {})[0].good


def test_a_backup_that_goes_away_meanwhile_is_not_listed_and_may_go_twice(tmp_path: Path) -> None:
    workspace = workspace_in(tmp_path / "ws")
    gone = sealed(workspace, NOW)
    (entry,) = entries(workspace, {})
    os.symlink("nowhere", gone.with_name(f"{new_backup_id(NOW)}{SUFFIX}"))
    assert entries(workspace, {}) == [entry]
    remove(entry)
    remove(entry)
    assert entries(workspace, {}) == []


def untouched(monkeypatch: pytest.MonkeyPatch) -> None:
    """Backups that are neither counted nor checked by the services."""
    monkeypatch.setattr(making, "_count", lambda *_: {})
    monkeypatch.setattr(making, "check", lambda *_: checking.Findings())


def test_a_full_disk_is_told_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    workspace, told = workspace_in(tmp_path / "ws"), list[str]()
    secrets = Keychain({(DATABASE_KEY, user_account(workspace)): OLD_KEY})

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "x.qbk")

    untouched(monkeypatch)
    monkeypatch.setattr(making, "pack", full)
    with pytest.raises(QuantumError, match="No space left"):
        make(workspace, secrets, {}, lambda _: None, clock=CLOCK, tell=lambda _, fault: told.append(fault))
    assert len(told) == 1 and "No space left" in told[0]


def test_a_token_that_changes_meanwhile_is_the_one_that_safety_s_copy_knows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else what is put back lets nobody in: the keychain's token would be newer than the copy, or older."""
    workspace = workspace_in(tmp_path / "ws")
    account, key = user_account(workspace), bytes.fromhex(OLD_KEY)
    secrets = Keychain({(DATABASE_KEY, account): OLD_KEY, (USER_TOKEN, account): "token 0"})
    known = list[str]()

    def take(backup_id: str) -> None:
        """Safety is copied, and then a rotation replaces the token, at the first two tries."""
        known.append(secrets.held[USER_TOKEN, account])
        (workspace.making(backup_id) / "safety.db").write_text(known[-1])
        if len(known) < 3:
            secrets.held[USER_TOKEN, account] = f"token {len(known)}"

    untouched(monkeypatch)
    made = make(workspace, secrets, {}, take, clock=CLOCK)
    archive.unpack(made.entry.path, key, tmp_path / "out", made.entry.id)
    ((_, _, token),) = open_entries(tmp_path / "out" / ENTRIES, key)
    assert token == (tmp_path / "out" / "safety.db").read_text() == "token 2"


def test_names_that_only_look_like_what_was_set_aside(tmp_path: Path) -> None:
    workspace = workspace_in(tmp_path / "ws")
    (workspace.state / "before-restore-monday").mkdir()
    with pytest.raises(NotFound):
        find(workspace, "before-restore-monday", workspace.root, {})


@pytest.mark.parametrize("value", ["1e999", "[" * 30_000], ids=["infinite", "deep"])
def test_a_header_that_somebody_made_up_is_refused_in_words(tmp_path: Path, value: str) -> None:
    header = f'{{"about": {{}}, "key_id": "", "salt": "", "chunk_bytes": {value}}}'.encode()
    path = tmp_path / "made up"
    path.write_bytes(b"quantum-sealed-1\n" + len(header).to_bytes(4, "big") + header)
    with pytest.raises(Invalid):
        archive.header_of(path)


def test_a_verdict_that_somebody_made_up_is_none(tmp_path: Path) -> None:
    workspace = workspace_in(tmp_path / "ws")
    path = sealed(workspace, NOW)
    verdict = path.with_name(path.name.removesuffix(SUFFIX) + ".checked.json")
    for text in (
        json.dumps({"checked_at": "2026-11-28T12:00:00", "bytes": path.stat().st_size, "fault": ""}),
        "[" * 99_999,
    ):
        verdict.write_text(text)
        (entry,) = entries(workspace, {})
        assert not entry.good


def test_latest_is_the_one_that_was_made_last_also_where_a_clock_was_ahead(tmp_path: Path) -> None:
    workspace = workspace_in(tmp_path / "ws")
    assert next_number(workspace, {}) == 1
    of_before = sealed(workspace, NOW + timedelta(days=2))  # of a version that did not count
    ahead = sealed(workspace, NOW + timedelta(days=400), number=1)
    last = sealed(workspace, NOW, number=2)
    assert [entry.path for entry in entries(workspace, {})] == [last, ahead, of_before]
    assert find(workspace, "latest", workspace.root, {}).path == last
    assert next_number(workspace, {}) == 3


def test_a_number_that_somebody_wrote_into_an_older_one_is_refused(tmp_path: Path) -> None:
    workspace = workspace_in(tmp_path / "ws")
    older = sealed(workspace, NOW - timedelta(days=9), number=1)
    sealed(workspace, NOW, number=2)
    older.write_bytes(older.read_bytes().replace(b'"number": 1}', b'"number": 9}'))
    source = find(workspace, "latest", workspace.root, {})
    assert source.path == older
    with pytest.raises(Invalid) as caught:
        archive.unpack(source.path, bytes.fromhex(OLD_KEY), tmp_path, source.id)
    assert caught.value.code == "seal_broken"
    older.write_bytes(b"quantum-sealed-1\n")
    note_verdict(older, fault="", now=NOW)
    newer, damaged = entries(workspace, {})
    assert (newer.good, damaged.good, damaged.number) == (True, False, 0) and "damaged" in damaged.fault
