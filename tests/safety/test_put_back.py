"""Safety's database that is put back: guarded, nothing of it spends on, and after a compromise no token opens."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from foundation.clock import SystemClock
from foundation.sqlite.database import Database
from foundation.stop_file import StopFile
from services.safety.adapters.checkpoint_file import FileCheckpoint
from services.safety.adapters.sqlite import MIGRATIONS, SqliteStore
from services.safety.adapters.stop_file import WorkspaceStopSignal
from services.safety.app.audit import Audit
from services.safety.app.mode import Modes
from services.safety.app.provision import provision
from services.safety.app.state import SafetyState
from services.safety.domain.attempt import AttemptKey
from services.safety.domain.mode import Mode
from services.safety.offline import check_copy, count_copy, put_back_copy

KEY, AUDIT_KEY = bytes(range(32)), b"\x0b" * 32
NEW_KEY, NEW_AUDIT_KEY = b"\x0c" * 32, b"\x0d" * 32
TOKENS = '{"tokens": [{"id": "ann", "digest": "%s", "name": "ann", "scopes": ["read"], "expires_at": null}]}' % (
    "0" * 64
)


def asked(folder: Path, **more: Any) -> dict[str, Any]:
    """What the command line hands over."""
    given = {"path": str(folder / "safety.db"), "key": KEY.hex(), "audit": str(folder / "audit")}
    return {**given, "audit_key": AUDIT_KEY.hex(), **more}


async def loaded(database: Database, folder: Path, audit_key: bytes = AUDIT_KEY) -> SafetyState:
    """Safety as it starts from what lies there."""
    signal = WorkspaceStopSignal(StopFile(folder / "STOP"))
    checkpoint = FileCheckpoint(folder / "audit")
    return await SafetyState.load(
        SqliteStore(database), signal, SystemClock(), audit_key=audit_key, checkpoint=checkpoint
    )


def opened(folder: Path, key: bytes = KEY) -> Database:
    """The database."""
    return Database.open(folder / "safety.db", key=key, migrations=MIGRATIONS)


async def prepared(folder: Path, mode: Mode = Mode.NORMAL) -> None:
    """A token, a mode, and an attempt that may spend."""
    folder.mkdir(exist_ok=True)
    with opened(folder) as database:
        now = SystemClock().now()
        checkpoint = FileCheckpoint(folder / "audit")
        await provision(SqliteStore(database), TOKENS, now=now, audit_key=AUDIT_KEY, checkpoint=checkpoint)
        state = await loaded(database, folder)
        if mode is not Mode.NORMAL:
            signal = WorkspaceStopSignal(StopFile(folder / "STOP"))
            await Modes(state, signal).tighten(mode, reason="as it was", actor="ann")

        def grant(draft: Any) -> None:
            draft.ledger.grant(
                AttemptKey("t", 5), agent="a", providers=("openai",), origin="", now=draft.now, new_secret=lambda: KEY
            )

        await state.change(grant)


async def test_it_is_guarded_and_says_so_in_its_log(tmp_path: Path) -> None:
    await prepared(tmp_path)
    counts = dict(count_copy(asked(tmp_path)))
    assert await check_copy(asked(tmp_path, counts=counts)) == {"faults": [], "notes": []}
    said = await put_back_copy(asked(tmp_path, backup_id="b1"))
    assert said == {"mode_before": "NORMAL", "mode": "GUARDED", "carried": [], "replaced": []}
    with opened(tmp_path) as database:
        state = await loaded(database, tmp_path)
        verdict = await Audit(state, SqliteStore(database)).verify()
        page = await Audit(state, SqliteStore(database)).page(since=None, limit=5, before=None)
        assert verdict.fault is None
        assert [record.entry.act for record in page.records][:2] == ["mode_tighten", "restore"]
        assert state.tokens["ann"].revoked_at is None
        assert state.spend.live_attempts == set()
        assert state.spend.grants[AttemptKey("t", 5)].ended_at is not None


async def test_a_stricter_mode_stays_with_its_reason(tmp_path: Path) -> None:
    await prepared(tmp_path, Mode.STOPPED)
    said = await put_back_copy(asked(tmp_path, backup_id="b1"))
    assert said == {"mode_before": "STOPPED", "mode": "STOPPED", "carried": [], "replaced": []}
    with opened(tmp_path) as database:
        assert (await loaded(database, tmp_path)).mode_record.reason == "as it was"


async def test_after_a_compromise_no_token_no_credential_and_neither_key_is_good(tmp_path: Path) -> None:
    await prepared(tmp_path)
    more = {"backup_id": "b1", "new_key": NEW_KEY.hex(), "new_audit_key": NEW_AUDIT_KEY.hex()}
    await put_back_copy(asked(tmp_path, **more))
    with opened(tmp_path, NEW_KEY) as database:
        state = await loaded(database, tmp_path, NEW_AUDIT_KEY)
        verdict = await Audit(state, SqliteStore(database)).verify()
        assert verdict.fault is None and verdict.records >= 4
        assert all(token.revoked_at is not None for token in state.tokens.values())
        assert state.spend.live_attempts == set()
        assert state.spend.secret not in (b"", KEY), "whoever has copied it could work out what is handed out next"
    with opened(tmp_path, NEW_KEY) as database:
        state = await loaded(database, tmp_path, AUDIT_KEY)
        assert (await Audit(state, SqliteStore(database)).verify()).fault is not None, "the old key seals nothing"


async def test_a_log_that_was_cut_before_is_noted_and_the_copy_is_good(tmp_path: Path) -> None:
    await prepared(tmp_path)
    with opened(tmp_path) as database:
        database.write_sync(lambda connection: connection.execute("delete from audit where number = 2"))
    counts = dict(count_copy(asked(tmp_path)))
    found = await check_copy(asked(tmp_path, counts=counts))
    assert found["faults"] == [] and "missing" in found["notes"][0]


async def test_money_that_is_reserved_by_no_call_is_a_fault(tmp_path: Path) -> None:
    await prepared(tmp_path)
    with opened(tmp_path) as database:
        database.write_sync(
            lambda connection: connection.execute("insert into spend_balance values ('fleet', '', 0, 7, 1)")
        )
    counts = dict(count_copy(asked(tmp_path)))
    assert "reserved" in (await check_copy(asked(tmp_path, counts=counts)))["faults"][0]


async def test_what_is_there_tells_of_since_or_says_why_it_does_not(tmp_path: Path) -> None:
    await prepared(tmp_path / "there")
    shutil.copytree(tmp_path / "there", tmp_path / "copy")
    present = {**asked(tmp_path / "there"), "keys": [NEW_KEY.hex(), KEY.hex()]}
    copy = asked(tmp_path / "copy", counts=None)

    async def unknown(**more: Any) -> str:
        return str((await check_copy({**copy, "present": {**present, **more}}))["unknown"])

    assert await unknown() == ""
    assert "not here any more" in await unknown(path=str(tmp_path / "nowhere"))
    assert "opens with no key" in await unknown(keys=[NEW_KEY.hex()])
    assert "not whole" in await unknown(audit_key=NEW_AUDIT_KEY.hex())
    with opened(tmp_path / "there") as database:
        database.write_sync(
            lambda connection: connection.execute(
                "insert into schema_migrations select 99, name, checksum from schema_migrations limit 1"
            )
        )
    assert "cannot be read" in await unknown()
