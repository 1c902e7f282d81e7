"""A backup of a real workspace in which nothing runs: made, checked, put back, and refused where it is not whole."""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from cli.backups import archive, checking
from cli.backups.catalogue import entries, note_verdict
from cli.backups.finding import find, key_for
from cli.backups.making import Made, copy_offline, make
from cli.backups.recovering import recover
from cli.backups.restoring import Restored, rehearse, restore
from cli.backups.staging import UNKNOWN, Tokens
from cli.first_start import SERVICE_SCOPES, initialise
from cli.incidents.isolating import isolate
from cli.keys.key_rotation import rotate_key
from cli.offline import ask_offline
from cli.session import Session
from foundation.agent_secrets import AgentSecrets
from foundation.clock import SystemClock
from foundation.errors import Conflict, Denied, Exhausted, Invalid, NotFound, QuantumError
from foundation.secrets import (
    AGENT_SECRET,
    AUDIT_KEY,
    AUTHORITY_KEY,
    DATABASE_KEY,
    SERVICE_TOKEN,
    USER_TOKEN,
    SecretStore,
    open_secret_store,
    service_account,
    user_account,
)
from foundation.sqlite.database import Database
from foundation.sqlite.pages import key_fits
from foundation.stop_file import StopFile
from foundation.tokens import parse
from foundation.workspace import Workspace, WorkspaceLock
from services.safety.adapters.sqlite import MIGRATIONS, SqliteStore
from services.safety.domain.token import TokenRecord

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

    def put_back(self, wanted: str = "latest", key: str | None = None, tokens: Tokens | None = None) -> Path | None:
        """Restore; the folder with what was there before."""
        return self.restored(wanted, key, tokens).before

    def restored(self, wanted: str = "latest", key: str | None = None, tokens: Tokens | None = None) -> Restored:
        """Restore."""
        source = find(self.workspace, wanted, self.workspace.root, self.environ)
        opening = key_for(source, self.workspace, self.secrets, key)
        return restore(self.workspace, self.secrets, self.environ, source, opening, clock=CLOCK, tokens=tokens)

    async def tokens(self) -> dict[str, TokenRecord]:
        """Safety's tokens, by their ids."""
        key = self.secrets.get(DATABASE_KEY, user_account(self.workspace))
        assert key is not None
        with Database.open(self.workspace.safety_db, key=bytes.fromhex(key), migrations=MIGRATIONS) as database:
            return dict((await SqliteStore(database).load()).tokens)

    @property
    def own_ids(self) -> set[str]:
        """The tokens in the keychain, the user's and those of the services."""
        places = [(USER_TOKEN, user_account(self.workspace))]
        places += [(SERVICE_TOKEN, service_account(self.workspace, service)) for service in SERVICE_SCOPES]
        return {parse(self.secrets.get(*place) or "").id for place in places}


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
    with pytest.raises(Conflict, match="not here any more: nothing tells which tokens were revoked") as caught:
        kept.put_back(key=kept.recovery_key)
    assert caught.value.code == UNKNOWN and "--tokens new" in caught.value.remedy
    assert not kept.workspace.safety_db.exists() and not [*kept.workspace.state.glob("restoring-*")]
    kept.put_back(key=kept.recovery_key, tokens=Tokens.AS_THEN)
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


async def test_after_isolate_a_restore_opens_to_nobody_who_was_shut_out(kept: Kept) -> None:
    """What was revoked is not good again, and those who must get in have what lets them."""
    before = set(await kept.tokens())
    isolated = isolate(Session(environ=kept.environ, cwd=kept.workspace.root), "a token was seen in a chat")
    assert isolated.faults == [] and isolated.revoked == len(before)
    done = kept.restored()
    tokens, now = await kept.tokens(), CLOCK.now()
    assert {token.id for token in tokens.values() if not token.ended(now)} == kept.own_ids
    assert not kept.own_ids & before and len(kept.own_ids) == done.fresh == len(SERVICE_SCOPES) + 1
    assert done.mode == "STOPPED" and kept.workspace.stop_file.exists()
    assert done.unknown == "" and "revoked or replaced since" in done.carried[0]
    assert done.before is not None
    again = kept.restored(done.before.name)
    assert again.unknown == "" and not kept.own_ids & before, "going back to it opens nothing either"


@pytest.mark.long
async def test_where_nothing_tells_what_was_revoked_since_somebody_must_say_so(kept: Kept, tmp_path: Path) -> None:
    workspace, asked, key = kept.workspace, 0, kept.recovery_key.replace("-", "")

    def must_say() -> str:
        nonlocal asked
        before = tree(workspace.root)
        with pytest.raises(Conflict) as caught:
            kept.put_back(key=kept.recovery_key)
        assert caught.value.code == UNKNOWN and tree(workspace.root) == before
        asked += 1
        assert (rehearsed() or "").startswith(caught.value.message.split(":")[0])
        return caught.value.message

    def rehearsed() -> str | None:
        source, opening = find(workspace, "latest", workspace.root, kept.environ), bytes.fromhex(key)
        return rehearse(workspace, kept.secrets, kept.environ, source, opening).unknown

    assert rehearsed() == ""
    with WorkspaceLock(workspace.lock_file):
        assert rehearsed() is None, "while something runs it is not asked"

    whole = workspace.safety_db.read_bytes()
    workspace.safety_db.write_bytes(whole[: len(whole) // 2])
    assert "damaged" in must_say() or "no key" in must_say()
    workspace.safety_db.write_bytes(whole)
    checkpoint = workspace.audit / "checkpoint.json"
    said = checkpoint.read_text()
    checkpoint.unlink()
    assert "not whole" in must_say()
    checkpoint.write_text(said)
    account = user_account(workspace)
    held = {service: kept.secrets.get(service, account) for service in (DATABASE_KEY, AUDIT_KEY)}
    for service in held:
        kept.secrets.delete(service, account)
    assert kept.restored(key=kept.recovery_key).unknown == "", (
        "with the keychain gone, the recovery key opens what is there"
    )
    shutil.rmtree(workspace.state)
    initialise(workspace.root, kept.environ)
    assert "does not go back to this backup" in must_say()
    own = kept.own_ids
    done = kept.restored(key=kept.recovery_key, tokens=Tokens.NEW)
    tokens, now = await kept.tokens(), CLOCK.now()
    assert {token.id for token in tokens.values() if not token.ended(now)} == kept.own_ids
    assert not kept.own_ids & own and done.fresh == len(SERVICE_SCOPES) + 1
    assert kept.secrets.get(DATABASE_KEY, account) == key
    assert kept.restored().unknown == "", "what was put back knows of since"
    print(f"somebody had to say so {asked} times, and nothing was touched until then")


@pytest.mark.long
async def test_a_key_that_took_the_backups_place_since_keeps_it(kept: Kept) -> None:
    """Whoever has changed a key that somebody knows must not get it back by the way."""
    rotate_key(kept.workspace, kept.secrets, kept.environ, show=lambda key: None)
    account = user_account(kept.workspace)
    new = kept.secrets.get(DATABASE_KEY, account)
    assert new is not None and new != kept.recovery_key.replace("-", "")
    before = kept.put_back(key=kept.recovery_key)
    assert kept.secrets.get(DATABASE_KEY, account) == new
    for path in (kept.workspace.safety_db, kept.workspace.coordinator_db):
        assert key_fits(path, bytes.fromhex(new))
    assert before is not None and kept.restored(before.name).unknown == ""


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


@pytest.mark.long
@pytest.mark.parametrize("sealing", [True, False], ids=["", "control: secrets are not sealed"])
def test_no_secret_lies_open_while_one_is_made_and_put_back(
    kept: Kept, monkeypatch: pytest.MonkeyPatch, sealing: bool
) -> None:
    """Looked for around each step at which a service is asked: in every file, in arguments and in environments."""
    found, looks, real = set[str](), list[str](), subprocess.run
    wanted = {name: max(secret.splitlines(), key=len).encode() for name, secret in secrets_of(kept).items() if secret}
    wanted |= {"database key": kept.recovery_key.replace("-", "").encode()}

    def look(told: bytes = b"") -> None:
        for path in (path for folder in (kept.workspace.root, kept.outside) for path in folder.rglob("*")):
            with suppress(FileNotFoundError, IsADirectoryError):  # others are at work
                told += path.read_bytes()
        found.update(name for name, secret in wanted.items() if secret in told)

    def asked(argv: list[str], **more: Any) -> subprocess.CompletedProcess[str]:
        look(repr((argv, more["env"])).encode())
        looks.append(argv[3])
        done = real(argv, **more)
        look()
        return done

    monkeypatch.setattr("cli.offline.subprocess.run", asked)
    if not sealing:
        sealed = "cli.backups.making.seal_entries"
        monkeypatch.setattr(sealed, lambda path, key, secrets: path.write_text(json.dumps([*secrets, key.hex()])))
    made = make(kept.workspace, kept.secrets, kept.environ, copy_offline(kept.workspace, kept.environ), clock=CLOCK)
    if sealing:
        kept.put_back(made.entry.id)
        assert sorted(set(looks)) == ["check-copy", "count-copy", "put-back", "snapshot"]
    look()
    assert found == (set() if sealing else wanted.keys())
