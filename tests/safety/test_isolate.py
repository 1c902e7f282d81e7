"""Safety's database that is isolated: no token and no attempt's credential of before is good, in one commit."""

from __future__ import annotations

import json
from pathlib import Path

from foundation.clock import SystemClock
from services.safety.adapters.checkpoint_file import FileCheckpoint
from services.safety.adapters.sqlite import SqliteStore
from services.safety.app.audit import Audit
from services.safety.app.isolate import isolate
from services.safety.domain.attempt import AttemptKey
from services.safety.domain.audit import Actor
from services.safety.domain.mode import Mode
from tests.safety.test_put_back import AUDIT_KEY, loaded, opened, prepared


async def test_neither_a_token_nor_an_attempt_s_credential_is_good_any_more(tmp_path: Path) -> None:
    await prepared(tmp_path)
    fresh = {"id": "new", "digest": "1" * 64, "name": "user", "scopes": ["read"], "expires_at": None}
    with opened(tmp_path) as database:
        assert (await loaded(database, tmp_path)).spend.live_attempts == {AttemptKey("t", 5)}
        revoked = await isolate(
            SqliteStore(database),
            json.dumps({"tokens": [fresh], "reason": "a stranger"}),
            actor=Actor(name="ann", source="test"),
            now=SystemClock().now(),
            audit_key=AUDIT_KEY,
            checkpoint=FileCheckpoint(tmp_path / "audit"),
        )
    with opened(tmp_path) as database:
        state = await loaded(database, tmp_path)
        assert revoked == 1
        assert [name for name, token in state.tokens.items() if token.revoked_at is None] == ["new"]
        assert state.spend.live_attempts == set()
        assert state.mode_record.mode is Mode.STOPPED
        assert (await Audit(state, SqliteStore(database)).verify()).fault is None
