"""How trees end: limits, orders, stragglers, escapes, the STOP file."""

from __future__ import annotations

import os
import signal

import pytest

from services.agent_runner.warden.protocol import End, Halted, Pause, Paused, Refused, Resume, Shutdown, Spawned
from tests.runner.frozen import stands_still
from tests.runner.support import WardenUnderTest, alive
from tests.waiting import CLOCK, Stopwatch, until


def test_timeout_ends_the_whole_tree(warden: WardenUnderTest) -> None:
    for key in "abcdef":
        ended = warden.run(warden.shell("sleep 100 & echo $!; sleep 100"), key, timeout=0.3)
        assert ended.cause == "timeout" and ended.tree_dead
        assert os.waitstatus_to_exitcode(ended.status) == -15
        if child := warden.output(ended.slot):  # else it was so slow that it had none yet
            break
    assert not alive(int(child))


def test_what_ignores_sigterm_is_killed_after_its_grace(warden: WardenUnderTest) -> None:
    script = warden.shell("trap '' TERM; echo ready; while :; do sleep 100; done")
    warden.send(warden.order(script, grace=0.4))
    slot = warden.expect(Spawned).slot
    warden.wait_output(slot, b"ready")
    watch, before = Stopwatch(), CLOCK.boottime()
    warden.send(End("a", "cancel", "as asked"))
    ended = warden.ended()
    assert (ended.cause, ended.sentence, ended.tree_dead) == ("cancel", "as asked", True)
    assert os.waitstatus_to_exitcode(ended.status) == -9
    assert CLOCK.boottime() - before >= 0.4 and watch.seconds < 8, "neither before its grace nor at the usual one"


def test_leftovers_end_with_the_task(warden: WardenUnderTest) -> None:
    ended = warden.run(warden.shell("sleep 100 & echo $!; exit 4"))
    assert os.waitstatus_to_exitcode(ended.status) == 4 and ended.cause == "exit"
    assert ended.stragglers == 1 and ended.tree_dead
    assert not alive(int(warden.output(ended.slot)))


def test_a_daemon_that_left_session_group_and_environment_ends_too(warden: WardenUnderTest) -> None:
    daemon = "trap '' TERM; echo \\$\\$ > pid; sleep 99; sleep 99"
    script = warden.shell(f'env -i setsid setsid sh -c "{daemon}" & until [ -s pid ]; do sleep 0.01; done; exit 0')
    ended = warden.run(script, grace=0.3)
    assert ended.cause == "exit" and ended.stragglers >= 1 and ended.tree_dead
    assert not alive(int((warden.scripts / "pid").read_text()))


def test_an_orphan_of_a_running_task_is_let_be_until_the_task_ends(warden: WardenUnderTest) -> None:
    script = warden.shell("(setsid sleep 100 & echo $! >&2) 2>&1; echo ready; sleep 100")
    warden.send(warden.order(script))
    slot = warden.expect(Spawned).slot
    orphan = int(warden.wait_output(slot, b"ready").split()[0])
    other = warden.run(warden.shell("true"), "b")
    assert other.stragglers == 0 and alive(orphan)
    warden.send(End("a", "cancel", ""))
    assert warden.ended("a").tree_dead
    assert not alive(orphan)


@pytest.mark.parametrize(("by", "told"), [("setsid", 1), ("env", 0)])
def test_what_left_the_session_is_told_of_though_it_ends_before_its_script(
    warden: WardenUnderTest, by: str, told: int
) -> None:
    child = f"{by} sh -c 'echo ready; exec sleep 100'"
    warden.send(warden.order(warden.shell(f"trap 'wait; exit 0' TERM; {child} & wait; wait")))
    warden.wait_output(warden.expect(Spawned).slot, b"ready")
    warden.send(End("a", "cancel", ""))
    ended = warden.ended("a")
    assert (ended.tree_dead, ended.stragglers) == (True, told), ended


def test_the_memory_of_the_tree_is_limited(warden: WardenUnderTest) -> None:
    child = "x = b'x' * 60_000_000; import signal; signal.pause()"
    script = warden.shell(f'for i in 1 2 3 4; do python3 -c "{child}" & done; wait')
    ended = warden.run(script, memory_bytes=150_000_000)
    assert ended.cause == "memory" and "143.1 MB" in ended.sentence and ended.tree_dead
    assert ended.peak_bytes >= 150_000_000


def test_a_fork_bomb_is_limited(warden: WardenUnderTest) -> None:
    script = warden.shell("for i in 1 2 3 4 5 6 7 8 9; do sleep 100 & done; wait")
    ended = warden.run(script, processes_max=5)
    assert ended.cause == "processes" and ended.tree_dead


def test_output_is_limited(warden: WardenUnderTest) -> None:
    ended = warden.run(warden.shell("yes"), output_bytes_max=1_000_000)
    assert ended.cause == "output" and ended.output_bytes > 1_000_000


def test_silence_is_limited(warden: WardenUnderTest) -> None:
    ended = warden.run(warden.shell("echo first; sleep 100"), idle_timeout=0.6)
    assert ended.cause == "idle"
    assert ended.active_seconds >= 0.6


def test_paused_time_counts_for_no_limit(warden: WardenUnderTest) -> None:
    script = warden.shell("echo ready; sleep 0.6; echo done")
    warden.send(warden.order(script, timeout=300.0))
    spawned = warden.expect(Spawned)
    warden.wait_output(spawned.slot, b"ready")
    warden.send(Pause("a"))
    assert warden.expect(Paused).paused
    until(lambda: stands_still(spawned.pid), "the tree to be stopped")
    warden.send(Resume("a"))
    assert not warden.expect(Paused).paused
    ended = warden.ended()
    assert ended.cause == "exit" and ended.status == 0
    assert ended.active_seconds < ended.ended_at - ended.started_at


@pytest.mark.parametrize("grace", [0.0, 10.0])
def test_whoever_follows_in_the_place_of_one_that_was_killed_while_paused_runs(
    warden: WardenUnderTest, grace: float
) -> None:
    warden.send(warden.order(warden.shell("sleep 100"), grace=grace))
    pid = warden.expect(Spawned).pid
    warden.send(Pause("a"))
    warden.expect(Paused)
    if grace:
        os.killpg(pid, signal.SIGKILL)
    else:
        warden.send(End("a", "cancel", "as asked"))
    warden.release(warden.ended().slot)
    assert os.waitstatus_to_exitcode(warden.run(warden.shell("exit 3"), "b").status) == 3


def test_the_stop_file_ends_everything_and_lets_nothing_start(warden: WardenUnderTest) -> None:
    script = warden.shell("sleep 100")
    warden.send(warden.order(script, "a"), warden.order(script, "b"))
    for _ in "ab":
        warden.expect(Spawned)
    warden.stop_file.touch()
    assert warden.expect(Halted).stopped
    assert {warden.ended("a").cause, warden.ended("b").cause} == {"mode"}
    warden.send(warden.order(script, "c"))
    assert warden.expect(Refused).cause == "mode"
    warden.stop_file.unlink()
    assert not warden.expect(Halted).stopped
    assert warden.run(warden.shell("true"), "d").status == 0


def test_shutdown_ends_all_and_the_warden(warden: WardenUnderTest) -> None:
    warden.send(warden.order(warden.shell("sleep 100")))
    warden.expect(Spawned)
    warden.send(Shutdown("the runner stops"))
    ended = warden.ended()
    assert (ended.cause, ended.sentence) == ("handed_back", "the runner stops")
    warden.wait_gone()
    assert not (warden.folder / "slots").exists() or not list((warden.folder / "slots").iterdir())
