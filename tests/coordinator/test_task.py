"""Every event in every state: what it does, or that it is refused."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from foundation.errors import Conflict, QuantumError, Stale
from services.coordinator.domain.failure import AttemptEnd, EndCause, RetryRule, lose, settle
from services.coordinator.domain.put_back import put_back
from services.coordinator.domain.task import (
    ENDED,
    LEGAL_MOVES,
    NOTHING_MEASURED,
    OPEN,
    Decision,
    Effects,
    Measured,
    Task,
    TaskState,
    accept,
    decide,
    fall_due,
    faults,
    first_fence,
    hand_back,
    lease,
    lose_parent,
    pause,
    request_cancel,
    start,
    thaw,
    unblock,
)
from tests.coordinator.tasks import EXITED_0, NOW, S, after, leased, task

RULE = RetryRule()
SUCCESS = AttemptEnd(cause=EndCause.EXIT, measured=EXITED_0)
FAILURE = AttemptEnd(cause=EndCause.EXIT, measured=replace(EXITED_0, exit_code=1))
KILLED = AttemptEnd(cause=EndCause.CANCEL, measured=Measured(signal=15))
MISSING = AttemptEnd(cause=EndCause.SPAWN_CONFIGURATION, measured=NOTHING_MEASURED, sentence="No such script.")

SITUATIONS: dict[str, Task] = {
    **{state.value: task(state, effects=Effects.IDEMPOTENT, retries=1) for state in TaskState},
    "leased": leased(effects=Effects.IDEMPOTENT, retries=1),
}

EVENTS: dict[str, Callable[[Task], Task]] = {
    "fall_due": lambda each: fall_due(each, now=after(1)),
    "unblock": lambda each: unblock(each, now=after(1)),
    "lose_parent": lambda each: lose_parent(each, task(S.FAILED), now=after(1)),
    "lease": lambda each: lease(each, "r2"),
    "start": lambda each: start(each, each.fence, at=after(1)),
    "pause": lambda each: pause(each, each.fence, reason="FROZEN"),
    "thaw": lambda each: thaw(each, each.fence),
    "hand_back": lambda each: hand_back(each, each.fence, reason="drain", now=after(1)),
    "request_cancel": lambda each: request_cancel(each, reason="asked", now=after(1)),
    "run_again": lambda each: decide(each, Decision.RUN_AGAIN, note="", now=after(1)),
    "decide_failed": lambda each: decide(each, Decision.FAILED, note="", now=after(1)),
    "decide_succeeded": lambda each: decide(each, Decision.SUCCEEDED, note="", now=after(1)),
    "succeed": lambda each: settle(each, each.fence, SUCCESS, RULE, chance=0.5, now=after(1)),
    "fail": lambda each: settle(each, each.fence, FAILURE, RULE, chance=0.5, now=after(1)),
    "not_spawned": lambda each: settle(each, each.fence, MISSING, RULE, chance=0.5, now=after(1)),
    "lose": lambda each: lose(each, each.fence, RULE, now=after(1)),
}

# Event → situation → the state that comes of it. Whatever is not here is refused.
TABLE: dict[str, dict[str, TaskState]] = {
    "fall_due": {"scheduled": S.QUEUED},
    "unblock": {"blocked": S.QUEUED},
    "lose_parent": {"blocked": S.CANCELLED},
    "lease": {"queued": S.QUEUED},
    "start": {"leased": S.RUNNING, "running": S.RUNNING, "paused": S.PAUSED},
    "pause": {"running": S.PAUSED, "paused": S.PAUSED},
    "thaw": {"running": S.RUNNING, "paused": S.RUNNING},
    "hand_back": {"leased": S.QUEUED},
    "request_cancel": {
        "scheduled": S.CANCELLED,
        "blocked": S.CANCELLED,
        "queued": S.CANCELLED,
        "leased": S.QUEUED,
        "running": S.RUNNING,
        "paused": S.PAUSED,
        "needs_decision": S.CANCELLED,
    },
    "run_again": {"needs_decision": S.QUEUED},
    "decide_failed": {"needs_decision": S.FAILED},
    "decide_succeeded": {"needs_decision": S.SUCCEEDED},
    "succeed": {"running": S.SUCCEEDED, "paused": S.SUCCEEDED},
    "fail": {"running": S.SCHEDULED, "paused": S.SCHEDULED},
    "not_spawned": {"leased": S.DEAD, "running": S.DEAD, "paused": S.DEAD},
    "lose": {"leased": S.QUEUED, "running": S.QUEUED, "paused": S.QUEUED},
}


@pytest.mark.parametrize("event", EVENTS)
@pytest.mark.parametrize("situation", SITUATIONS)
def test_every_event_in_every_state(event: str, situation: str) -> None:
    before = SITUATIONS[situation]
    expected = TABLE[event].get(situation)
    if expected is None:
        with pytest.raises(QuantumError) as caught:
            EVENTS[event](before)
        assert isinstance(caught.value, Conflict | Stale)
        return
    now = EVENTS[event](before)
    assert now.state is expected
    assert faults(now) == ()
    assert now == before or now.state in LEGAL_MOVES[before.state] or now.cancel_requested
    assert now.fence >= before.fence
    assert now.ended == (now.state in ENDED)


@pytest.mark.parametrize("situation", SITUATIONS)
def test_situations_are_possible_ones(situation: str) -> None:
    assert faults(SITUATIONS[situation]) == ()


def test_every_legal_move_is_made_by_some_event() -> None:
    made = {(SITUATIONS[there].state, to) for row in TABLE.values() for there, to in row.items()}
    late = task(S.BLOCKED)._replace(not_before=after(99))
    made |= {
        (S.BLOCKED, unblock(late, now=NOW).state),
        *((each.state, _interrupted(each).state) for each in (leased(), task(S.RUNNING), task(S.PAUSED))),
        *((state, _failed_for_good(task(state)).state) for state in (S.RUNNING, S.PAUSED)),
        *((state, _cancelled(task(state)).state) for state in (S.RUNNING, S.PAUSED)),
    }
    late_again = after(60 * 60 * 24 * 365)
    waiting = (task(S.QUEUED), task(S.BLOCKED), task(S.SCHEDULED))
    made |= {(each.state, put_back(each, now=late_again).state) for each in waiting}
    assert made == {(there, to) for there, targets in LEGAL_MOVES.items() for to in targets}


def _interrupted(each: Task) -> Task:
    cause = EndCause.SPAWN_RESOURCES if each.state is S.QUEUED else EndCause.POLICY
    ended = AttemptEnd(cause=cause, measured=NOTHING_MEASURED)
    return settle(each, each.fence, ended, RULE, chance=0.5, now=NOW)


def _failed_for_good(each: Task) -> Task:
    return settle(each, each.fence, FAILURE, RULE, chance=0.5, now=NOW)


def _cancelled(each: Task) -> Task:
    asked = request_cancel(each, reason="asked", now=NOW)
    return settle(asked, asked.fence, FAILURE, RULE, chance=0.5, now=NOW)


def test_open_and_ended_are_all_there_is() -> None:
    assert OPEN | ENDED == set(TaskState) == set(LEGAL_MOVES)
    assert all(not LEGAL_MOVES[state] for state in ENDED)
    assert all(LEGAL_MOVES[state] for state in OPEN)


# -- acceptance


def test_a_new_task_is_placed_where_it_belongs() -> None:
    bare = task()
    assert accept(bare, unmet_parents=False, now=after(5)).ready_at == after(5)
    later = bare._replace(not_before=after(60))
    scheduled = accept(later, unmet_parents=False, now=NOW)
    assert (scheduled.state, scheduled.ready_at) == (S.SCHEDULED, after(60))
    assert accept(later, unmet_parents=False, now=after(60)).state is S.QUEUED
    child = later._replace(depends_on=("p",))
    assert accept(child, unmet_parents=True, now=NOW).state is S.BLOCKED
    assert unblock(accept(child, unmet_parents=True, now=NOW), now=after(1)).state is S.SCHEDULED


def test_a_scheduled_task_keeps_the_place_of_its_time_however_late_we_look() -> None:
    each = accept(task()._replace(not_before=after(60)), unmet_parents=False, now=NOW)
    assert fall_due(each, now=after(999)).ready_at == after(60)


def test_a_lost_parent_is_named() -> None:
    parent = task(S.DEAD, agent="fetch")
    child = lose_parent(task(S.BLOCKED), parent, now=NOW)
    assert parent.id in child.reason and "fetch" in child.reason and "dead" in child.reason


# -- fences


def test_a_first_fence_is_the_time_of_creation() -> None:
    assert first_fence(NOW) == int(NOW.timestamp()) << 20
    assert first_fence(NOW + timedelta(seconds=1)) - first_fence(NOW) == 1 << 20


@pytest.mark.parametrize("event", ["start", "pause", "thaw", "hand_back", "settle", "lose"])
@pytest.mark.parametrize("by", [-1, 1])
def test_a_stale_fence_changes_nothing(event: str, by: int) -> None:
    each = task(S.RUNNING) if event != "start" else leased()
    fence = each.fence + by
    moves: dict[str, Callable[[], Task]] = {
        "start": lambda: start(each, fence, at=NOW),
        "pause": lambda: pause(each, fence, reason=""),
        "thaw": lambda: thaw(each, fence),
        "hand_back": lambda: hand_back(each, fence, reason="", now=NOW),
        "settle": lambda: settle(each, fence, SUCCESS, RULE, chance=0.5, now=NOW),
        "lose": lambda: lose(each, fence, RULE, now=NOW),
    }
    with pytest.raises(Stale, match="no longer held"):
        moves[event]()


def test_each_lease_has_a_fence_of_its_own_and_is_not_a_start() -> None:
    each = task()
    held = lease(each, "r1")
    assert (held.fence, held.holder, held.runner, held.attempt) == (each.fence + 1, "r1", "r1", 0)
    back = hand_back(held, held.fence, reason="drain", now=after(9))
    assert (back.ready_at, back.attempt, back.holder, back.runner) == (each.ready_at, 0, "", "r1")
    assert lease(back, "r2").fence == held.fence + 1


def test_a_start_told_twice_is_one_attempt() -> None:
    held = leased()
    running = start(held, held.fence, at=after(1))
    assert (running.attempt, running.started_at) == (1, after(1))
    assert start(running, running.fence, at=after(2)) is running


def test_a_new_attempt_begins_with_a_clean_sheet() -> None:
    held = leased(measured=EXITED_0, started_at=NOW, attempt=1, reason="Exited with 1.")
    running = start(held, held.fence, at=after(1))
    assert running.measured == NOTHING_MEASURED
    assert (running.attempt, running.reason, running.started_at) == (2, "", after(1))


# -- cancelling


def test_a_cancel_of_what_waits_ends_it_and_it_can_never_be_leased() -> None:
    for state in (S.SCHEDULED, S.BLOCKED, S.QUEUED, S.NEEDS_DECISION):
        gone = request_cancel(task(state), reason="not needed", now=after(3))
        assert (gone.state, gone.reason, gone.finished_at) == (S.CANCELLED, "not needed", after(3))
        with pytest.raises(Conflict):
            lease(gone, "r1")


@pytest.mark.parametrize("each", [leased(), task(S.RUNNING), task(S.PAUSED)], ids=["leased", "running", "paused"])
def test_a_cancel_of_what_is_held_waits_for_its_end(each: Task) -> None:
    asked = request_cancel(each, reason="not needed", now=NOW)
    assert (asked.state, asked.cancel_requested, asked.ended) == (each.state, True, False)
    for over in (
        settle(asked, asked.fence, KILLED, RULE, chance=0.5, now=after(1)),
        lose(asked, asked.fence, RULE, now=after(1)),
        hand_back(asked, asked.fence, reason="drain", now=after(1)) if each.state is S.QUEUED else None,
    ):
        if over is not None:
            assert (over.state, over.reason, over.holder) == (S.CANCELLED, "not needed", "")


def test_the_reason_of_a_cancel_outlives_what_happens_until_the_end() -> None:
    asked = request_cancel(leased(), reason="not needed", now=NOW)
    running = start(asked, asked.fence, at=NOW)
    frozen = pause(running, running.fence, reason="FROZEN")
    assert thaw(frozen, frozen.fence).reason == "not needed"


def test_a_leased_task_that_is_being_cancelled_is_not_leased_again() -> None:
    asked = request_cancel(leased(), reason="", now=NOW)
    with pytest.raises(Conflict):
        lease(asked._replace(holder=""), "r2")


# -- decisions


def test_a_decision_is_recorded_with_its_note() -> None:
    each = task(S.NEEDS_DECISION)
    good = decide(each, Decision.SUCCEEDED, note="I saw the mail.", now=after(1))
    assert (good.state, good.reason, good.finished_at) == (S.SUCCEEDED, "I saw the mail.", after(1))
    assert decide(each, Decision.FAILED, note="", now=NOW).reason != ""
    assert decide(each, Decision.SUCCEEDED, note="", now=NOW).reason != ""
    again = decide(each, Decision.RUN_AGAIN, note="", now=after(1))
    assert (again.state, again.ready_at, again.finished_at) == (S.QUEUED, after(1), None)


def test_a_decision_that_nobody_asked_for_says_what_to_do_instead() -> None:
    with pytest.raises(Conflict) as caught:
        decide(task(S.FAILED), Decision.RUN_AGAIN, note="", now=NOW)
    assert "quantum retry" in caught.value.remedy


# -- copies and faults


@pytest.mark.parametrize(
    "wrong",
    [
        task(priority=10),
        task(fence=0),
        task(attempt=-1),
        task(S.RUNNING, holder=""),
        task(S.CANCELLED, holder="r1"),
        task(S.PAUSED, started_at=None),
        task(S.DEAD, finished_at=None),
        task(finished_at=NOW),
        task(S.SCHEDULED, not_before=None),
        task(S.BLOCKED, depends_on=()),
        task(S.SUCCEEDED, measured=Measured(exit_code=1)),
    ],
)
def test_each_fault_is_one_sentence(wrong: Task) -> None:
    assert len(faults(wrong)) >= 1
