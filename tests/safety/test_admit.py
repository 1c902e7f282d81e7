"""Admit: outcomes first, each counted once; all gates before any permit; the same answer again."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import pytest

from foundation.errors import Invalid
from foundation.ids import FixedRandomness
from services.safety.app.admit import Admission
from services.safety.app.draft import Draft
from services.safety.app.state import ADMISSIONS_KEPT_MAX
from services.safety.domain.admission import BreakerGate, Gate, ModeGate
from services.safety.domain.attempt import OutcomeKind
from services.safety.domain.breaker import Closed, HalfOpen, Open
from services.safety.domain.mode import Mode, StopOrder
from services.safety.domain.renewal import RenewalKind
from tests.safety.world import FAILURE, NEUTRAL, RULES, SUCCESS, World, ended, key, wants

OPEN_TIME = timedelta(seconds=300)


async def test_the_third_failure_in_a_row_holds_the_agent_and_no_other() -> None:
    world = await World.start()
    await world.fail(2)
    assert await world.ask(wants("a")) == [True]
    await world.fail(1)
    assert await world.ask(wants("b"), wants("c", agent="other")) == [False, True]


async def test_outcomes_come_before_candidates_of_the_same_call() -> None:
    world = await World.start()
    await world.fail(2)
    answer = await world.admission.admit([ended("x", FAILURE)], [wants("a")])
    assert not answer.decisions[0].admitted


async def test_a_refusal_says_who_why_and_when() -> None:
    world = await World.start()
    await world.fail(3)
    (decision,) = (await world.admission.admit((), [wants("a")])).decisions
    refusal = decision.foremost
    assert (refusal.scope, refusal.code) == ("agent:build", "breaker")
    assert refusal.reason == (
        "agent build is held by its breaker: 3 failures in a row, last: exit 1; next probe at 00:05:00 UTC"
    )
    assert refusal.ask_again_at == world.clock.now() + OPEN_TIME


async def test_an_outcome_that_is_told_again_counts_once() -> None:
    world = await World.start()
    for _ in range(5):
        await world.tell(ended("x", FAILURE))
    assert world.breaker().consecutive == 1
    await world.crash()
    await world.tell(ended("x", FAILURE))
    assert world.breaker().consecutive == 1
    await world.tell(ended("x", FAILURE, fence=2))
    assert world.breaker().consecutive == 2


async def test_a_repeated_call_whose_success_came_first_leaves_the_streak_alone() -> None:
    """The success is owed, the failure durable; repeated after a crash, neither may count again."""
    world = await World.start()
    call = (ended("s", SUCCESS), ended("f", FAILURE))
    await world.tell(*call)
    await world.crash()
    await world.tell(*call)
    assert world.breaker().consecutive == 1


async def test_what_says_nothing_does_not_break_a_streak() -> None:
    world = await World.start()
    await world.fail(2)
    await world.run_once(NEUTRAL)
    await world.fail(1)
    assert isinstance(world.breaker().state, Open)


async def test_the_same_attempt_hears_the_same_decision() -> None:
    world = await World.start()
    assert await world.ask(wants("a")) == [True]
    await world.fail(3)
    assert await world.ask(wants("a"), wants("b")) == [True, False]
    world.signal.order = StopOrder(actor="ann", reason="fire", since=None)
    assert await world.ask(wants("a")) == [False]


async def test_an_admission_is_forgotten_with_its_outcome() -> None:
    world = await World.start()
    assert await world.ask(wants("a")) == [True]
    await world.tell(ended("a", NEUTRAL))
    await world.fail(3)
    assert await world.ask(wants("a")) == [False]


async def test_one_probe_even_within_one_batch_and_again_for_the_same_attempt() -> None:
    world = await World.start()
    await world.fail(3)
    world.clock.advance(OPEN_TIME)
    assert await world.ask(wants("a"), wants("b")) == [True, False]
    assert await world.ask(wants("b"), wants("a")) == [False, True]
    await world.crash()
    assert await world.ask(wants("b"), wants("a")) == [False, True]


async def test_a_probe_forgotten_by_everybody_makes_room_but_is_not_admitted_beside_the_next() -> None:
    world = await World.start()
    await world.fail(3)
    world.clock.advance(OPEN_TIME)
    assert await world.ask(wants("a")) == [True]
    world.clock.advance(RULES.permit_time)
    assert await world.ask(wants("b"), wants("a")) == [True, False]


async def test_a_renewed_probe_keeps_its_permit() -> None:
    world = await World.start()
    await world.fail(3)
    world.clock.advance(OPEN_TIME)
    await world.ask(wants("a"))
    for _ in range(10):
        world.clock.advance(timedelta(seconds=20))
        answer = await world.admission.renew([key("a"), key("stranger")])
        assert [renewal.kind for renewal in answer.renewals] == [RenewalKind.CONTINUE] * 2
        assert await world.ask(wants("b")) == [False]


@pytest.mark.parametrize("kind", [SUCCESS, FAILURE, NEUTRAL])
async def test_every_end_of_a_probe_lets_the_scope_ask_again(kind: OutcomeKind) -> None:
    world = await World.start()
    await world.fail(3)
    world.clock.advance(OPEN_TIME)
    before = (await world.admission.admit((), [wants("a"), wants("b")])).epoch
    after = await world.tell(ended("a", kind))
    assert after.epoch > before
    assert world.breaker().holder is None


async def test_two_good_probes_close_and_old_attempts_are_not_counted_then() -> None:
    world = await World.start()
    assert await world.ask(wants("old1"), wants("old2"), wants("old3"), wants("old4", agent="other")) == [True] * 4
    await world.fail(3)
    world.clock.advance(OPEN_TIME)
    assert await world.run_once(SUCCESS)
    assert isinstance(world.breaker().state, HalfOpen)
    assert await world.run_once(SUCCESS)
    assert isinstance(world.breaker().state, Closed)
    await world.tell(*[ended(f"old{number}", FAILURE) for number in (1, 2, 3)])
    assert world.breaker().consecutive == 0


async def test_the_reporters_epoch_tells_old_from_new_after_a_crash() -> None:
    world = await World.start()
    old = (await world.admission.admit((), [wants("old")])).epoch
    await world.fail(3)
    await world.breakers.reset("agent:build", reason="fixed", actor="ann")
    await world.crash()
    await world.tell(ended("old", FAILURE, epoch=old))
    assert world.breaker().consecutive == 0
    await world.tell(ended("new", FAILURE, epoch=world.state.epoch))
    assert world.breaker().consecutive == 1


async def test_a_provider_is_held_for_all_who_use_it() -> None:
    world = await World.start()
    for agent in ("a", "b", "c"):
        await world.fail(1, agent, ("cloud:openai",))
    assert await world.ask(wants("x", agent="d", uses=("cloud:openai",)), wants("y", agent="d")) == [False, True]


async def test_all_gates_are_asked_before_any_permit_is_taken() -> None:
    """The agent's probe is due, but its provider is held: the agent's permit must stay free."""
    world = await World.start()
    await world.fail(3)
    await world.breakers.force_open("cloud:openai", reason="bill", actor="ann")
    world.clock.advance(OPEN_TIME)
    assert await world.ask(wants("a", uses=("cloud:openai",))) == [False]
    assert world.breaker().holder is None
    assert await world.ask(wants("b")) == [True]


async def test_project_and_fleet_gate_but_do_not_count() -> None:
    world = await World.start()
    await world.breakers.force_open("project:Habit", reason="", actor="ann")
    assert await world.ask(wants("a", project="Habit"), wants("b")) == [False, True]
    await world.breakers.force_open("fleet", reason="", actor="ann")
    assert await world.ask(wants("c")) == [False]
    await world.breakers.reset("fleet", reason="", actor="ann")
    for number in range(9):
        await world.fail(1, f"agent{number}")
    assert await world.ask(wants("d", agent="fresh")) == [True]


async def test_of_several_refusals_the_longest_is_foremost() -> None:
    world = await World.start()
    await world.fail(3)
    await world.breakers.force_open("cloud:openai", reason="bill", actor="ann")
    (decision,) = (await world.admission.admit((), [wants("a", uses=("cloud:openai",))])).decisions
    assert [refusal.scope for refusal in decision.refusals] == ["cloud:openai", "agent:build"]
    assert decision.foremost.scope == "cloud:openai"
    assert decision.foremost.ask_again_at is None


async def test_stopped_refuses_all_and_stops_what_runs() -> None:
    world = await World.start()
    await world.modes.tighten(Mode.STOPPED, reason="fire", actor="ann")
    answer = await world.admission.admit((), [wants("a")])
    assert answer.mode is Mode.STOPPED
    assert answer.decisions[0].foremost.scope == "fleet"
    (renewal,) = (await world.admission.renew([key("x")])).renewals
    assert renewal.kind is RenewalKind.STOP
    assert renewal.reason == "the mode is STOPPED, set by ann: fire"


class NoGates(Admission):
    """Admission with some of its gates taken out: the control of the tests above."""

    kept: Sequence[type] = ()

    def _gates(self, draft: Draft) -> Sequence[Gate]:
        return [gate for gate in super()._gates(draft) if type(gate) in self.kept]


@pytest.mark.parametrize(("kept", "admitted"), [((ModeGate, BreakerGate), False), ((ModeGate,), True)])
async def test_without_the_breaker_gate_a_failing_agent_starts(kept: Sequence[type], admitted: bool) -> None:
    world = await World.start()
    await world.fail(3)
    await _expect(world, kept, admitted)


@pytest.mark.parametrize(("kept", "admitted"), [((ModeGate, BreakerGate), False), ((BreakerGate,), True)])
async def test_without_the_mode_gate_a_stopped_fleet_starts(kept: Sequence[type], admitted: bool) -> None:
    world = await World.start()
    world.signal.order = StopOrder(actor="ann", reason="fire", since=None)
    await _expect(world, kept, admitted)


async def _expect(world: World, kept: Sequence[type], admitted: bool) -> None:
    admission = NoGates(world.state, RULES, FixedRandomness())
    admission.kept = kept
    (decision,) = (await admission.admit((), [wants("a")])).decisions
    assert decision.admitted is admitted


async def test_a_batch_has_a_bound() -> None:
    world = await World.start()
    with pytest.raises(Invalid):
        await world.admission.admit((), [wants("a")] * 1001)
    with pytest.raises(Invalid):
        await world.admission.admit([ended("a", SUCCESS)] * 1001, ())


async def test_remembered_admissions_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    assert ADMISSIONS_KEPT_MAX <= 100_000
    monkeypatch.setattr("services.safety.app.state.ADMISSIONS_KEPT_MAX", 10)
    world = await World.start()
    await world.ask(*[wants(f"a{number}") for number in range(50)])
    assert len(world.state.memory.admitted) == 10
