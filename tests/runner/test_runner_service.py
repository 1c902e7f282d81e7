"""The runner as a real process, attached to a coordinator that the test plays."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from pathlib import Path

from protos.coordinator.v1 import runners_pb2 as pb
from tests.runner.fake_coordinator import RunnerUnderTest, _duration
from tests.runner.support import alive
from tests.waiting import Stopwatch, until


async def test_runs_a_script_and_reports_all_of_it(runner: RunnerUnderTest) -> None:
    await runner.start()
    lease = runner.lease(
        'cat "$QUANTUM_PARAMS"; echo " $QUANTUM_AGENT $QUANTUM_TASK_ID $QUANTUM_ATTEMPT $QUANTUM_FENCE"; pwd; '
        """echo '{"type": "trial", "summary": "fine", "data": {}}' > "$QUANTUM_REPORT"; exit 7""",
        params_json=b'{"a": 1}',
        memory_bytes=1 << 30,
        timeout=_duration(30),
    )
    runner.coordinator.lease(lease)
    result = await runner.coordinator.result(lease)
    assert result.cause == pb.END_CAUSE_EXIT and result.exit_code == 7 and not result.HasField("signal")
    assert result.output_tail == f'{{"a": 1}} hello task1 1 7\n{runner.workspace.root}\n'
    assert result.output_bytes == len(result.output_tail) and not result.output_cut
    assert json.loads(result.report_json)["type"] == "trial" and not result.report_fault
    assert result.tree_dead and result.stragglers == 0
    assert result.duration_us > 0 and result.started_at_us < result.finished_at_us
    assert runner.coordinator.limits[lease.task_id] == {"memory", "timeout", "secrets"}
    started = [event for event in runner.coordinator.events if event.WhichOneof("event") == "started"]
    assert len(started) <= 1
    log = runner.workspace.logs / "agent_hello.log"
    line = await asyncio.to_thread(until, lambda: log.read_text() if log.exists() else "", "the agent's log")
    assert all(" task1 " in each for each in line.splitlines())


async def test_a_report_that_is_not_taken_is_in_the_result_and_in_the_log(runner: RunnerUnderTest) -> None:
    await runner.start()
    lease = runner.lease("""echo '{"type": ' > "$QUANTUM_REPORT"; exit 0""")
    runner.coordinator.lease(lease)
    result = await runner.coordinator.result(lease)
    assert (result.exit_code, result.report_json, result.report_fault) == (0, b"", "the report is not JSON in UTF-8")
    lines = [json.loads(line) for line in runner.workspace.system_log.read_text().splitlines()]
    assert [line["task"] for line in lines if line["action"] == "report_refused"] == [lease.task_id]


async def test_leases_wait_for_a_slot_and_go_back_on_recall(runner: RunnerUnderTest) -> None:
    await runner.start(max_concurrent_agents=1)
    first, second, third = runner.lease("sleep 100"), runner.lease("true"), runner.lease("true")
    runner.coordinator.lease(first, second, third)
    await runner.coordinator.event(first, "started")
    runner.coordinator.order(second, pb.ORDER_KIND_RECALL, "the breaker opened")
    assert (await runner.coordinator.event(second, "returned")).reason == "the breaker opened"
    runner.coordinator.order(first, pb.ORDER_KIND_RECALL, "too late")
    runner.coordinator.order(first, pb.ORDER_KIND_CANCEL, "not wanted any more")
    result = await runner.coordinator.result(first)
    assert (result.cause, result.sentence) == (pb.END_CAUSE_CANCEL, "not wanted any more")
    assert result.signal == signal.SIGTERM and result.tree_dead
    assert (await runner.coordinator.result(third)).exit_code == 0


async def test_a_lonely_lease_runs_alone(runner: RunnerUnderTest) -> None:
    await runner.start()
    mark = runner.workspace.root / "mark"
    before = runner.lease(f"sleep 0.3; touch {mark}")
    alone = runner.lease(f"test -e {mark} && sleep 0.3 && rm {mark}", alone=True)
    after = runner.lease(f"test ! -e {mark}")
    runner.coordinator.lease(before, alone, after)
    for lease in (before, alone, after):
        assert (await runner.coordinator.result(lease)).exit_code == 0


async def test_pause_and_continue(runner: RunnerUnderTest) -> None:
    await runner.start(max_concurrent_agents=1)
    first, second = runner.lease("until [ -e go ]; do sleep 0.05; done"), runner.lease("true")
    runner.coordinator.lease(first, second)
    await runner.coordinator.event(first, "started")
    runner.coordinator.order(first, pb.ORDER_KIND_PAUSE)
    await runner.coordinator.event(first, "paused")
    # A paused attempt gives its slot to the next one.
    assert (await runner.coordinator.result(second)).exit_code == 0
    runner.coordinator.order(first, pb.ORDER_KIND_CONTINUE)
    await runner.coordinator.event(first, "resumed")
    (runner.workspace.root / "go").touch()
    assert (await runner.coordinator.result(first)).exit_code == 0


async def test_spawn_errors_and_required_limits_are_configuration(runner: RunnerUnderTest) -> None:
    await runner.start()
    missing, required = runner.lease("true"), runner.lease("true", required=["timeout"])
    Path(missing.script).unlink()
    runner.coordinator.lease(missing, required)
    for lease, words in ((missing, "does not exist"), (required, "requires")):
        result = await runner.coordinator.result(lease)
        assert result.cause == pb.END_CAUSE_SPAWN_CONFIGURATION and words in result.sentence
        assert not result.HasField("started_at_us") and not result.HasField("exit_code")


async def test_long_output_keeps_head_and_tail_and_the_log_keeps_all(runner: RunnerUnderTest) -> None:
    await runner.start(output_head_bytes=200_000, output_tail_bytes=200_000)
    lease = runner.lease("seq 100000; printf 'caf\\303\\251 \\033[31m'; exit 0")
    runner.coordinator.lease(lease)
    result = await runner.coordinator.result(lease)
    assert result.output_cut and len(result.output_tail.encode()) <= 65536
    assert result.output_tail.endswith("99999\n100000\ncafé \\x1b[31m")
    follow = pb.FollowLog(
        follow_id=3, attempt=pb.AttemptRef(task_id=lease.task_id, fence=lease.fence), offset=0, follow=True
    )
    runner.coordinator.say(pb.AttachResponse(follow=follow))
    text = (await _followed(runner, 3)).decode()
    assert text.startswith("1\n2\n3\n") and "bytes were cut here" in text and text.endswith("\\x1b[31m")
    assert 400_000 < len(text.encode()) < 400_200
    log = runner.workspace.logs / "agent_hello.log"
    await asyncio.to_thread(until, lambda: log.exists() and log.read_text().count("\n") >= 100_001, "the whole log")


async def _followed(runner: RunnerUnderTest, follow_id: int) -> bytes:
    def chunks() -> list[pb.LogChunk]:
        return [r.log for r in runner.coordinator.seen if r.HasField("log") and r.log.follow_id == follow_id]

    await runner.coordinator.until(lambda: any(chunk.end for chunk in chunks()), "the end of the log")
    return b"".join(chunk.data for chunk in chunks())


async def test_follow_shows_output_while_it_is_written(runner: RunnerUnderTest) -> None:
    await runner.start()
    gate = runner.workspace.root / "gate"
    os.mkfifo(gate)
    lease = runner.lease(f"echo first; read line < {gate}; echo $line")
    follow = pb.FollowLog(
        follow_id=1, attempt=pb.AttemptRef(task_id=lease.task_id, fence=lease.fence), offset=0, follow=True
    )
    runner.coordinator.lease(lease)
    runner.coordinator.say(pb.AttachResponse(follow=follow))

    def first() -> bool:
        return any(r.log.data == b"first\n" for r in runner.coordinator.seen if r.HasField("log"))

    await runner.coordinator.until(first, "the first line")
    with gate.open("w") as writer:
        writer.write("second\n")
    assert await _followed(runner, 1) == b"first\nsecond\n"


async def test_a_result_is_said_again_until_it_is_acknowledged(runner: RunnerUnderTest) -> None:
    runner.coordinator.acks_results = False
    await runner.start()
    ended, running = runner.lease("exit 5"), runner.lease("sleep 100")
    runner.coordinator.lease(ended, running)
    await runner.coordinator.result(ended)
    await runner.coordinator.event(running, "started")
    await runner.coordinator.stop()
    runner.coordinator.events.clear()
    runner.coordinator.acks_results = True
    await runner.coordinator.start(runner.socket)
    assert (await runner.coordinator.result(ended)).exit_code == 5
    await runner.coordinator.event(running, "started")
    held = {ref.task_id for ref in runner.coordinator.hellos[-1].held}
    assert held == {ended.task_id, running.task_id}
    first, second = runner.coordinator.hellos
    assert (first.returning, second.returning) == (False, True)
    assert first.incarnation == second.incarnation

    def forgotten() -> bool:
        beats = [r.heartbeat for r in runner.coordinator.seen if r.HasField("heartbeat")]
        return bool(beats) and [ref.task_id for ref in beats[-1].held] == [running.task_id]

    await runner.coordinator.until(forgotten, "the acknowledged result to be forgotten")


async def test_what_is_disowned_ends_without_a_result(runner: RunnerUnderTest) -> None:
    await runner.start()
    lease = runner.lease("sleep 100")
    runner.coordinator.lease(lease)
    pid = (await runner.coordinator.event(lease, "started")).pid
    runner.coordinator.order(lease, pb.ORDER_KIND_DISOWN)
    await asyncio.to_thread(until, lambda: not alive(pid), "its end")
    other = runner.lease("true")
    runner.coordinator.lease(other)
    await runner.coordinator.result(other)
    assert not any(e.attempt.task_id == lease.task_id and e.HasField("result") for e in runner.coordinator.events)


async def test_without_renewal_the_tree_is_ended_as_fenced(runner: RunnerUnderTest) -> None:
    runner.coordinator.lease_seconds = 1.5
    runner.coordinator.heartbeat_seconds = 0.25
    await runner.start()

    def beats() -> int:
        return sum(request.HasField("heartbeat") for request in runner.coordinator.seen)

    for _ in range(5):
        watch, enough = Stopwatch(), beats() + 8
        lease = runner.lease("sleep 100")
        runner.coordinator.lease(lease)
        pid = (await runner.coordinator.event(lease, "started")).pid
        await runner.coordinator.until(lambda enough=enough: beats() > enough, "beats")  # type: ignore[misc]
        if alive(pid):
            break
        assert watch.paused, "it was renewed, so nothing but a pause of the machine can have ended it"
    runner.coordinator.acks_heartbeats = False
    assert (await runner.coordinator.result(lease)).cause == pb.END_CAUSE_FENCE
    assert not alive(pid)


async def test_what_outlived_a_script_is_in_the_result_and_in_the_log_by_name(runner: RunnerUnderTest) -> None:
    await runner.start()
    lease = runner.lease("setsid sleep 100 & echo $!; exit 0")
    runner.coordinator.lease(lease)
    result = await runner.coordinator.result(lease)
    assert (result.exit_code, result.stragglers, result.tree_dead) == (0, 1, True)
    lines = [json.loads(line) for line in runner.workspace.system_log.read_text().splitlines()]
    [line] = [line for line in lines if line["action"] == "stragglers"]
    assert line["task"] == lease.task_id and f"({result.output_tail.strip()})" in line["message"]


async def test_a_clean_stop_hands_everything_back(runner: RunnerUnderTest) -> None:
    await runner.start(max_concurrent_agents=1)
    running, waiting = runner.lease("sleep 100"), runner.lease("true")
    runner.coordinator.lease(running, waiting)
    pid = (await runner.coordinator.event(running, "started")).pid
    runner.signal(signal.SIGTERM)
    assert await runner.wait() == 0
    assert not alive(pid)
    await runner.coordinator.event(waiting, "returned")
    result = await runner.coordinator.result(running)
    assert result.cause == pb.END_CAUSE_HANDED_BACK and result.tree_dead
    await runner.coordinator.credit(0)


async def test_the_stop_file_stops_and_its_end_goes_on(runner: RunnerUnderTest) -> None:
    await runner.start(max_concurrent_agents=1)
    running, waiting = runner.lease("sleep 100"), runner.lease("true")
    runner.coordinator.lease(running, waiting)
    await runner.coordinator.event(running, "started")
    runner.workspace.stop_file.touch()
    assert (await runner.coordinator.result(running)).cause == pb.END_CAUSE_POLICY
    await runner.coordinator.event(waiting, "returned")
    await runner.coordinator.credit(0)
    runner.workspace.stop_file.unlink()
    await runner.coordinator.some_credit()


async def test_a_killed_runner_leaves_nothing_running_though_nobody_restarts_it(runner: RunnerUnderTest) -> None:
    runner.coordinator.lease_seconds = 2.0
    await runner.start()
    watch = Stopwatch()
    leases = [runner.lease("sleep 100"), runner.lease("trap '' TERM; while :; do sleep 100; done")]
    runner.coordinator.lease(*leases)
    pids = [(await runner.coordinator.event(lease, "started")).pid for lease in leases]
    runner.signal(signal.SIGKILL)
    await runner.wait()
    assert all(map(alive, pids)) or watch.paused, "it outlived its runner"
    await asyncio.to_thread(until, lambda: not any(map(alive, pids)), "the warden to end them")


async def test_a_restarted_runner_reaps_before_it_registers(runner: RunnerUnderTest) -> None:
    await runner.start()
    lease = runner.lease("sleep 100")
    runner.coordinator.lease(lease)
    pid = (await runner.coordinator.event(lease, "started")).pid
    runner.signal(signal.SIGKILL)
    await runner.wait()
    await runner.start_runner()
    await runner.coordinator.until(lambda: len(runner.coordinator.hellos) == 2, "the second hello")
    assert not alive(pid)
    assert runner.coordinator.hellos[0].incarnation != runner.coordinator.hellos[1].incarnation
    assert not runner.coordinator.hellos[1].returning


async def test_when_the_warden_is_killed_the_runner_ends_its_trees_and_itself(runner: RunnerUnderTest) -> None:
    await runner.start()
    lease = runner.lease("env -i setsid sleep 100 & echo $!; sleep 100")
    runner.coordinator.lease(lease)
    pid = (await runner.coordinator.event(lease, "started")).pid
    children = Path(f"/proc/{_pid(runner)}/task/{_pid(runner)}/children").read_text().split()
    (warden,) = (int(child) for child in children)
    os.kill(warden, signal.SIGKILL)
    assert await runner.wait() == 70
    assert not alive(pid)


def _pid(runner: RunnerUnderTest) -> int:
    assert runner.process is not None
    return runner.process.pid


async def test_a_second_runner_of_the_same_name_is_refused(runner: RunnerUnderTest) -> None:
    await runner.start()
    first = runner.process
    await runner.start_runner()
    assert await runner.wait() == 69
    runner.process = first
