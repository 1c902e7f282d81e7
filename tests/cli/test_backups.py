"""A backup of a real workspace in which nothing runs: made, checked, put back, and refused where it is not whole."""

from __future__ import annotations

import hashlib
import os
import random
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from cli.backups import archive, checking
from cli.backups.catalogue import entries, note_verdict
from cli.backups.making import Made, copy_offline, make
from cli.backups.recovering import recover
from cli.backups.restoring import find, key_for, restore
from cli.first_start import initialise
from cli.offline import ask_offline
from foundation.agent_secrets import AgentSecrets
from foundation.clock import SystemClock
from foundation.errors import Conflict, Denied, Exhausted, Invalid, NotFound, QuantumError
from foundation.secrets import (
    AGENT_SECRET,
    AUDIT_KEY,
    AUTHORITY_KEY,
    DATABASE_KEY,
    USER_TOKEN,
    SecretStore,
    open_secret_store,
    service_account,
    user_account,
)
from foundation.workspace import StopFile, Workspace, WorkspaceLock

FEW, ALL = (40, 5), (200, 20)
"""Bit flips and cuts, ordinarily and in the long ring."""
CLOCK = SystemClock()


@dataclass(frozen=True, kw_only=True)
class Kept:
    """A workspace and its one backup; each test works on a copy, at the same place."""

    workspace: Workspace
    environ: Mapping[str, str]
    made: Made
    recovery_key: str
    outside: Path

    @property
    def secrets(self) -> SecretStore:
        """The keychain."""
        return open_secret_store(self.workspace, self.environ)

    def put_back(self, wanted: str = "latest", key: str | None = None) -> Path | None:
        """Restore; the folder with what was there before."""
        source = find(self.workspace, wanted, self.workspace.root, self.environ)
        opening = key_for(source, self.workspace, self.secrets, key)
        return restore(self.workspace, self.secrets, self.environ, source, opening, clock=CLOCK).before


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Kept:
    root = tmp_path_factory.mktemp("w") / "ws"
    environ = {**os.environ, "QUANTUM_KEYCHAIN": "file", "QUANTUM_BACKUP_FOLDER": str(root.parent / "kept")}
    done = initialise(root, environ)
    assert done.recovery_key is not None
    workspace = done.workspace
    secrets = open_secret_store(workspace, environ)
    AgentSecrets(workspace, secrets, CLOCK).set("openai", "sk-something-long")
    (workspace.state / "hooks").mkdir()
    workspace.hooks_token.write_text("a token of the hooks")
    made = make(workspace, secrets, environ, copy_offline(workspace, environ), clock=CLOCK)
    return Kept(
        workspace=workspace, environ=environ, made=made, recovery_key=done.recovery_key, outside=root.parent / "kept"
    )


@pytest.fixture
def kept(original: Kept, tmp_path: Path) -> Iterator[Kept]:
    """As it was after the backup, and again afterwards."""
    shutil.copytree(original.workspace.root, tmp_path / "aside", symlinks=True)
    shutil.copytree(original.outside, tmp_path / "outside")
    yield original
    for there, copy in ((original.workspace.root, "aside"), (original.outside, "outside")):
        shutil.rmtree(there)
        shutil.copytree(tmp_path / copy, there, symlinks=True)


def tree(folder: Path) -> str:
    """A hash over every name and every byte below a folder."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        digest.update(str(path.relative_to(folder)).encode() + b"\0")
        if path.is_file():
            digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def secrets_of(kept: Kept) -> dict[str, str | None]:
    root = user_account(kept.workspace)
    found = {service: kept.secrets.get(service, root) for service in (USER_TOKEN, AUDIT_KEY, AUTHORITY_KEY)}
    return {**found, AGENT_SECRET: kept.secrets.get(AGENT_SECRET, service_account(kept.workspace, "openai"))}


def test_it_is_good_and_holds_nothing_that_can_be_read(kept: Kept) -> None:
    (entry,) = entries(kept.workspace, kept.environ)
    assert (entry.good, entry.fault, entry.id) == (True, "", kept.made.entry.id)
    content = entry.path.read_bytes()
    for text in filter(None, secrets_of(kept).values()):
        assert text.encode() not in content
    assert b"agent_config" not in content and b"openai" not in content
    assert archive.header_of(entry.path).id == entry.id
    assert not [*(kept.workspace.state / "backups").glob(".*")], "nothing is left of its making"


@pytest.mark.parametrize("counts", [FEW, pytest.param(ALL, marks=pytest.mark.long)], ids=["few", "all"])
def test_bit_flips_cuts_and_another_key_are_refused_and_nothing_is_touched(kept: Kept, counts: tuple[int, int]) -> None:
    flips, cuts = counts
    before, whole = tree(kept.workspace.root), kept.made.entry.path.read_bytes()
    chance, damaged = random.Random(6), kept.workspace.root.parent / "damaged.qbk"
    refused = 0

    def try_it(content: bytes, key: str | None = None) -> None:
        nonlocal refused
        damaged.write_bytes(content)
        with pytest.raises(QuantumError) as caught:
            kept.put_back(str(damaged), key)
        assert isinstance(caught.value, Invalid | Denied), caught.value
        assert tree(kept.workspace.root) == before
        refused += 1

    for _ in range(flips):
        changed = bytearray(whole)
        changed[chance.randrange(len(whole))] ^= 1 << chance.randrange(8)
        try_it(bytes(changed))
    for _ in range(cuts):
        try_it(whole[: chance.randrange(len(whole))])
    try_it(whole, "ab" * 32)
    assert refused == flips + cuts + 1
    damaged.write_bytes(whole)
    assert kept.put_back(str(damaged)) is not None, "the same file, unchanged, is restored"
    print(f"{flips} bit flips, {cuts} cuts and a wrong key: {refused} refused, nothing touched")


def test_everything_gone_it_comes_back_with_the_recovery_key_alone(kept: Kept) -> None:
    before = secrets_of(kept)
    assert None not in before.values()
    shutil.rmtree(kept.workspace.state)
    with pytest.raises(Denied, match="nothing else opens a backup"):
        kept.put_back()
    shutil.rmtree(kept.workspace.config_file.parent)
    kept.put_back(key=kept.recovery_key)
    assert secrets_of(kept) == before
    assert kept.workspace.hooks_token.read_text() == "a token of the hooks"
    assert kept.workspace.authority.exists() and kept.workspace.config_file.exists()
    assert [name for name, there in AgentSecrets(kept.workspace, kept.secrets, CLOCK).names() if there] == ["openai"]
    assert initialise(kept.workspace.root, kept.environ).made == (), "nothing is missing"


def test_what_was_there_is_kept_and_can_be_gone_back_to(kept: Kept) -> None:
    kept.secrets.set(USER_TOKEN, user_account(kept.workspace), "since then")
    before = kept.put_back()
    assert before is not None and secrets_of(kept)[USER_TOKEN] != "since then"
    kept.put_back(before.name)
    assert secrets_of(kept)[USER_TOKEN] == "since then"


def test_an_order_to_stop_and_the_user_s_own_configuration_stay(kept: Kept) -> None:
    StopFile(kept.workspace.stop_file).write(who="ann", why="now", now=CLOCK.now())
    kept.workspace.config_file.write_text('{"max_concurrent_agents": 3}')
    source = find(kept.workspace, "latest", kept.workspace.root, kept.environ)
    key = key_for(source, kept.workspace, kept.secrets, None)
    done = restore(kept.workspace, kept.secrets, kept.environ, source, key, clock=CLOCK)
    order = StopFile(kept.workspace.stop_file).read()
    assert order is not None and order.who == "ann"
    assert list(done.configuration) == ["agent_config.json"]
    assert kept.workspace.config_file.read_text() == '{"max_concurrent_agents": 3}'


def test_while_something_runs_it_is_refused(kept: Kept) -> None:
    with WorkspaceLock(kept.workspace.lock_file), pytest.raises(Conflict):
        kept.put_back()


def test_after_a_compromise_every_secret_is_another_one(kept: Kept, tmp_path: Path) -> None:
    before, shown = secrets_of(kept), list[str]()
    elsewhere = tmp_path / "clean"
    restored, made = recover(
        elsewhere,
        str(kept.made.entry.path),
        kept.recovery_key,
        {**kept.environ, "QUANTUM_BACKUP_FOLDER": ""},
        cwd=tmp_path,
        clock=CLOCK,
        show=shown.append,
    )
    clean = made.workspace
    store = open_secret_store(clean, kept.environ)
    for service in (USER_TOKEN, AUDIT_KEY, AUTHORITY_KEY):
        assert store.get(service, user_account(clean)) not in (None, before[service])
    assert store.get(AGENT_SECRET, service_account(clean, "openai")) is None
    assert store.get(DATABASE_KEY, user_account(clean)) == shown[0].replace("-", "") != kept.recovery_key
    assert not clean.hooks_token.exists() and restored.mode == "GUARDED"
    assert (clean.root / "config/agent_config.json").exists()
    key = {"path": str(clean.safety_db), "key": shown[0].replace("-", "")}
    asked = {**key, "counts": None, "audit": str(clean.audit), "audit_key": store.get(AUDIT_KEY, user_account(clean))}
    found = ask_offline("safety", "check-copy", clean, kept.environ, asked=asked)
    assert found == {"faults": [], "notes": []}, "its log is whole under the new key"


def test_good_is_said_only_of_what_was_restored(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    """A copy that loses rows between copying and sealing is called not good, and latest does not mean it."""
    counted = dict(kept.environ)

    def lying(*arguments: object, **more: object) -> archive.Counts:
        counts = archive.unpack(*arguments, **more)  # type: ignore[arg-type]
        return {name: {**tables, "tokens_that_were_there": 1} for name, tables in counts.items()}

    monkeypatch.setattr(checking, "unpack", lying)
    made = make(kept.workspace, kept.secrets, counted, copy_offline(kept.workspace, counted), clock=CLOCK)
    assert not made.entry.good and "rows in tokens_that_were_there" in made.entry.fault
    assert find(kept.workspace, "latest", kept.workspace.root, kept.environ).id == kept.made.entry.id


def test_without_room_neither_is_begun(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    before = tree(kept.workspace.root)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: shutil._ntuple_diskusage(10**9, 10**9, 1_000))
    with pytest.raises(Exhausted, match="needs"):
        kept.put_back()
    with pytest.raises(Exhausted, match="needs"):
        make(kept.workspace, kept.secrets, kept.environ, copy_offline(kept.workspace, kept.environ), clock=CLOCK)
    assert tree(kept.workspace.root) == before


def test_names_are_found_and_missing_ones_said(kept: Kept) -> None:
    name, root = kept.made.entry.id, kept.workspace.root
    assert find(kept.workspace, name[:12], root, kept.environ).id == name
    with pytest.raises(NotFound):
        find(kept.workspace, "nothing", root, kept.environ)
    note_verdict(kept.made.entry.path, fault="It is damaged.", now=CLOCK.now())
    with pytest.raises(NotFound, match="no good backup"):
        find(kept.workspace, "latest", root, kept.environ)
