"""A lease that is not renewed ends its tree, whoever lives; a successor ends what both left behind."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from services.agent_runner.warden.fence import Stage, fence
from services.agent_runner.warden.protocol import Ended, Refused, Renew, Spawned
from tests.runner.frozen import stands_still
from tests.runner.gate import Gate
from tests.runner.support import LEASE_SECONDS, WardenUnderTest, alive
from tests.waiting import CLOCK, Stopwatch, until


def test_the_stages_of_a_lease() -> None:
    stages = [fence(100.0, 20.0, now) for now in (100.0, 114.9, 115.0, 119.9, 120.0, 129.9, 130.0)]
    assert [view.stage for view in stages] == [
        Stage.HELD, Stage.HELD, Stage.FREEZE, Stage.FREEZE, Stage.END, Stage.END, Stage.KILL,
    ]  # fmt: skip
    assert [view.next_at for view in stages] == [115.0, 115.0, 120.0, 120.0, 130.0, 130.0, float("inf")]


def test_an_attempt_that_was_never_renewed_is_ended(warden: WardenUnderTest) -> None:
    script, lease = warden.shell("sleep 100"), 1.2
    for number in range(5):
        watch, leased_at = Stopwatch(), CLOCK.boottime()
        warden.send(warden.order(script, f"a{number}", lease=lease, leased_at=leased_at))
        news = warden.refused_or_ended(f"a{number}")
        assert isinstance(news, Ended) or news.cause == "fence"
        if not watch.paused:
            break
    assert isinstance(news, Ended) and news.cause == "fence" and news.tree_dead
    assert os.waitstatus_to_exitcode(news.status) == -signal.SIGTERM, "no later than it would have been killed"
    assert news.ended_at - leased_at >= lease
    # Frozen from 0.75 × lease on.
    assert news.ended_at - news.started_at - news.active_seconds > 0.1


def test_what_ignores_sigterm_is_killed_at_one_and_a_half_leases(warden: WardenUnderTest) -> None:
    script = warden.shell("trap '' TERM; echo ready; while :; do sleep 100; done")
    warden.send(warden.order(script, grace=300.0))
    warden.wait_output(warden.expect(Spawned).slot, b"ready")
    renewed_at = CLOCK.boottime()
    warden.send(Renew(renewed_at, 1.0, ["a"]))
    ended = warden.ended()
    assert ended.cause == "fence" and ended.tree_dead
    assert os.waitstatus_to_exitcode(ended.status) == -signal.SIGKILL
    assert ended.ended_at - renewed_at >= 1.5


def test_renewals_keep_it_and_thaw_it(warden: WardenUnderTest, gate: Gate) -> None:
    script = warden.shell(f"echo ready; {gate.wait}; echo done")
    warden.send(warden.order(script, lease=4000.0, leased_at=CLOCK.boottime() - 1000.0))
    spawned = warden.expect(Spawned)
    warden.wait_output(spawned.slot, b"ready")
    # To be frozen now, and ended no sooner than a hundred seconds later.
    warden.send(Renew(CLOCK.boottime() - 300.0, 400.0, ["a"]))
    until(lambda: stands_still(spawned.pid), "the freeze")
    warden.send(Renew(CLOCK.boottime(), 400.0, ["a"]))
    gate.open()
    ended = warden.ended()
    assert ended.cause == "exit" and ended.status == 0 and ended.active_seconds < ended.ended_at - ended.started_at
    assert warden.output(ended.slot) == b"ready\ndone\n"


def test_a_renewal_that_was_sent_earlier_does_not_shorten(warden: WardenUnderTest) -> None:
    warden.send(warden.order(warden.shell("sleep 0.5")))
    warden.expect(Spawned)
    warden.send(Renew(CLOCK.boottime() - 2 * LEASE_SECONDS, LEASE_SECONDS, ["a"]))
    assert warden.ended().cause == "exit"


def test_a_lease_that_has_run_down_is_not_started(warden: WardenUnderTest) -> None:
    warden.send(warden.order(warden.shell("true"), leased_at=CLOCK.boottime() - 16.0, lease=20.0))
    assert warden.expect(Refused).cause == "fence"


def test_when_the_runner_dies_the_warden_fences_and_goes(tmp_path: Path) -> None:
    warden = WardenUnderTest(tmp_path)
    scripts = [warden.shell("sleep 100"), warden.shell("trap '' TERM; while :; do sleep 100; done")]
    warden.send(*(warden.order(script, key) for key, script in zip("ab", scripts, strict=True)))
    pids = [warden.expect(Spawned).pid for _ in scripts]
    # Both are let go of: in a second their leases are over.
    warden.send(Renew(CLOCK.boottime(), 1.0, ["a", "b"]))
    warden.lose_runner()
    warden.wait_gone()
    assert not any(map(alive, pids))


def test_a_successor_ends_what_a_killed_warden_left(tmp_path: Path) -> None:
    first = WardenUnderTest(tmp_path, "run-1")
    first.send(
        first.order(first.shell("sleep 100"), "a"),
        first.order(first.shell("env -i setsid sleep 100 & echo $!; exec sleep 100"), "b"),
    )
    spawned = [first.expect(Spawned), first.expect(Spawned)]
    escaped = int(first.wait_output(spawned[1].slot, b"\n"))
    os.kill(first.pid, signal.SIGKILL)
    first.wait_gone()
    left = [spawned[0].pid, spawned[1].pid, escaped]
    assert all(map(alive, left))
    second = WardenUnderTest(tmp_path, "run-2")
    assert second.ready.reaped == 4  # two shells, of which one became its sleep, and two sleeps
    assert not any(map(alive, left))
    second.close()


def test_a_successor_signals_nobody_else(tmp_path: Path) -> None:
    first = WardenUnderTest(tmp_path, "run-1")
    os.kill(first.pid, signal.SIGKILL)
    first.wait_gone()
    # Same token, but older than the run: as if the pid and the environment were somebody else's.
    mark = first.mark
    innocent = os.posix_spawn("/bin/sleep", ["sleep", "100"], {"QUANTUM_RUN": f"{mark.run}.5"})
    bystander = os.posix_spawn("/bin/sleep", ["sleep", "100"], {"QUANTUM_RUN": "another.5"})
    run_file = first.folder / "run.json"
    run_file.write_text(run_file.read_text().replace(str(mark.warden_ticks), str(mark.warden_ticks + 10**6)))
    second = WardenUnderTest(tmp_path, "run-2")
    try:
        assert second.ready.reaped == 0
        assert alive(innocent) and alive(bystander)
    finally:
        second.close()
        for pid in (innocent, bystander):
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def test_a_successor_takes_over_from_a_warden_that_still_lives(tmp_path: Path) -> None:
    first = WardenUnderTest(tmp_path, "run-1")
    first.send(first.order(first.shell("sleep 100")))
    pid = first.expect(Spawned).pid
    first.lose_runner()
    second = WardenUnderTest(tmp_path, "run-2")
    assert not alive(pid)
    first.wait_gone()
    second.close()
