"""The audit log of a safety service as it is started: what it does while its checkpoint cannot be written."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from clients.safety_audit_values import AuditPage
from foundation.errors import Denied, Unavailable
from foundation.ids import random_bytes
from foundation.secrets import DATABASE_KEY, next_key_account, open_secret_store, user_account
from foundation.sqlite.connection import Location, connect
from tests.safety.test_service import Home, home, serving  # noqa: F401 - fixtures
from tests.waiting import eventually


async def page(home: Home) -> AuditPage:  # noqa: F811
    async with home.calling_as(home.user) as user:
        return await user.audit.page(limit=10)


async def test_with_no_place_for_the_checkpoint_what_loosens_is_refused_and_what_tightens_is_not(
    serving: Home,  # noqa: F811
) -> None:
    folder, aside = serving.workspace.audit, serving.workspace.state / "aside"
    folder.rename(aside)
    folder.touch()  # a file where the folder belongs: nobody, not even root, can write in it
    async with serving.calling_as(serving.user) as user:
        with pytest.raises(Unavailable, match="nothing privileged is changed") as caught:
            await user.issue_token("ci", ["read"])
        assert caught.value.code == "audit_unwritable"
        assert "ci" not in [token.name for token in await user.list_tokens()]
        await user.revoke_token(serving.reader.id)
        assert (await user.tighten_mode("STOPPED", reason="enough")).changed
        with pytest.raises(Unavailable):
            await user.resume_mode(reason="go on")
        assert (await user.get_mode()).mode == "STOPPED"
        folder.unlink()
        aside.rename(folder)

        async def confirmed() -> bool:
            return (await user.audit.verify()).unconfirmed == 0

        await eventually(confirmed, "the checkpoint has caught up")
        assert (await user.audit.verify()).fault is None
        await user.resume_mode(reason="go on")
    acts = [record.act for record in (await page(serving)).records]
    assert acts[:3] == ["mode_loosen", "mode_tighten", "token_revoke"]


async def test_a_kill_leaves_a_log_that_is_as_it_was_written(serving: Home) -> None:  # noqa: F811
    checkpoint = serving.workspace.audit / "checkpoint.json"
    async with serving.calling_as(serving.user) as user:
        await user.issue_token("one", ["read"])
        before = checkpoint.read_bytes()
        await user.issue_token("two", ["read"])
    serving.end(signal.SIGKILL)
    _as_if_killed_before(checkpoint, before)
    await serving.start()
    async with serving.calling_as(serving.user) as user:
        verdict = await user.audit.verify()
    assert (verdict.fault, verdict.unconfirmed) == (None, 0)
    assert checkpoint.read_bytes() != before


async def test_a_new_key_for_the_database_covers_up_nothing(home: Home) -> None:  # noqa: F811
    assert home.provision().returncode == 0
    secrets, workspace = open_secret_store(home.workspace, os.environ), home.workspace
    key = secrets.get(DATABASE_KEY, user_account(workspace))
    assert key is not None
    connection = connect(Location(path=workspace.safety_db, key=bytes.fromhex(key)))
    connection.execute("delete from audit where number = (select max(number) from audit)")
    missing = connection.execute("select max(number) + 1 from audit").get
    connection.close()
    secrets.set(DATABASE_KEY, next_key_account(workspace), random_bytes(32).hex())
    assert home.command("rekey").returncode == 0
    await home.start()
    async with home.calling_as(home.user) as user:
        verdict = await user.audit.verify()
        assert verdict.fault is not None
        assert (verdict.fault.number, verdict.fault.kind) == (missing, "missing")
        acts = [record.act for record in (await user.audit.page(limit=2)).records]
    assert acts == ["database_key_rotate", "audit_broken"]


async def test_the_log_is_for_administrators(serving: Home) -> None:  # noqa: F811
    async with serving.calling_as(serving.reader) as reader:
        for ask in (reader.audit.page(), reader.audit.verify(), reader.audit.record([])):
            with pytest.raises(Denied):
                await ask


def _as_if_killed_before(checkpoint: Path, content: bytes) -> None:
    """The commit had happened, and the checkpoint's turn had not come."""
    checkpoint.write_bytes(content)
