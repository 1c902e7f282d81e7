"""running: exit codes, the time limit, bounded output, and nothing left behind, with the control."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from foundation.clock import SystemClock
from merge_guard import running
from merge_guard.running import Ran, environment_of_test, run_once

DAEMON = """
import os, sys, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.environ.clear()
        open(sys.argv[1], "w").write(str(os.getpid()))
        time.sleep(600)
    os._exit(0)
os.wait()
while not os.path.exists(sys.argv[1]) or not open(sys.argv[1]).read():
    time.sleep(0.01)
"""


def ran(folder: Path, *argv: str, seconds: float = 30.0) -> Ran:
    environment = environment_of_test(os.environ, folder, folder / "gitconfig", folder)
    return run_once(argv, folder, environment, timeout_seconds=seconds, clock=SystemClock())


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in "ZX"


@pytest.mark.parametrize(
    ("script", "code"), [("exit 0", 0), ("exit 3", 3), ("nope-nope", 127), ("kill -SEGV $$", -11), ("kill -9 $$", -9)]
)
def test_exit_codes(tmp_path: Path, script: str, code: int) -> None:
    assert ran(tmp_path, "sh", "-c", script).exit_code == code


def test_what_cannot_be_started(tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("true\n")
    (tmp_path / "binary").write_bytes(b"\0\1")
    (tmp_path / "binary").chmod(0o755)
    assert ran(tmp_path, "./not-there").exit_code == 127
    assert ran(tmp_path, "./plain").exit_code == 126
    assert ran(tmp_path, "./binary").exit_code == 126
    assert "./plain" in ran(tmp_path, "./plain").tail


def test_time_limit_ends_it_all(tmp_path: Path) -> None:
    pidfile = tmp_path / "pid"
    script = "trap '' TERM; sleep 600 & echo $! >pid; echo begun; wait; wait"
    for seconds in (0.5, 5, 60):  # it may take its time to begin
        done = ran(tmp_path, "sh", "-c", script, seconds=seconds)
        assert done.exit_code is None and done.clean and seconds <= done.seconds < 600
        if done.tail:
            break
    assert done.tail == "begun\n"
    assert not alive(int(pidfile.read_text()))


def test_a_daemon_is_ended(tmp_path: Path) -> None:
    (tmp_path / "daemon.py").write_text(DAEMON)
    done = ran(tmp_path, sys.executable, "daemon.py", "pid")
    assert done.exit_code == 0 and done.clean
    assert not alive(int((tmp_path / "pid").read_text()))


# Each generation starts the next and ends, so that whoever looks finds another one; a file ends it in any case.
RUNAWAY = """
import os, sys
sys.stdout.close()
for generation in range(200_000):
    if os.path.exists("enough"):
        break
    pid = os.fork()
    if pid:
        os._exit(0)
    os.setsid()
    with open("generation.part", "w") as file:
        file.write(str(generation))
    os.rename("generation.part", "generation")
"""


def at_home_in(folder: Path) -> list[str]:
    """The processes whose current folder it is."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if os.readlink(process / "cwd") == str(folder):
                found.append(process.name)
    return found


def test_what_runs_away_by_starting_itself_again_is_caught(tmp_path: Path) -> None:
    (tmp_path / "runaway.py").write_text(RUNAWAY)
    try:
        done = ran(tmp_path, sys.executable, "runaway.py")
        generation = int((tmp_path / "generation").read_text())
        print(f"\ncaught in generation {generation}")
        assert done.clean and generation < 199_999 and at_home_in(tmp_path) == []
    finally:
        (tmp_path / "enough").touch()


def test_control_the_daemon_outlives_a_test_that_nobody_sweeps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Nothing:
        def __enter__(self) -> Nothing:
            return self

        def __exit__(self, *_: object) -> None:
            return None

        def end(self, group: int, seconds_max: float) -> bool:
            os.killpg(group, signal.SIGKILL) if alive(group) else None
            return True

    monkeypatch.setattr(running, "Leftovers", Nothing)
    monkeypatch.setattr(running, "_END_SECONDS", 0.2)
    (tmp_path / "daemon.py").write_text(DAEMON)
    ran(tmp_path, sys.executable, "daemon.py", "pid")
    pid = int((tmp_path / "pid").read_text())
    assert alive(pid)
    os.kill(pid, signal.SIGKILL)


def test_children_of_others_are_let_be(tmp_path: Path) -> None:
    with subprocess.Popen(["sleep", "600"]) as other:
        ran(tmp_path, "true")
        assert other.poll() is None
        other.kill()


def test_output_is_bounded_and_its_end_is_kept(tmp_path: Path) -> None:
    done = ran(tmp_path, "sh", "-c", "head -c 50000000 /dev/zero | tr '\\0' 'x'; echo; seq 1 3000; printf '\\377'")
    assert done.exit_code == 0
    assert (
        done.tail.startswith("…") and done.tail.endswith("2999\n3000\n\ufffd") and len(done.tail) <= running.TAIL_BYTES
    )


def test_input_is_empty_and_the_session_its_own(tmp_path: Path) -> None:
    done = ran(
        tmp_path, sys.executable, "-c", "import os, sys; print(len(sys.stdin.read()), os.getsid(0) == os.getpid())"
    )
    assert done.tail == "0 True\n"


def test_environment_is_scrubbed(tmp_path: Path) -> None:
    local = subprocess.run(["git", "rev-parse", "--local-env-vars"], capture_output=True, text=True, check=True).stdout
    poisoned = dict.fromkeys(local.split(), "poison")
    assert len(poisoned) >= 10
    base = {**poisoned, "PATH": os.environ["PATH"], "HOME": "/h", "QUANTUM_CREDENTIAL": "x", "QUANTUM_HOOK_DEPTH": "1"}
    found = environment_of_test(base, tmp_path / "tree", tmp_path / "gitconfig", tmp_path / "users")
    assert not poisoned.keys() & found.keys()
    assert found["QUANTUM_WORK_TREE"] == str(tmp_path / "users")
    assert "QUANTUM_CREDENTIAL" not in found and found["QUANTUM_HOOK_DEPTH"] == "2" and found["HOME"] == "/h"


def test_global_settings_are_read_and_not_written(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / ".gitconfig").write_text("[user]\n\tname = Ada\n[commit]\n\tgpgSign = true\n")
    base = {"PATH": os.environ["PATH"], "HOME": str(home)}
    environment = environment_of_test(base, tmp_path, tmp_path / "gitconfig", tmp_path)
    script = "git config user.name; git config commit.gpgSign; git config --global user.name Eve; git config user.name"
    done = run_once(["sh", "-c", script], tmp_path, environment, timeout_seconds=30, clock=SystemClock())
    assert done.tail.split() == ["Ada", "false", "Eve"]
    assert "Eve" not in (home / ".gitconfig").read_text()


def test_a_repository_around_the_work_folder_is_not_found(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    work = tmp_path / "work" / "tree"
    work.mkdir(parents=True)
    assert ran(work, "sh", "-c", "git rev-parse --show-toplevel; cd ..; git rev-parse --show-toplevel").exit_code == 128
    # The control: without the ceilings it is.
    plain = run_once(["git", "status"], work, dict(os.environ), timeout_seconds=30, clock=SystemClock())
    assert plain.exit_code == 0
