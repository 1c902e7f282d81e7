"""The table of failure classes: what ends an attempt, what class it is, and what becomes of the task."""

from datetime import timedelta

import pytest

from services.coordinator.domain.failure import (
    AttemptEnd,
    EndCause,
    FailureClass,
    RetryRule,
    classify,
    describe,
    lose,
    settle,
)
from services.coordinator.domain.task import NOTHING_MEASURED, Effects, Measured, Task, TaskState
from tests.coordinator.tasks import NOW, S, leased, task

RULE = RetryRule()
C = FailureClass


def ended(cause: EndCause = EndCause.EXIT, *, code: int | None = None, signal: int | None = None) -> AttemptEnd:
    return AttemptEnd(cause=cause, measured=Measured(exit_code=code, signal=signal))


def running(**changes: object) -> Task:
    return task(S.RUNNING, **{"effects": Effects.IDEMPOTENT} | changes)


def settled(each: Task, how: AttemptEnd, chance: float = 0.5) -> Task:
    return settle(each, each.fence, how, RULE, chance=chance, now=NOW)


@pytest.mark.parametrize(
    ("how", "kind"),
    [
        (ended(code=0), None),
        *((ended(code=code), C.SCRIPT) for code in (1, 2, 7, 74, 76, 77, 79, 125, 128, 137, 255)),
        (ended(code=75), C.INFRASTRUCTURE),
        *((ended(code=code), C.CONFIGURATION) for code in (78, 126, 127)),
        *((ended(signal=signal), C.INFRASTRUCTURE) for signal in (9, 15)),
        *((ended(signal=signal), C.SCRIPT) for signal in (1, 2, 4, 6, 8, 11, 13)),
        *((ended(cause, code=0), C.TIMEOUT) for cause in (EndCause.TIMEOUT, EndCause.IDLE)),
        *((ended(c, signal=9), C.RESOURCE) for c in (EndCause.MEMORY, EndCause.PROCESSES, EndCause.OUTPUT)),
        (ended(EndCause.CANCEL, signal=15), C.CANCEL),
        (ended(EndCause.POLICY, signal=15), C.POLICY),
        *(
            (ended(cause, signal=9), C.INFRASTRUCTURE)
            for cause in (EndCause.FENCE, EndCause.HANDED_BACK, EndCause.SPAWN_RESOURCES)
        ),
        (ended(EndCause.SPAWN_CONFIGURATION), C.CONFIGURATION),
    ],
)
def test_each_end_has_one_class(how: AttemptEnd, kind: FailureClass | None) -> None:
    assert classify(how) is kind


def test_every_cause_has_a_class() -> None:
    for cause in EndCause:
        assert cause is EndCause.EXIT or classify(ended(cause)) is not None


def test_only_the_agents_own_faults_are_counted() -> None:
    assert {kind for kind in C if kind.counted} == {C.SCRIPT, C.TIMEOUT, C.RESOURCE, C.CONFIGURATION}


def test_an_end_is_told_in_a_sentence() -> None:
    assert describe(ended(code=3)) == "Exited with 3."
    assert describe(ended(signal=11)) == "Ended by signal 11."
    said = AttemptEnd(cause=EndCause.MEMORY, sentence="Used 3 GB of 2 GB.", measured=NOTHING_MEASURED)
    assert describe(said) == "Used 3 GB of 2 GB."


# Class, effects → state when a retry is left, state when none is.
@pytest.mark.parametrize("effects", list(Effects))
@pytest.mark.parametrize(
    ("how", "repeatable", "once"),
    [
        (ended(code=0), S.SUCCEEDED, S.SUCCEEDED),
        (ended(code=1), S.SCHEDULED, S.SCHEDULED),
        (ended(EndCause.TIMEOUT), S.SCHEDULED, S.FAILED),
        (ended(EndCause.IDLE), S.SCHEDULED, S.FAILED),
        (ended(EndCause.MEMORY), S.FAILED, S.FAILED),
        (ended(code=127), S.DEAD, S.DEAD),
        (ended(code=75), S.SCHEDULED, S.NEEDS_DECISION),
        (ended(signal=9), S.SCHEDULED, S.NEEDS_DECISION),
        (ended(EndCause.FENCE), S.SCHEDULED, S.NEEDS_DECISION),
        (ended(EndCause.SPAWN_RESOURCES), S.SCHEDULED, S.SCHEDULED),
        (ended(EndCause.HANDED_BACK), S.QUEUED, S.NEEDS_DECISION),
        (ended(EndCause.POLICY), S.QUEUED, S.NEEDS_DECISION),
        (ended(EndCause.CANCEL), S.CANCELLED, S.CANCELLED),
    ],
    ids=lambda each: getattr(each, "cause", each),
)
@pytest.mark.parametrize("state", [S.RUNNING, S.PAUSED])
def test_what_becomes_of_a_task(
    state: TaskState, how: AttemptEnd, repeatable: TaskState, once: TaskState, effects: Effects
) -> None:
    over = settled(task(state, effects=effects, retries=1), how)
    assert over.state is (repeatable if effects.repeatable else once)
    assert over.holder == ""
    assert over.measured == how.measured


def test_whoever_is_to_decide_reads_whole_sentences() -> None:
    end = AttemptEnd(cause=EndCause.POLICY, sentence="the mode is STOPPED, set by ann: trying", measured=Measured())
    said = settled(running(effects=Effects.ONCE), end).reason
    assert said.startswith("The mode is STOPPED, set by ann: trying. It may have had effects")


def test_a_script_may_fail_as_often_as_it_may_be_tried_again() -> None:
    each = running(retries=2)
    delays = []
    for _ in range(2):
        each = settled(each, ended(code=1))
        assert each.state is S.SCHEDULED and each.not_before is not None
        delays.append(each.not_before - NOW)
        each = running(retries=2, failures=each.failures)
    over = settled(each, ended(code=1))
    assert (over.state, over.failures) == (S.FAILED, 3)
    assert delays == [timedelta(seconds=30), timedelta(minutes=1)]


def test_the_ceiling_bounds_what_was_asked_for() -> None:
    each = running(retries=99, failures=3)
    assert settled(each, ended(code=1)).state is S.FAILED
    assert settled(running(retries=99, failures=2), ended(code=1)).state is S.SCHEDULED


def test_the_delays_double_up_to_their_caps() -> None:
    assert [RULE.script_delay(n) for n in (1, 2, 3, 4, 5, 99)] == [
        *(timedelta(seconds=seconds) for seconds in (30, 60, 120, 240)),
        timedelta(minutes=5),
        timedelta(minutes=5),
    ]
    assert [RULE.infrastructure_delay(n, 1.0) for n in (1, 2, 3)] == [timedelta(seconds=s) for s in (5, 10, 20)]
    assert RULE.infrastructure_delay(99, 1.0) == timedelta(minutes=10)
    assert RULE.infrastructure_delay(3, 0.25) == timedelta(seconds=5)


def test_infrastructure_consumes_no_retry() -> None:
    over = settled(running(), ended(signal=9), chance=0.5)
    assert (over.state, over.failures, over.deferrals) == (S.SCHEDULED, 0, 1)
    assert over.not_before == NOW + timedelta(seconds=2.5)


def test_a_policy_puts_it_back_at_once_and_counts_nothing() -> None:
    over = settled(running(), ended(EndCause.POLICY))
    assert (over.failures, over.deferrals, over.timeouts, over.losses) == (0, 0, 0, 0)
    assert over.ready_at == NOW


def test_a_second_timeout_is_the_last() -> None:
    over = settled(running(timeouts=1), ended(EndCause.IDLE))
    assert (over.state, over.timeouts) == (S.FAILED, 2)


@pytest.mark.parametrize("cause", [EndCause.POLICY, EndCause.HANDED_BACK, EndCause.FENCE])
@pytest.mark.parametrize("effects", list(Effects))
def test_an_attempt_that_never_started_keeps_its_place_and_counts_nothing(cause: EndCause, effects: Effects) -> None:
    each, now = leased(effects=effects), NOW + timedelta(minutes=1)
    over = settle(each, each.fence, ended(cause), RULE, chance=0.5, now=now)
    assert (over.state, over.ready_at, over.holder, over.attempt) == (S.QUEUED, each.ready_at, "", 0)
    assert (over.failures, over.deferrals, over.timeouts, over.losses) == (0, 0, 0, 0)
    assert over.reason

    started = running(effects=Effects.NONE)
    again = settle(started, started.fence, ended(cause), RULE, chance=0.5, now=now)
    assert again.ready_at >= now


@pytest.mark.parametrize("effects", list(Effects))
def test_what_could_not_be_spawned_for_want_of_resources_waits(effects: Effects) -> None:
    over = settled(leased(effects=effects), ended(EndCause.SPAWN_RESOURCES), chance=0.5)
    assert (over.state, over.deferrals) == (S.SCHEDULED, 1)


# -- lost runners


@pytest.mark.parametrize("effects", list(Effects))
def test_a_lost_lease_that_was_never_started_costs_nothing(effects: Effects) -> None:
    each = leased(effects=effects, losses=2)
    back = lose(each, each.fence, RULE, unbegun=True, now=NOW + timedelta(minutes=1))
    assert (back.state, back.losses, back.ready_at) == (S.QUEUED, 2, each.ready_at)


@pytest.mark.parametrize("effects", list(Effects))
def test_a_lost_lease_that_may_have_begun_asks_a_person_where_it_must_not_run_twice(effects: Effects) -> None:
    each = leased(effects=effects, losses=2)
    lost = lose(each, each.fence, RULE, now=NOW)
    assert lost.losses == 2
    if effects.repeatable:
        assert (lost.state, lost.holder, lost.ready_at) == (S.QUEUED, "", each.ready_at)
    else:
        assert (lost.state, lost.holder, lost.finished_at) == (S.NEEDS_DECISION, "", NOW)
        assert "was lost before it said whether it had begun" in lost.reason


@pytest.mark.parametrize(
    ("effects", "losses", "state"),
    [
        *((effects, losses, S.QUEUED) for effects in (Effects.NONE, Effects.IDEMPOTENT) for losses in (0, 1)),
        *((Effects.ONCE, losses, S.NEEDS_DECISION) for losses in (0, 1)),
        *((effects, 2, S.DEAD) for effects in Effects),
    ],
)
def test_a_lost_attempt_follows_its_effects_and_the_third_is_its_last(
    effects: Effects, losses: int, state: TaskState
) -> None:
    each = running(effects=effects, losses=losses)
    over = lose(each, each.fence, RULE, now=NOW)
    assert (over.state, over.losses, over.failures) == (state, losses + 1, 0)
    assert "r1" in over.reason


def test_after_two_losses_it_runs_alone() -> None:
    assert not task(losses=1).alone
    assert task(losses=2).alone


def test_what_waits_for_a_person_says_so() -> None:
    each = running(effects=Effects.ONCE)
    assert "quantum decide" in lose(each, each.fence, RULE, now=NOW).reason
    assert "quantum decide" in settled(each, ended(code=75)).reason
