"""`quantum logs --follow` goes on over restarts of the coordinator: every line once, and the script's own exit code."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from cli.processes.identity import Process
from tests.acceptance.conftest import MakeSystem
from tests.acceptance.system import System

KILLS = 3


@pytest.fixture
def system(make_system: MakeSystem) -> System:
    return make_system(script_retry_seconds=0).init()


def _more(system: System, followed: Path) -> None:
    seen = followed.stat().st_size
    system.until(lambda: followed.stat().st_size > seen + 200, what="more lines")


def _kill_coordinator(system: System) -> Process:
    coordinator = system.running.processes["coordinator"]
    assert coordinator.send(signal.SIGKILL)
    system.until(lambda: not coordinator.alive(), what="the coordinator is dead")
    return coordinator


def test_every_line_comes_once_over_kills_of_the_coordinator(system: System) -> None:
    # A line as soon as the file is there, and none after the last.
    body = 'n=0; while [ ! -e stop ]; do n=$((n+1)); echo "line $n"; sleep 0.02; done; echo "lines $n"; exit 3'
    system.agent("talker", body)
    system.up()
    task = system.ask("submit", "talker")["tasks"][0]["id"]
    followed = system.root / "followed"
    with followed.open("wb") as out:
        reader = system.start("logs", task, "--follow", stdout=out)
    for _ in range(KILLS):
        _more(system, followed)
        _kill_coordinator(system)
    _more(system, followed)
    (system.root / "stop").touch()
    _, said = reader.communicate(timeout=120)
    lines = followed.read_text().splitlines()
    last = int(lines[-1].removeprefix("lines "))
    print(f"{KILLS} kills, {last} lines; {said.decode()}")
    assert lines == [*(f"line {number}" for number in range(1, last + 1)), f"lines {last}"]
    assert reader.returncode == 3
    broken, mended = (said.decode().count(words) for words in ("broke off (", "is back"))
    # One that is only just back may break off once more.
    assert broken == mended >= KILLS


def test_an_attempt_that_began_meanwhile_is_shown_from_its_first_line(system: System) -> None:
    body = """if [ $QUANTUM_ATTEMPT = 1 ]; then seq -f 'first %g' 50; while [ ! -e go ]; do sleep 0.05; done; exit 1; fi
seq -f 'second %g' 20"""
    system.agent("twice", body, "retries = 1")
    system.up()
    task = system.ask("submit", "twice")["tasks"][0]["id"]
    followed = system.root / "followed"
    with followed.open("wb") as out:
        reader = system.start("logs", task, "--follow", stdout=out)
    first, second = (
        [f"{name} {number}" for number in range(1, last + 1)] for name, last in (("first", 50), ("second", 20))
    )
    system.until(lambda: followed.read_text().splitlines() == first, what="the first attempt is seen")
    reader.send_signal(signal.SIGSTOP)
    _kill_coordinator(system)
    (system.root / "go").touch()
    system.until(lambda: _state(system, task) == "succeeded", what="the second attempt has ended")
    reader.send_signal(signal.SIGCONT)
    reader.communicate(timeout=120)
    assert followed.read_text().splitlines() == [*first, *second]
    assert reader.returncode == 0


def _state(system: System, task: str) -> str:
    answer = system.quantum("tasks", task, "--json")  # refused as long as there is no coordinator
    return str(answer.document["task"]["state"]) if answer.code == 0 else ""
