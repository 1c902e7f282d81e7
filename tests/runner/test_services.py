"""Services as the runner keeps them alive: a real runner and warden, and a coordinator that the test plays."""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from protos.coordinator.v1 import runners_pb2 as pb
from tests.runner.fake_coordinator import Offer, RunnerUnderTest, _duration
from tests.runner.support import alive
from tests.waiting import CLOCK, Stopwatch, until


def service(runner: RunnerUnderTest, script: str, *, rule: dict[str, Any] | None = None, **fields: Any) -> Offer:
    """A lease of a service that notes each of its starts in `starts`, a line with its pid."""
    wanted = {"backoff": 0.1, "backoff_max": 60.0, "escalate": 3, "hold": 6, "window": 60.0, **(rule or {})}
    spans = {name: _duration(value) for name, value in wanted.items() if name not in ("escalate", "hold")}
    terms = pb.Service(**spans, escalate=wanted["escalate"], hold=wanted["hold"])
    return runner.lease(f'echo "$$ $(date +%s.%N)" >> starts\n{script}', service=terms, **fields)


def starts(runner: RunnerUnderTest) -> list[tuple[int, float]]:
    """(pid, unix time) of every start."""
    path = runner.workspace.root / "starts"
    lines = path.read_text().splitlines() if path.exists() else []
    return [(int(pid), float(at)) for pid, at in (line.split() for line in lines)]


async def pid_of(runner: RunnerUnderTest, number: int) -> int:
    """Of its so manieth start, once that has happened."""
    found = await asyncio.to_thread(until, lambda: starts(runner)[number - 1 : number], f"start {number}")
    return found[0][0]


def news(runner: RunnerUnderTest, lease: Offer) -> list[pb.ServiceNews]:
    """What was told of a service so far."""
    return [
        event.service
        for event in runner.coordinator.events
        if event.WhichOneof("event") == "service" and event.attempt.task_id == lease.task_id
    ]


async def test_one_that_ends_at_once_is_started_on_the_curve_and_held(runner: RunnerUnderTest) -> None:
    await runner.start()
    watch = Stopwatch()
    lease = service(runner, "echo it is broken; exit 3")
    runner.coordinator.lease(lease)
    result = await runner.coordinator.result(lease)
    at = [when for _, when in starts(runner)]
    pauses = [after - before for before, after in itertools.pairwise(at)]
    print("pauses between starts:", [f"{pause:.3f}" for pause in pauses])
    assert len(at) == 6, "six ends hold it, so it is started six times"
    for number, pause in enumerate(pauses):
        wanted = 0.1 * 2**number
        assert wanted <= pause < 2 * wanted + 2 + watch.paused
    assert result.cause == pb.END_CAUSE_SERVICE_HELD and result.exit_code == 3
    assert result.sentence == "held: it ended 6 times within 60 s, the last time it exited with 3"
    assert result.output_tail == "it is broken\n" * 6
    told = news(runner, lease)
    waits = [each for each in told if each.next_start_at_us]
    assert [each.escalated for each in waits] == [False, False, True, True, True]
    assert [each.restarts for each in waits] == [0, 1, 2, 3, 4]
    assert {each.last_end for each in waits} == {"exited with 3"}
    assert waits[0].last_lines == "it is broken\n"


async def test_without_the_hold_it_storms(runner: RunnerUnderTest) -> None:
    """The control of the test above: the rule out of reach, nothing ends it but the test."""
    await runner.start()
    lease = service(runner, "exit 3", rule={"hold": 1000, "backoff": 0.01, "backoff_max": 0.01})
    runner.coordinator.lease(lease)
    await pid_of(runner, 20)
    print("starts without the hold:", len(starts(runner)))
    assert not [event for event in runner.coordinator.events if event.HasField("result")]
    runner.coordinator.order(lease, pb.ORDER_KIND_CANCEL, "enough")
    assert (await runner.coordinator.result(lease)).cause == pb.END_CAUSE_CANCEL


async def test_killed_it_is_back_after_the_first_pause(runner: RunnerUnderTest) -> None:
    await runner.start()
    lease = service(runner, "exec sleep 600", rule={"backoff": 1.0})
    runner.coordinator.lease(lease)
    first = await pid_of(runner, 1)
    watch, killed_at = Stopwatch(), CLOCK.boottime()
    os.kill(first, signal.SIGKILL)
    second = await pid_of(runner, 2)
    took = CLOCK.boottime() - killed_at
    print(f"back after {took:.2f} s")
    assert took >= 1.0 and watch.seconds < 10 and alive(second) and not alive(first)
    last = await runner.coordinator.until(lambda: news(runner, lease)[1:], "news of both")
    assert last[0].restarts == 1 and not last[0].next_start_at_us


@pytest.mark.parametrize("state", ["up", "waits"])
@pytest.mark.parametrize(
    ("kind", "cause"),
    [
        (pb.ORDER_KIND_CANCEL, pb.END_CAUSE_CANCEL),
        (pb.ORDER_KIND_STOP, pb.END_CAUSE_POLICY),
        (pb.ORDER_KIND_DISOWN, None),
    ],
)
async def test_it_is_ended_in_every_state(
    runner: RunnerUnderTest, state: str, kind: pb.OrderKind, cause: pb.EndCause | None
) -> None:
    await runner.start()
    lease = service(runner, "exec sleep 600" if state == "up" else "exit 1", rule={"backoff": 60.0})
    runner.coordinator.lease(lease)
    pid = await pid_of(runner, 1)
    if state == "waits":
        await runner.coordinator.event(lease, "service")
    else:
        await runner.coordinator.event(lease, "started")
    runner.coordinator.order(lease, kind, "a reason")
    if cause is None:
        await asyncio.to_thread(until, lambda: not alive(pid), "its end")
        await runner.coordinator.until(_no_longer_named(runner), "a heartbeat without it")
        assert not [event for event in runner.coordinator.events if event.HasField("result")]
    else:
        result = await runner.coordinator.result(lease)
        assert (result.cause, result.sentence) == (cause, "a reason")
        assert result.HasField("started_at_us")
    assert not alive(pid) and len(starts(runner)) == 1


def _no_longer_named(runner: RunnerUnderTest) -> Any:
    def look() -> bool:
        beats = [seen.heartbeat for seen in runner.coordinator.seen if seen.WhichOneof("message") == "heartbeat"]
        return bool(beats) and not beats[-1].held

    return look


async def test_paused_between_two_processes_it_does_not_start_until_it_may(runner: RunnerUnderTest) -> None:
    await runner.start()
    lease = service(runner, "exit 1", rule={"backoff": 0.5})
    runner.coordinator.lease(lease)
    await runner.coordinator.event(lease, "service")
    runner.coordinator.order(lease, pb.ORDER_KIND_PAUSE)
    await runner.coordinator.event(lease, "paused")
    # One, unless the order was on its way for longer than the pause; then the next pause is longer.
    before, beats = len(starts(runner)), len(runner.coordinator.seen)
    await runner.coordinator.until(lambda: len(runner.coordinator.seen) > beats + 2, "three heartbeats")
    assert len(starts(runner)) == before
    runner.coordinator.order(lease, pb.ORDER_KIND_CONTINUE)
    await pid_of(runner, before + 1)


async def test_the_stop_file_ends_it_and_nothing_starts_again(runner: RunnerUnderTest) -> None:
    await runner.start()
    up, waits = service(runner, "exec sleep 600"), service(runner, "exit 1", rule={"backoff": 60.0})
    runner.coordinator.lease(up, waits)
    await runner.coordinator.event(up, "started")
    await runner.coordinator.event(waits, "service")
    runner.workspace.stop_file.write_text("{}")
    for lease in (up, waits):
        result = await runner.coordinator.result(lease)
        assert result.cause == pb.END_CAUSE_POLICY and "STOP" in result.sentence
    assert len(starts(runner)) == 2


async def test_a_runner_that_stops_hands_it_back(runner: RunnerUnderTest) -> None:
    await runner.start()
    up, waits = service(runner, "exec sleep 600"), service(runner, "exit 1", rule={"backoff": 60.0})
    runner.coordinator.lease(up, waits)
    await runner.coordinator.event(up, "started")
    await runner.coordinator.event(waits, "service")
    runner.signal(signal.SIGTERM)
    for lease in (up, waits):
        assert (await runner.coordinator.result(lease)).cause == pb.END_CAUSE_HANDED_BACK
    assert await runner.wait() == 0


async def test_a_changed_script_is_started_anew_and_that_is_no_end(runner: RunnerUnderTest) -> None:
    await runner.start()
    lease = service(runner, "trap 'echo bye; exit 0' TERM; sleep 600 & wait $!", rule={"hold": 1, "escalate": 1})
    runner.coordinator.lease(lease)
    first = await pid_of(runner, 1)
    script = Path(lease.script)
    script.write_text(script.read_text().replace("sleep 600", "sleep 601"))
    second = await pid_of(runner, 2)
    assert alive(second) and not alive(first)
    told = await runner.coordinator.until(lambda: news(runner, lease), "news")
    assert told[-1].last_end == "was started anew, because its script has changed"
    assert told[-1].last_lines.endswith("bye\n")


async def test_three_bad_answers_restart_it(runner: RunnerUnderTest) -> None:
    await runner.start()
    body = (
        'if [ "$1" = --health ]; then echo "{\\"status\\": \\"$(cat state)\\"}"; '
        'case "$(cat state)" in down) exit 2;; *) exit 0;; esac; fi\n'
    )
    lease = service(runner, "exec sleep 600", rule={"health": 0.1})
    script = Path(lease.script)
    script.write_text(script.read_text().replace("#!/bin/sh\n", f"#!/bin/sh\n{body}", 1))
    state = runner.workspace.root / "state"
    state.write_text("degraded")
    runner.coordinator.lease(lease)
    first = await pid_of(runner, 1)
    await runner.coordinator.until(
        lambda: [each for each in news(runner, lease) if each.health == "healthy"], "it is healthy"
    )
    assert alive(first)
    state.write_text("down")
    await pid_of(runner, 2)
    told = [each for each in news(runner, lease) if each.next_start_at_us]
    assert "unhealthy 3 times in a row" in told[0].last_end and "down" in told[0].last_end
    assert len(starts(runner)) == 2, "a question is no start of the service"


@pytest.mark.parametrize(("script", "said"), [("exit 78", "configured wrongly"), ("exit 127", "not found")])
async def test_what_no_restart_can_mend_is_held_at_once(runner: RunnerUnderTest, script: str, said: str) -> None:
    await runner.start()
    lease = service(runner, script)
    runner.coordinator.lease(lease)
    result = await runner.coordinator.result(lease)
    assert result.cause == pb.END_CAUSE_SERVICE_HELD and said in result.sentence and len(starts(runner)) == 1


async def test_services_take_no_room_from_tasks(runner: RunnerUnderTest) -> None:
    await runner.start(max_concurrent_agents=1)
    services = [service(runner, "exec sleep 600") for _ in range(5)]
    runner.coordinator.lease(*services)
    for each in services:
        await runner.coordinator.event(each, "started")
    task = runner.lease("exit 0")
    runner.coordinator.lease(task)
    assert (await runner.coordinator.result(task)).exit_code == 0


async def test_a_broken_stream_ends_nothing_and_says_it_again(runner: RunnerUnderTest) -> None:
    await runner.start()
    up, waits = service(runner, "exec sleep 600"), service(runner, "exit 1", rule={"backoff": 60.0})
    runner.coordinator.lease(up, waits)
    await runner.coordinator.event(up, "started")
    await runner.coordinator.event(waits, "service")
    await pid_of(runner, 2)  # both scripts have come as far as their first line
    before = len(starts(runner))
    await runner.coordinator.stop()
    runner.coordinator.events.clear()
    await runner.coordinator.start(runner.socket)
    await runner.coordinator.until(lambda: news(runner, waits) and news(runner, up), "both are told of again")
    assert news(runner, waits)[0].next_start_at_us and news(runner, waits)[0].last_end == "exited with 1"
    assert len(runner.coordinator.hellos[-1].held) == 2 and len(starts(runner)) == before
