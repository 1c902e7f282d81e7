"""Promise 7 against a model: many attempts, crashes at every step, lost replies and a clock that is set back."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import replace
from datetime import timedelta
from typing import Any, TypeVar

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from services.safety.domain.attempt import AttemptKey, Candidate, Outcome, OutcomeKind
from services.safety.domain.breaker import Breaker, Closed, HalfOpen, Open
from services.safety.domain.renewal import RenewalKind
from services.safety.ports import Changes
from tests.safety.world import FAILURE, NEUTRAL, RULES, SUCCESS, World, ended, wants

T = TypeVar("T")

# The window's rule is checked against its own reference; here the streak alone opens, so that the model is exact.
STREAK_RULES = replace(RULES, window=62, window_minimum=62, failure_share=1.0)


class BreakerMachine(RuleBasedStateMachine):
    """One agent, a coordinator that repeats its last call after every crash, and a model of what must be so."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.world = self.do(World.start(rules=STREAK_RULES))
        self.count = 0
        self.running: dict[AttemptKey, Candidate] = {}
        self.probes: dict[AttemptKey, float] = {}  # when each was admitted or last renewed, in true time
        self.streak = 0
        self.last_call: tuple[Outcome, ...] = ()

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        return self.loop.run_until_complete(work)

    def teardown(self) -> None:
        self.loop.close()

    @property
    def breaker(self) -> Breaker:
        return self.world.breaker()

    @rule(lost_reply=st.booleans())
    def start(self, lost_reply: bool) -> None:
        """An attempt asks to start; when the reply is lost it asks again and hears the same."""
        self.count += 1
        candidate = wants(f"t{self.count}")
        (admitted,) = self.do(self.world.ask(candidate))
        if lost_reply:
            assert self.do(self.world.ask(candidate)) == [admitted]
        if admitted:
            self.running[candidate.attempt] = candidate
            if self.breaker.holder == candidate.attempt:
                self.is_the_only_probe()
                self.probes[candidate.attempt] = self.world.clock.boottime()

    def is_the_only_probe(self) -> None:
        now, patience = self.world.clock.boottime(), RULES.permit_time.total_seconds()
        alive = [attempt for attempt, seen in self.probes.items() if now - seen < patience]
        assert not alive, f"a second probe beside {alive}"

    @precondition(lambda self: self.running)
    @rule(data=st.data(), kind=st.sampled_from([SUCCESS, FAILURE, FAILURE, NEUTRAL]))
    def end(self, data: st.DataObject, kind: OutcomeKind) -> None:
        """A running attempt ends."""
        attempt = data.draw(st.sampled_from(sorted(self.running)))
        del self.running[attempt]
        self.probes.pop(attempt, None)
        before = self.breaker
        heard = self.world.state.memory.admitted.get(attempt, 0)
        counts = isinstance(before.state, Closed) and kind is not NEUTRAL and not 0 < heard < before.epoch
        if counts:
            self.streak = self.streak + 1 if kind is FAILURE else 0
        self.last_call = (ended(attempt.task, kind),)
        self.do(self.world.tell(*self.last_call))
        if counts:
            assert isinstance(self.breaker.state, Open) == (self.streak >= 3)
        elif isinstance(before.state, Closed):
            assert isinstance(self.breaker.state, Closed)
        if isinstance(self.breaker.state, Open | HalfOpen):
            self.streak = 0

    @rule(repeats=st.booleans())
    def crash(self, repeats: bool) -> None:
        """kill -9; the coordinator, which may not have heard the reply, may tell its last outcomes again."""
        before = self.breaker
        self.do(self.world.crash())
        assert type(self.breaker.state) is type(before.state)
        assert self.breaker.consecutive == before.consecutive
        assert self.breaker.holder == before.holder
        if repeats and self.last_call:
            # The last call is always repeated before anything newer is told, so it must change nothing.
            told = self.breaker
            self.do(self.world.tell(*self.last_call))
            assert type(self.breaker.state) is type(told.state)
            assert (self.breaker.epoch, self.breaker.consecutive) == (told.epoch, told.consecutive)

    @rule()
    def renew(self) -> None:
        """The heartbeat."""
        answer = self.do(self.world.admission.renew(sorted(self.running)))
        assert all(renewal.kind is RenewalKind.CONTINUE for renewal in answer.renewals)
        for attempt in self.probes:
            if self.breaker.holder == attempt:
                self.probes[attempt] = self.world.clock.boottime()

    @rule(seconds=st.sampled_from([1, 20, 36, 290, 400, 5000]))
    def wait(self, seconds: int) -> None:
        """Time passes."""
        self.world.clock.advance(timedelta(seconds=seconds))

    @rule(seconds=st.sampled_from([5, 3600, 10**8]))
    def set_back(self, seconds: int) -> None:
        """The wall clock is set back."""
        self.world.clock.set_now(self.world.clock.now() - timedelta(seconds=seconds))
        # Whoever looks first after the jump begins the wait anew, so the bound below counts from here.
        self.do(self.world.ask(wants("looks", agent="other")))

    @invariant()
    def never_sticks(self) -> None:
        """From here, time alone leads to a start."""
        breaker, now = self.breaker, self.world.clock.now()
        breaker = breaker.as_of(now, epoch=breaker.epoch + 1)
        later = now + RULES.open_for(20, 1.0) + RULES.permit_time
        assert breaker.as_of(later, epoch=breaker.epoch + 1).lets_through(AttemptKey("somebody", 1), later)

    @invariant()
    def the_store_is_a_true_state(self) -> None:
        """The epoch never runs ahead of what was written when the breaker moved."""
        snapshot = self.do(self.world.store.load())
        stored = snapshot.breakers.get("agent:build", Breaker(scope="agent:build"))
        assert (stored.epoch, stored.consecutive) == (self.breaker.epoch, self.breaker.consecutive)


BreakerMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestBreakerMachine = BreakerMachine.TestCase


class ForgetfulStore:
    """Wraps a world's store so that breakers are never written: the control of the machine above."""

    def __init__(self, world: World) -> None:
        self._store = world.store
        self.load, self.history = world.store.load, world.store.history
        self.audit_after, self.audit_before = world.store.audit_after, world.store.audit_before

    async def commit(self, changes: Changes) -> int:
        """Drop the breakers."""
        return await self._store.commit(replace(changes, breakers=()))


async def test_the_machine_would_notice_a_store_that_forgets() -> None:
    world = await World.start()
    forgetful = await World.start(ForgetfulStore(world))
    await forgetful.fail(3)
    before = forgetful.breaker()
    await forgetful.crash()
    assert type(before.state) is Open
    assert type(forgetful.breaker().state) is Closed
