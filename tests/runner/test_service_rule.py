"""The backoff of services and their hold, as values."""

from __future__ import annotations

import pytest

from clients.attachment_values import ServiceTerms
from services.agent_runner.domain.health import fault_of
from services.agent_runner.domain.service import Ends, after_end, after_refusal, held_sentence

RULE = ServiceTerms(1.0, 900.0, 3, 6, 600.0)


def test_six_quick_ends_hold_it_after_31_seconds() -> None:
    ends, now, pauses = Ends(), 1000.0, []
    for number in range(1, 7):
        after = after_end(ends, RULE, ran_seconds=0.0, now=now)
        assert after.escalated == (number >= 3) and after.held == (number == 6)
        ends = after.ends
        pauses.append(after.pause_seconds)
        now += after.pause_seconds
    assert pauses == [1, 2, 4, 8, 16, 32]
    assert held_sentence(ends, RULE, "exited with 1") == (
        "held: it ended 6 times within 10 minutes, the last time it exited with 1"
    )


def test_one_that_lasts_for_minutes_is_never_held_and_waits_longer_up_to_the_longest() -> None:
    ends, now, pauses = Ends(), 0.0, []
    for _ in range(20):
        now += 180.0
        after = after_end(ends, RULE, ran_seconds=180.0, now=now)
        assert not after.held
        ends = after.ends
        pauses.append(after.pause_seconds)
        now += after.pause_seconds
    assert pauses[-1] == 900.0 and pauses == sorted(pauses)


def test_a_run_that_outlasts_the_window_begins_anew() -> None:
    ends = Ends((1.0, 2.0, 3.0, 4.0, 5.0), 5)
    after = after_end(ends, RULE, ran_seconds=601.0, now=700.0)
    assert (after.ends, after.pause_seconds, after.escalated) == (Ends((700.0,), 1), 1.0, False)


def test_a_machine_without_room_is_asked_more_and_more_seldom_and_counts_for_nothing() -> None:
    ends = Ends((1.0,), 1)
    after = after_refusal(ends, RULE, held=False)
    assert after.ends.within == ends.within and after.pause_seconds == 2.0 and not after.held
    guarded = after_refusal(after.ends, RULE, held=True)
    assert (guarded.ends, guarded.pause_seconds) == (after.ends, 1.0), "where the guard holds, it is asked at one pace"


@pytest.mark.parametrize(
    ("status", "cause", "answer", "fault"),
    [
        (0, "exit", b'{"status": "ok"}\n', ""),
        (0, "exit", b'{"status": "degraded", "queue": 7}', ""),
        (0, "exit", b"fine", 'printed no JSON object with a "status" of ok, degraded or down'),
        (0, "exit", b'{"status": "great"}', 'printed no JSON object with a "status" of ok, degraded or down'),
        (2 << 8, "exit", b'{"status": "down"}', "says that it is down"),
        (2 << 8, "exit", b"", "says that it is unhealthy"),
        (1 << 8, "exit", b'{"status": "ok"}', "exited with 1, which is neither 0 nor 2"),
        (9, "exit", b"", "was ended by signal 9"),
        (15, "timeout", b"", "gave no answer within 10 s"),
    ],
)
def test_what_an_answer_means(status: int, cause: str, answer: bytes, fault: str) -> None:
    assert fault_of(status, cause, answer) == fault
