"""The credential of an attempt: good for it alone, while it is renewed, until it ends."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from foundation.errors import Denied, NotFound, Unauthenticated, Unavailable
from foundation.ids import random_bytes
from foundation.sqlite.database import Database
from foundation.tokens import mint, parse
from services.safety.adapters.memory import MemoryStore
from services.safety.adapters.sqlite import MIGRATIONS, SqliteStore
from services.safety.app.spend_lives import TERM
from services.safety.domain.attempt import AttemptKey
from services.safety.ports import SafetyStore
from tests.safety.spending import DOLLAR, Purse
from tests.safety.world import key, wants

DAY = timedelta(days=1)


@pytest.fixture(params=["memory", "sqlite"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[SafetyStore]:
    if request.param == "memory":
        yield MemoryStore()
        return
    with Database.open(tmp_path / "safety.db", key=b"\x05" * 32, migrations=MIGRATIONS) as database:
        yield SqliteStore(database)


async def test_an_attempt_that_nobody_renews_is_promised_nothing_new(store: SafetyStore) -> None:
    purse = await Purse.open(store)
    clock = purse.world.clock
    clock.advance(DAY)
    token = await purse.start("t")
    held = await purse.call(token, "a")
    await purse.call(token, "b")
    for _ in range(5):
        clock.advance(timedelta(seconds=30))
        await purse.renewed("t")
    clock.advance(TERM)
    late = await purse.call(token, "c")
    clock.advance(timedelta(seconds=1))
    for refused in (purse.call(token, "d"), purse.spend.extend(token, "c", input_tokens=1, output_tokens=1)):
        with pytest.raises(Unavailable, match="was not renewed") as said:
            await refused
        assert said.value.retry_after
    assert await purse.call(token, "a") == held, "it was promised before"
    await purse.spend.settle(token, "a", DOLLAR)
    await purse.spend.release(token, "b")
    assert (await purse.spend.settle(token, "c", DOLLAR)).micros == late.micros
    await purse.renewed("t")
    await purse.call(token, "d")
    clock.advance(3 * DAY)
    await purse.crash()
    await purse.call(token, "e")  # after a restart of safety there is one full term
    clock.advance(TERM + timedelta(seconds=1))
    with pytest.raises(Unavailable):
        await purse.call(token, "f")


async def test_an_attempts_credential_is_good_for_it_alone_and_dies_with_it(store: SafetyStore) -> None:
    purse = await Purse.open(store)
    token = await purse.start("t")
    text = purse.credentials["t", 1]
    caller = purse.spend.verify(text)
    assert caller is not None and (caller.token_id, caller.scopes) == (token, frozenset({"spend"}))
    await purse.start("t")
    assert purse.credentials["t", 1] == text, "the same attempt hears the same"
    await purse.crash()
    assert purse.spend.verify(text) == caller
    assert await purse.start("other") != token
    assert purse.spend.verify(mint(random_bytes).text) is None
    await purse.call(token, "a")
    newer = await purse.start("t", fence=2)
    for stale in (purse.call(token, "b"), purse.spend.settle(token, "a", 1)):
        with pytest.raises(Unauthenticated, match="died with its attempt"):
            await stale
    with pytest.raises(NotFound):
        await purse.spend.settle(newer, "a", 1)
    with pytest.raises(Unauthenticated):
        purse.spend.verify(text)
    await purse.end("t", fence=2)
    await purse.crash()
    with pytest.raises(Unauthenticated):
        purse.spend.verify(purse.credentials["t", 2])


async def test_an_attempt_that_has_ended_or_was_followed_gets_no_credential_again(store: SafetyStore) -> None:
    purse = await Purse.open(store)
    await purse.start("t")
    await purse.start("t", fence=3)
    await purse.end("t", fence=3)
    for _ in range(2):
        for fence in (3, 2, 1):
            again = await purse.admission.admit((), [wants("t", "writer", fence=fence, uses=("cloud:acme",))])
            assert again.decisions[0].admitted and again.credentials == [""]
        for text in purse.credentials.values():
            with pytest.raises(Unauthenticated):
                purse.spend.verify(text)
        await purse.crash()
    assert await purse.start("t", fence=4) != ""


async def test_of_two_attempts_in_one_batch_the_newer_may_spend() -> None:
    for first, second in ((1, 2), (2, 1)):
        purse = await Purse.open()
        wanted = [wants("t", "writer", fence=fence, uses=("cloud:acme",)) for fence in (first, second)]
        texts = dict(zip((first, second), (await purse.admission.admit((), wanted)).credentials, strict=True))
        assert texts[1] == "" and purse.spend.verify(texts[2]) is not None
        assert purse.world.state.spend.live_attempts == {AttemptKey("t", 2)}


async def test_agents_that_use_no_cloud_cost_no_commit_and_get_no_credential() -> None:
    purse = await Purse.open()
    revision = (await purse.world.store.load()).revision
    answer = await purse.admission.admit((), [wants("plain", uses=("project:x",))])
    assert answer.decisions[0].admitted and not any(answer.credentials)
    assert (await purse.world.store.load()).revision == revision


async def test_an_attempt_that_may_spend_nothing_can_have_a_credential_to_be_known_by(store: SafetyStore) -> None:
    purse = await Purse.open(store)
    asks = wants("t", "merge-check")
    (nothing,) = (await purse.admission.admit((), [wants("u", "merge-check", uses=("tool:git",))])).credentials
    assert nothing == "", "the control: who is neither identified nor spends has none"
    (text,) = (await purse.admission.admit((), [replace(asks, identified=True)])).credentials
    assert purse.admission.identify(text) == asks.attempt
    await purse.crash()
    assert purse.admission.identify(text) == asks.attempt
    with pytest.raises(Denied, match="does not say that it uses acme"):
        await purse.call(parse(text).id, "a")
    (newer,) = (
        await purse.admission.admit((), [replace(wants("t", "merge-check", fence=2), identified=True)])
    ).credentials
    assert purse.admission.identify(newer) == key("t", 2)
    with pytest.raises(Unauthenticated, match="died with its attempt"):
        purse.admission.identify(text)
    await purse.end("t", fence=2)
    for dead in (newer, mint(random_bytes).text):
        with pytest.raises(Unauthenticated):
            purse.admission.identify(dead)
