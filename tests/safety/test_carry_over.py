"""What was closed since a backup stays closed when it is put back; nothing that was opened since is."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from copy import deepcopy
from dataclasses import dataclass
from datetime import timedelta

import pytest

from foundation.ids import random_bytes
from foundation.tokens import mint
from services.safety.adapters.memory import MemoryCheckpoint, MemoryStore
from services.safety.app.put_back import Fresh, PutBack, PuttingBack, goes_back_to, put_back
from services.safety.app.state import SafetyState
from services.safety.domain.audit import Actor, Head, checkpoint_of
from services.safety.domain.breaker import StateName
from services.safety.domain.budget import BudgetRules, Grade
from services.safety.domain.mode import Mode
from services.safety.domain.spend_caps import AccountKey, CapName, Per
from services.safety.domain.token import TokenRecord
from tests.safety.spending import DOLLAR, Purse
from tests.safety.world import AUDIT_KEY, FAILURE, FakeStopSignal, ended

WHO = Actor(name="ann", source="quantum restore")
OVERLAP = timedelta(minutes=15)
FREEZING = 5


@dataclass(kw_only=True)
class Story:
    """A safety, what its database was when the backup was made, and its tokens by name."""

    purse: Purse
    backup: MemoryStore
    ids: dict[str, str]

    @classmethod
    async def told(cls, *, before: Callable[[Purse], Awaitable[None]] | None = None) -> Story:
        """A backup of a safety with three tokens, an attempt that spends, and what `before` does."""
        store = MemoryStore()
        purse = await Purse.open(store, fleet_day=100)
        issued = {name: await purse.world.tokens.issue(name, ["read"], None) for name in ("ann", "lost", "own")}
        token = await purse.start("early")
        await purse.spend.settle(token, (await purse.call(token, "one")).key.key, DOLLAR)
        await purse.call(token, "two")
        if before is not None:
            await before(purse)
        return cls(purse=purse, backup=deepcopy(store), ids={name: one.record.id for name, one in issued.items()})

    async def restored(self, *, blind: bool = False, new_tokens: bool = False) -> tuple[SafetyState, PutBack, str]:
        """The backup put back over what there is now (`blind`: which cannot be read); its own token's coming id."""
        await self.purse.world.state.flush()
        present = await self.purse.world.store.load()
        store, fresh = deepcopy(self.backup), mint(random_bytes)
        head = (await store.load()).audit_head
        checkpoint = MemoryCheckpoint(checkpoint_of(head, AUDIT_KEY))
        clock = self.purse.world.clock
        state = await SafetyState.load(store, FakeStopSignal(), clock, audit_key=AUDIT_KEY, checkpoint=checkpoint)
        asked = PuttingBack(
            backup_id="b",
            actor=WHO,
            present=None if blind else present,
            caps=self.purse.tariff.caps,
            own={self.ids["own"]: Fresh(fresh.id, fresh.digest)},
            new_tokens=new_tokens,
        )
        done = await put_back(state, asked)
        again = await SafetyState.load(store, FakeStopSignal(), clock, audit_key=AUDIT_KEY, checkpoint=checkpoint)
        assert again.tokens == state.tokens and again.spend.balances == state.spend.balances, "all of it is durable"
        return state, done, fresh.id

    def token(self, state: SafetyState, name: str) -> TokenRecord:
        """A token by its name."""
        return state.tokens[self.ids[name]]


async def test_nothing_happened_since_and_nothing_is_changed() -> None:
    story = await Story.told()
    before = await story.backup.load()
    state, done, _ = await story.restored()
    assert (done.carried, done.replaced) == ([], [])
    assert (state.tokens, state.spend.balances) == (before.tokens, before.spend.balances)


@pytest.mark.parametrize("blind", [False, True], ids=["", "control: nothing is known of since"])
async def test_what_was_revoked_or_replaced_since_stays_so(blind: bool) -> None:
    story = await Story.told()
    tokens, clock = story.purse.world.tokens, story.purse.world.clock
    await tokens.revoke(story.ids["lost"])
    successor = await tokens.rotate(story.ids["ann"])
    await tokens.confirm(successor.record.id)
    later = await tokens.issue("since", ["admin"], None)
    clock.advance(timedelta(hours=1))
    state, done, _ = await story.restored(blind=blind)
    ended_now = {name: story.token(state, name).ended(clock.now()) for name in story.ids}
    assert ended_now == {"ann": not blind, "lost": not blind, "own": False}
    assert later.record.id not in state.tokens and successor.record.id not in state.tokens, "nothing is opened"
    assert state.revocation > (await story.backup.load()).revocation or blind
    assert blind or "2 tokens" in done.carried[0]


async def test_an_invitation_that_was_used_since_is_not_good_again() -> None:
    story = await Story.told()
    used = story.token(story.purse.world.state, "lost")
    now = story.purse.world.clock.now()

    def use(draft: object) -> None:
        draft.tokens[used.id] = TokenRecord(  # type: ignore[attr-defined]
            id=used.id, name=used.name, digest=used.digest, scopes=used.scopes, created_at=used.created_at, used_at=now
        )
        draft.must_be_durable = True  # type: ignore[attr-defined]

    await story.purse.world.state.change(use)
    state, _, _ = await story.restored()
    assert story.token(state, "lost").used_at == now


async def test_the_workspaces_own_tokens_are_made_anew_where_they_have_ended_since() -> None:
    """Else, after quantum isolate or a week of rotations, nothing could start, and nobody would get in."""
    story = await Story.told()
    await story.purse.world.tokens.revoke(story.ids["own"])
    state, done, fresh = await story.restored()
    assert done.replaced == [story.ids["own"]]
    assert story.token(state, "own").revoked_at is not None
    assert not state.tokens[fresh].ended(story.purse.world.clock.now())
    assert (state.tokens[fresh].name, state.tokens[fresh].scopes) == ("own", frozenset({"read"}))


async def test_one_that_was_revoked_before_the_backup_is_not_made_anew() -> None:
    async def revoke(purse: Purse) -> None:
        own = next(token.id for token in purse.world.state.tokens.values() if token.name == "own")
        await purse.world.tokens.revoke(own)

    story = await Story.told(before=revoke)
    state, done, fresh = await story.restored(new_tokens=True)
    assert done.replaced == [] and fresh not in state.tokens


async def test_with_new_tokens_none_of_then_is_good_but_the_own_one_has_a_successor() -> None:
    story = await Story.told()
    state, done, fresh = await story.restored(blind=True, new_tokens=True)
    now = story.purse.world.clock.now()
    assert [token.id for token in state.tokens.values() if not token.ended(now)] == [fresh]
    assert done.replaced == [story.ids["own"]]


@pytest.mark.parametrize("blind", [False, True], ids=["", "control: nothing is known of since"])
async def test_a_stricter_mode_stays_and_a_laxer_one_does_not_come(blind: bool) -> None:
    story = await Story.told()
    await story.purse.world.modes.tighten(Mode.FROZEN, reason="the fire drill", actor="bob")
    state, done, _ = await story.restored(blind=blind)
    assert state.mode_record.mode is (Mode.GUARDED if blind else Mode.FROZEN)
    assert blind or (state.mode_record.actor, state.mode_record.reason) == ("bob", "the fire drill")
    assert done.mode is state.mode_record.mode

    async def freeze(purse: Purse) -> None:
        await purse.world.modes.tighten(Mode.FROZEN, reason="as it was", actor="ann")

    frozen = await Story.told(before=freeze)
    await frozen.purse.world.modes.resume(reason="over", actor="ann")
    state, _, _ = await frozen.restored(blind=blind)
    assert state.mode_record.mode is Mode.FROZEN


@pytest.mark.parametrize("blind", [False, True], ids=["", "control: nothing is known of since"])
async def test_breakers_that_hold_somebody_since_stay_and_those_of_then_too(blind: bool) -> None:
    async def hold(purse: Purse) -> None:
        await purse.world.breakers.force_open("agent:then", reason="kept shut", actor="ann")
        await purse.world.breakers.force_closed("agent:let", reason="go", actor="ann", lasting=timedelta(days=1))

    story = await Story.told(before=hold)
    breakers = story.purse.world.breakers
    await breakers.reset("agent:then", reason="well again", actor="ann")
    await breakers.force_open("agent:since", reason="it mails customers", actor="bob")
    await breakers.force_open("agent:let", reason="not any more", actor="bob")
    await story.purse.world.fail(3)
    state, done, _ = await story.restored(blind=blind)
    names = {scope: breaker.state.name for scope, breaker in state.breakers.items()}
    assert names["agent:then"] is StateName.FORCED_OPEN
    assert names["agent:let"] is (StateName.FORCED_CLOSED if blind else StateName.FORCED_OPEN)
    assert names.get("agent:since") is (None if blind else StateName.FORCED_OPEN)
    assert names.get("agent:build") is (None if blind else StateName.OPEN)
    assert blind or state.breakers["agent:since"].reason == "it mails customers"
    assert blind or any("agent:since (forced open)" in sentence for sentence in done.carried)


@pytest.mark.parametrize("blind", [False, True], ids=["", "control: nothing is known of since"])
async def test_what_was_spent_since_counts_and_promises_are_charged_in_full(blind: bool) -> None:
    story = await Story.told()
    assert story.purse.booked == (1, 1)
    token = await story.purse.start("late")
    await story.purse.spend.settle(token, (await story.purse.call(token, "x")).key.key, 3 * DOLLAR)
    await story.purse.call(token, "y")
    state, _, _ = await story.restored(blind=blind)
    day = story.purse.world.clock.now().strftime("%Y-%m-%d")
    for account in (AccountKey("fleet", ""), AccountKey("fleet", day), AccountKey("cloud:acme", day)):
        found = state.spend.balances[account]
        assert found.spent + found.reserved == (2 if blind else 6) * DOLLAR
        assert found.reserved == DOLLAR, "of the call of then, which is charged after its time"
    late = state.spend.balances.get(AccountKey("attempt:late", ""))
    assert (late.spent if late else 0) == (0 if blind else 4 * DOLLAR)


async def test_money_that_is_booked_twice_as_high_then_stays_and_nothing_is_counted_twice() -> None:
    story = await Story.told()
    await story.purse.end("early")
    token = await story.purse.start("again", fence=2)
    await story.purse.spend.release(token, (await story.purse.call(token, "z")).key.key)
    state, _, _ = await story.restored()
    fleet = state.spend.balances[AccountKey("fleet", "")]
    assert (fleet.spent, fleet.reserved) == (DOLLAR, DOLLAR)


@pytest.mark.parametrize("blind", [False, True], ids=["", "control: nothing is known of since"])
async def test_a_cap_that_was_lowered_since_stays_and_a_raised_one_does_not_come(blind: bool) -> None:
    async def cap(purse: Purse) -> None:
        await purse.set_cap("agent:writer", 7, "day")

    story = await Story.told(before=cap)
    await story.purse.set_cap("fleet", 3, "day")
    await story.purse.set_cap("agent:writer", 70, "day")
    await story.purse.set_cap("fleet", None, "month")
    state, _, _ = await story.restored(blind=blind)
    found = {name: one.micros for name, one in state.spend.caps.items()}
    assert found == {CapName("agent:writer", Per.DAY): 7 * DOLLAR} | (
        {} if blind else {CapName("fleet", Per.DAY): 3 * DOLLAR}
    )
    raised = await Story.told()
    await raised.purse.set_cap("fleet", 300, "day")
    state, _, _ = await raised.restored(blind=blind)
    assert state.spend.caps == {}, "what is written down, 100, is less"


@pytest.mark.parametrize("blind", [False, True], ids=["", "control: nothing is known of since"])
async def test_failures_since_count_and_an_error_budget_that_is_spent_stays_so(blind: bool) -> None:
    story = await Story.told()
    world = story.purse.world
    world.state._budget_rules = BudgetRules()
    await world.tell(*(ended(f"f{number}", FAILURE, "flaky") for number in range(FREEZING)))
    assert world.state.budgets.standings["agent:flaky"].grade is Grade.SPENT
    state, _, _ = await story.restored(blind=blind)
    standing, counts = state.budgets.standings.get("agent:flaky"), state.budgets.counts.get("agent:flaky")
    assert (standing.grade if standing else Grade.NORMAL) is (Grade.NORMAL if blind else Grade.SPENT)
    assert (counts.failures if counts else 0) == (0 if blind else FREEZING)
    fleet = state.budgets.counts.get("fleet")
    assert (fleet.failures if fleet else 0) == (0 if blind else FREEZING)


async def test_a_database_knows_of_since_when_its_log_has_gone_on_from_there() -> None:
    story = await Story.told()
    then = (await story.backup.load()).audit_head
    before = (await story.purse.world.store.load()).audit_head
    assert await goes_back_to(story.purse.world.store, then)
    await story.purse.world.tokens.revoke(story.ids["lost"])
    aside = (await story.purse.world.store.load()).audit_head
    assert await goes_back_to(story.purse.world.store, before)
    assert not await goes_back_to(story.backup, aside), "one of before knows nothing of it"
    assert not await goes_back_to(MemoryStore(), then)
    assert not await goes_back_to(story.purse.world.store, Head(count=then.count, digest="f" * 64)), "another one's log"
    state, _, _ = await story.restored()
    assert await goes_back_to(state._store, aside), "a restore has taken over what was known there"
