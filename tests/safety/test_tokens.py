"""The tokens' verbs, and the first tokens of a workspace."""

from __future__ import annotations

import json
from contextlib import aclosing
from datetime import timedelta

import pytest

from foundation import tokens as token_form
from foundation.errors import Conflict, Invalid, NotFound, Unauthenticated
from foundation.ids import random_bytes
from foundation.tokens import digest_of, mint
from services.safety.app.provision import provision
from tests.safety.world import AUDIT_KEY, World


async def test_an_issued_token_is_good_also_after_a_restart() -> None:
    world = await World.start()
    issued = await world.tokens.issue("ci", ["read", "submit"], None)
    await world.crash()
    caller = await world.tokens.verify(issued.text)
    assert (caller.token_id, caller.name, caller.scopes) == (issued.record.id, "ci", frozenset({"read", "submit"}))
    assert issued.record.digest == digest_of(issued.text)


@pytest.mark.parametrize(
    ("name", "scopes", "lifetime"),
    [
        ("", ["read"], None),
        ("n" * 65, ["read"], None),
        ("a\nb", ["read"], None),
        ("ci", [], None),
        ("ci", ["service:coordinator"], None),
        ("ci", ["everything"], None),
        ("ci", ["read"], timedelta(0)),
        ("ci", ["read"], timedelta(days=3_000_000)),
    ],
)
async def test_a_token_that_should_not_be_is_not_issued(
    name: str, scopes: list[str], lifetime: timedelta | None
) -> None:
    world = await World.start()
    with pytest.raises(Invalid):
        await world.tokens.issue(name, scopes, lifetime)
    assert world.tokens.list() == []


async def test_each_bad_token_is_refused_for_its_own_reason() -> None:
    world = await World.start()
    short = await world.tokens.issue("short", ["read"], timedelta(minutes=5))
    gone = await world.tokens.issue("gone", ["read"], None)
    await world.tokens.revoke(gone.record.id)
    world.clock.advance(timedelta(minutes=5))
    for text, code in [
        ("your-token", "malformed_token"),
        (mint(random_bytes).text, "token_unknown"),
        (short.text, "token_expired"),
        (gone.text, "token_revoked"),
    ]:
        with pytest.raises(Unauthenticated) as caught:
            world.tokens.validate(text)
        assert caught.value.code == code


async def test_the_right_id_with_another_secret_is_unknown() -> None:
    world = await World.start()
    issued = await world.tokens.issue("ci", ["read"], None)
    body = f"qtm_{issued.record.id}_{'0' * 43}"
    with pytest.raises(Unauthenticated) as caught:
        world.tokens.validate(f"{body}_{token_form._checksum(body)}")
    assert caught.value.code == "token_unknown"


async def test_revoking_raises_the_number_once_and_survives() -> None:
    world = await World.start()
    issued = await world.tokens.issue("ci", ["read"], None)
    assert world.tokens.revocation == 0
    await world.tokens.revoke(issued.record.id)
    await world.tokens.revoke(issued.record.id)
    await world.crash()
    assert world.tokens.revocation == 1
    assert world.tokens.list()[0].revoked_at is not None
    with pytest.raises(NotFound):
        await world.tokens.revoke("nobody")


async def test_whoever_rotated_a_stolen_token_loses_the_new_one_when_the_stolen_one_is_revoked() -> None:
    world = await World.start()
    stolen = await world.tokens.issue("user", ["read", "rotate"], timedelta(days=1))
    taken = await world.tokens.rotate(stolen.record.id)
    await world.tokens.revoke(stolen.record.id)
    with pytest.raises(Unauthenticated) as caught:
        world.tokens.validate(taken.text)
    assert caught.value.code == "token_revoked"
    for verb in (world.tokens.confirm, world.tokens.rotate):  # let in before the revocation, answered after it
        with pytest.raises(Unauthenticated):
            await verb(taken.record.id)
    with pytest.raises(Unauthenticated):
        await world.tokens.rotate(stolen.record.id)
    await world.crash()
    with pytest.raises(Unauthenticated):
        world.tokens.validate(taken.text)


async def test_a_rotation_that_was_cut_short_is_confirmed_days_later() -> None:
    """The new token is all that is in the keychain then: were it dead by then, nobody could get in any more."""
    world = await World.start()
    old = await world.tokens.issue("user", ["read", "rotate"], None)
    new = await world.tokens.rotate(old.record.id)
    assert new.record.expires_at is not None  # how a rotation that was cut short is known
    world.clock.advance(timedelta(days=7))
    world.tokens.validate(new.text)
    replaced = await world.tokens.confirm(new.record.id)
    assert replaced is not None and replaced.expires_at == world.clock.now() + timedelta(minutes=15)
    assert world.tokens.validate(new.text).expires_at is None


async def test_a_use_that_is_noted_during_a_revocation_does_not_undo_it() -> None:
    world = await World.start()
    issued = await world.tokens.issue("ci", ["read"], None)
    world.tokens.validate(issued.text)  # owed: the last use
    await world.tokens.revoke(issued.record.id)
    await world.state.flush()
    await world.crash()
    with pytest.raises(Unauthenticated):
        world.tokens.validate(issued.text)


async def test_last_use_is_kept_to_the_minute() -> None:
    world = await World.start()
    issued = await world.tokens.issue("ci", ["read"], None)
    first = world.clock.now()
    world.tokens.validate(issued.text)
    world.clock.advance(timedelta(seconds=59))
    world.tokens.validate(issued.text)
    assert world.tokens.list()[0].last_used_at == first
    await world.state.flush()
    await world.crash()
    assert world.tokens.list()[0].last_used_at == first


async def test_watchers_hear_a_beat_and_a_revocation() -> None:
    world = await World.start()
    tokens = world.tokens
    issued = await tokens.issue("ci", ["read"], None)
    async with aclosing(tokens.watch_revocations()) as beats:
        assert await anext(beats) == 0
        assert await anext(beats) == 0
        await tokens.revoke(issued.record.id)
        assert await anext(beats) == 1


def _document(**more: object) -> str:
    token = mint(random_bytes)
    entry = {"id": token.id, "digest": token.digest, "name": "user", "scopes": ["read"], "expires_at": None}
    return json.dumps({"tokens": [{**entry, **more}]})


async def test_provision_twice_is_provision_once() -> None:
    world = await World.start()
    document = _document(scopes=["service:coordinator", "read"], expires_at="2030-01-01T00:00:00Z")
    assert (
        await provision(world.store, document, now=world.clock.now(), audit_key=AUDIT_KEY, checkpoint=world.checkpoint)
        == 1
    )
    assert (
        await provision(world.store, document, now=world.clock.now(), audit_key=AUDIT_KEY, checkpoint=world.checkpoint)
        == 0
    )
    await world.crash()
    (record,) = world.tokens.list()
    assert record.scopes == {"service:coordinator", "read"}
    clash = json.loads(document)
    clash["tokens"][0]["digest"] = "0" * 64
    with pytest.raises(Conflict):
        await provision(
            world.store, json.dumps(clash), now=world.clock.now(), audit_key=AUDIT_KEY, checkpoint=world.checkpoint
        )


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '{"tokens": {}}',
        '{"tokens": [1]}',
        _document(scopes=[]),
        _document(scopes="read"),
        _document(name=""),
        _document(expires_at="tomorrow"),
        _document(expires_at="2030-01-01T00:00:00"),
        _document(colour="red"),
    ],
)
async def test_provision_refuses_what_it_does_not_understand(text: str) -> None:
    world = await World.start()
    with pytest.raises(Invalid):
        await provision(world.store, text, now=world.clock.now(), audit_key=AUDIT_KEY, checkpoint=world.checkpoint)
    assert (await world.store.load()).tokens == {}
