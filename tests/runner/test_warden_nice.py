"""Scripts stand back for other work: nice from their first moment, and as a session where sessions share processors."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from services.agent_runner.warden.host_linux import LinuxHost
from services.agent_runner.warden.protocol import Spawned
from tests.runner.support import ROOT, WardenUnderTest
from tests.waiting import until

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
LOOP = "while :; do :; done"
AGENTS = 4
AUTOGROUP = Path("/proc/self/autogroup")


def _nice_of(pid: int) -> int:
    return os.getpriority(os.PRIO_PROCESS, pid)


OWN = _nice_of(0)
"""What whoever runs the tests has given them, and so the warden."""


def _autogroup_of(pid: int) -> str:
    return Path(f"/proc/{pid}/autogroup").read_text().strip()


def test_a_script_is_nice_and_all_that_it_starts(warden: WardenUnderTest) -> None:
    out = warden.run(warden.shell("sh -c 'nice'; setsid -w nice"), nice=10)
    assert warden.output(out.slot) == b"10\n10\n"
    assert _nice_of(warden.pid) == OWN, "the warden keeps its deadlines, whatever its scripts do"


def test_without_the_setting_it_is_not(warden: WardenUnderTest) -> None:
    out = warden.run(warden.shell("nice"))
    assert warden.output(out.slot) == b"%d\n" % OWN


def test_of_several_that_are_spawned_together_each_is_as_nice_as_it_was_told(warden: WardenUnderTest) -> None:
    told = {"a": 10, "b": 0, "c": 3, "d": 3, "e": 0}
    becomes = {key: nice or OWN for key, nice in told.items()}
    warden.send(*(warden.order(warden.shell("sleep 100"), key, nice=nice) for key, nice in told.items()))
    pids = {spawned.key: spawned.pid for spawned in (warden.expect(Spawned) for _ in told)}
    assert {key: _nice_of(pid) for key, pid in pids.items()} == becomes
    assert _nice_of(warden.pid) == OWN


@pytest.mark.skipif(not AUTOGROUP.exists(), reason="this kernel shares no processors out by session")
def test_what_runs_for_longer_stands_back_as_a_session(warden: WardenUnderTest) -> None:
    warden.send(warden.order(warden.shell("sleep 100"), "a", nice=10), warden.order(warden.shell("sleep 100"), "b"))
    nice = warden.expect(Spawned, lambda spawned: spawned.key == "a").pid
    plain = warden.expect(Spawned, lambda spawned: spawned.key == "b").pid
    until(lambda: _autogroup_of(nice).endswith("nice 10"), "the session to stand back")
    assert _autogroup_of(plain).endswith("nice 0")


@pytest.mark.skipif(not AUTOGROUP.exists(), reason="this kernel shares no processors out by session")
def test_who_is_not_privileged_asks_again_when_all_have_asked_too_often(monkeypatch: pytest.MonkeyPatch) -> None:
    host, answers = LinuxHost(), [errno.EAGAIN, errno.EPERM]

    def write(handle: int, data: bytes) -> int:
        raise OSError(answers.pop(0), "")

    with subprocess.Popen(["sleep", "100"], start_new_session=True) as process:
        with monkeypatch.context() as patched:
            patched.setattr(os, "write", write)
            assert not host.stand_back_as_session(process.pid, 10)
            assert host.stand_back_as_session(process.pid, 10), "what will never be allowed is not asked again"
        assert host.stand_back_as_session(process.pid, 10)
        process.kill()
    assert host.stand_back_as_session(process.pid, 10), "who has gone needs nothing"


@pytest.mark.skipif(os.geteuid() != 0, reason="takes rights away that only root has")
def test_who_may_not_take_its_own_nice_back_never_gives_it_away() -> None:
    # Without the capability; what is spawned is made nice as soon as it is there.
    trial = f"""
import ctypes, os, sys
sys.path.insert(0, {str(ROOT)!r})
import resource
resource.setrlimit(resource.RLIMIT_NICE, (0, 0))
libc = ctypes.CDLL(None, use_errno=True)
# So that the child of this root has no more rights than itself.
assert libc.prctl(28, 1, 0, 0, 0) == 0
header, data = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
assert libc.capset(header, data) == 0
from services.agent_runner.warden.host_linux import LinuxHost
host = LinuxHost()
own = os.getpriority(os.PRIO_PROCESS, 0)
host.stand_back_next(10)
assert os.getpriority(os.PRIO_PROCESS, 0) == own
pid = os.posix_spawn("/bin/sleep", ["sleep", "100"], {{}}, setsid=True)
host.stands_back(pid, 10)
print(os.getpriority(os.PRIO_PROCESS, 0) - own, os.getpriority(os.PRIO_PROCESS, pid))
os.kill(pid, 9)
"""
    done = subprocess.run([sys.executable, "-c", trial], capture_output=True, text=True, check=False)
    assert done.stdout == "0 10\n", done.stderr


@contextmanager
def _on_one_processor() -> Iterator[None]:
    """What is started meanwhile shares one processor with us."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_SECOND


def _times_an_agent(folder: Path, nice: int, kernel_limits: str = "off") -> float:
    """How many times as much as one agent a user's busy loop gets, beside four agents that are busy loops too."""
    folder.mkdir()
    with _on_one_processor():
        warden = WardenUnderTest(folder, kernel_limits=kernel_limits)
        user = subprocess.Popen([sys.executable, "-c", "while True: pass"], start_new_session=True)
    try:
        warden.send(*(warden.order(warden.shell(LOOP), f"a{number}", nice=nice) for number in range(AGENTS)))
        agents = [warden.expect(Spawned).pid for _ in range(AGENTS)]
        if nice and kernel_limits == "off" and AUTOGROUP.exists():
            until(lambda: all(_autogroup_of(pid).endswith(f"nice {nice}") for pid in agents), "all to stand back")
        pids = [user.pid, *agents]
        before = [_cpu_seconds(pid) for pid in pids]

        def used() -> list[float] | None:
            passed = [_cpu_seconds(pid) - seconds for pid, seconds in zip(pids, before, strict=True)]
            return passed if sum(passed) >= 1.2 else None

        of_user, *of_agents = until(used, "a good second of processor time")
        return of_user / max(sum(of_agents) / AGENTS, 1 / TICKS_PER_SECOND)
    finally:
        user.kill()
        user.wait()
        warden.close()


def test_the_work_of_the_user_goes_before_that_of_the_agents(tmp_path: Path) -> None:
    for attempt in range(3):  # a good second is not much, and others use this processor too
        folder = tmp_path / str(attempt)
        folder.mkdir()
        fair, ahead = _times_an_agent(folder / "control", 0), _times_an_agent(folder / "nice", 5)
        kernel = _times_an_agent(folder / "kernel", 0, "auto")
        print(
            f"a user's loop beside {AGENTS} agents gets {ahead:.1f} × an agent's time, and {kernel:.1f} × where the "
            f"kernel holds limits; without either {fair:.1f} ×"
        )
        if fair < 2.0 < ahead and kernel > 3.0:
            break
    assert fair < 2.0, "the control: without nice it gets what everybody gets"
    assert ahead > 2.0 and kernel > 3.0
