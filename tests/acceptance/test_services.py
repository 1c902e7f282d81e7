"""Services are kept alive and never storm: held at the sixth end, back after a kill, one of each name at any time."""

from __future__ import annotations

import itertools
import math
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from clients.coordinator_values import AgentState
from tests.acceptance.conftest import MakeSystem
from tests.acceptance.deployment import Deployment, deployed
from tests.acceptance.one_of_each import Observer, services_of
from tests.acceptance.system import System
from tests.waiting import CLOCK, Stopwatch, eventually

SERVICE = ('kind = "service"',)
NOTE_START = 'date +%s.%N >> "$QUANTUM_WORKSPACE/starts.$QUANTUM_AGENT"'
LONG = [pytest.mark.long, pytest.mark.timeout(240)]


def starts(root: Path, agent: str) -> list[float]:
    """When it was started, by its own notes."""
    notes = root / f"starts.{agent}"
    return [float(line) for line in notes.read_text().split("\n")[:-1]] if notes.exists() else []


@pytest.mark.parametrize(("backoff", "late_max"), [(0.2, math.inf), pytest.param(1.0, 0.6, marks=LONG)])
def test_one_that_crashes_at_once_is_held_at_the_sixth_and_recovered(
    make_system: MakeSystem, backoff: float, late_max: float
) -> None:
    """It starts later each time, and never sooner than it may; by how much later is measured in the long ring."""
    system = make_system(
        service_backoff_seconds=backoff, catalogue_scan_seconds=0.3, host_guard="off", stop_grace_seconds=2
    ).init()
    mended = 'if [ -e "$QUANTUM_WORKSPACE/mended" ]; then exec sleep 600; fi'
    system.agent("crash", f"{NOTE_START}\n{mended}\necho line one\necho cannot reach the database\nexit 7", *SERVICE)
    system.agent("steady", f"{NOTE_START}\nexec sleep 600", *SERVICE)
    with Observer(system.root) as observer:
        system.up()
        held = system.until(lambda: _agent(system, "crash", "held"), within=60 * backoff + 60, what="crash is held")
        _check_the_curve(starts(system.root, "crash"), backoff, late_max)
        assert "6 times within 10 minutes" in held["held_reason"] and "exited with 7" in held["held_reason"]
        assert held["service"]["last_lines"].endswith("line one\ncannot reach the database\n")
        assert held["breaker"] == "closed" and held["success_rate"] is None
        shown = system.quantum("agents", "crash", code=0).out
        assert "held" in shown and "cannot reach the database" in shown
        alerts = system.until(lambda: _alerts(system, "crash"), what="people are told")
        assert [alert["level"] for alert in alerts] == ["critical"]

        steady = system.until(lambda: _agent(system, "steady", "running"), what="steady runs")
        second = system.quantum("submit", "steady")
        task = steady["current_tasks"][0]
        assert second.code != 0 and task in second.err and "already" in second.err
        _kill_and_wait(system, "steady", backoff, late_max)
        system.until(lambda: _told(system, task, "2nd start", "ended by signal 9"), what="why tells of it")

        (system.root / "mended").touch()
        recovered = system.quantum("recover", "--agent", "crash", code=0).out
        assert "crash was held" in recovered
        system.until(lambda: _agent(system, "crash", "running"), what="crash runs")
        system.until(lambda: not _alerts(system, "crash"), what="its alert is over")
        system.until(lambda: len(starts(system.root, "crash")) >= 7, what="it has noted its start")
        assert len(starts(system.root, "crash")) == 7

        system.quantum("stop", "--all", code=0)
        assert services_of(system.root) == {}
        system.quantum("resume", code=0)
        system.until(lambda: set(services_of(system.root)) == {"crash", "steady"}, what="both run again")
        cancelled = system.until(lambda: _agent(system, "steady", "running"), what="steady is known to run")
        system.quantum("cancel", *cancelled["current_tasks"], code=0)
        system.until(lambda: set(services_of(system.root)) == {"crash"}, what="steady is ended")
        before = len(starts(system.root, "steady"))
        system.quantum("down", code=0)
        system.up()
        system.until(lambda: _agent(system, "crash", "running"), what="crash runs after a restart of everything")
        assert len(starts(system.root, "steady")) == before, "a person has ended it"
        system.until(lambda: _agent(system, "steady", "idle"), what="steady is idle")
    print(f"{observer.looks} looks, the most of each at a time: {dict(observer.most)}")
    assert set(observer.most.values()) == {1}


def _check_the_curve(at: list[float], backoff: float, late_max: float) -> None:
    pauses = [after - before for before, after in itertools.pairwise(at)]
    wanted = [backoff * 2**number for number in range(5)]
    told = ", ".join(f"{pause:.2f} of {want:g}" for pause, want in zip(pauses, wanted, strict=True))
    print(f"seconds between its starts: {told}")
    assert all(want <= pause <= want + late_max for pause, want in zip(pauses, wanted, strict=True))


def _kill_and_wait(system: System, agent: str, backoff: float, late_max: float) -> None:
    [pid] = services_of(system.root)[agent]
    killed_at, watch = CLOCK.boottime(), Stopwatch()
    os.kill(pid, signal.SIGKILL)
    system.until(lambda: services_of(system.root).get(agent, [pid]) != [pid], what="it is back")
    took, at_most = CLOCK.boottime() - killed_at, watch.seconds
    print(f"killed with -9 it was back after {took:.2f} s, the first pause is {backoff:g} s")
    assert backoff <= took and at_most <= backoff + late_max + 0.4


def _told(system: System, task: str, *words: str) -> bool:
    why = system.quantum("why", task, code=0).out
    return all(word in why for word in words)


def _agent(system: System, name: str, state: str) -> Any:
    found = system.ask("agents", name)["agent"]
    return found if found["state"] == state else None


def _alerts(system: System, agent: str) -> list[Any]:
    alerts = system.ask("alerts")["alerts"]
    return [one for one in alerts if one["cause"] == f"service:{agent}" and one["resolved_at"] is None]


@pytest.mark.parametrize(
    "victims",
    [
        pytest.param(("coordinator", "runner-one")),
        pytest.param(("coordinator", "runner-one", "runner-two", "coordinator", "runner-one"), marks=LONG),
    ],
    ids=len,
)
async def test_there_is_one_of_each_whoever_is_killed(tmp_path: Path, victims: tuple[str, ...]) -> None:
    names = [f"keeper{number}" for number in range(5)]
    settings = {"lease_seconds": 4, "heartbeat_seconds": 0.8, "catalogue_scan_seconds": 0.3, "host_guard": "off"}
    async with deployed(tmp_path, **settings) as system:
        for name in names:
            system.agent(name, "exec sleep 600", manifest='kind = "service"')
        root = system.workspace.root
        with Observer(root) as observer:
            # The first runner has all of them, so that its end is one that they feel.
            await system.up("safety", "coordinator", "runner-one")
            await eventually(lambda: _one_of_each(root, names), "one of each")
            await system.up("runner-two")
            for killed in victims:
                await eventually(lambda: _one_of_each(root, names), "one of each")
                before = services_of(root)
                system.kill(killed)
                await system.up(killed)
                await eventually(_all_told(system, names), f"each runs after kill -9 of {killed}")
                kept = sum(before[name] == services_of(root).get(name) for name in names)
                print(f"kill -9 of {killed}: {kept} of {len(names)} services ran on, the others were started again")
            await eventually(lambda: _one_of_each(root, names), "one of each")
            looks = observer.looks
            await eventually(lambda: observer.looks > looks + 1, "a look at the last ones, too")
        await eventually(_all_told(system, names), "each is known to run")
        async with system.coordinator() as client:
            tasks = [(await client.get_agent(name)).current_tasks for name in names]
    print(f"{observer.looks} looks; most at a time: {dict(observer.most)}; processes: {_counts(observer)}")
    assert observer.looks > 20 and observer.most == dict.fromkeys(names, 1)
    assert sum(_counts(observer).values()) > len(names), "some were lost with their runner, or nothing was shown"
    assert all(len(one) == 1 for one in tasks)


def _counts(observer: Observer) -> dict[str, int]:
    return {name: len(pids) for name, pids in observer.pids.items()}


def _one_of_each(root: Path, names: list[str]) -> bool:
    return {name: len(pids) for name, pids in services_of(root).items()} == dict.fromkeys(names, 1)


def _all_told(system: Deployment, names: list[str]) -> Callable[[], object]:
    async def look() -> bool:
        async with system.coordinator() as client:
            views = [await client.get_agent(name) for name in names]
        told = all(view.state is AgentState.RUNNING and view.current_tasks for view in views)
        return told and _one_of_each(system.workspace.root, names)

    return look


@pytest.mark.parametrize("count", [pytest.param(10), pytest.param(75, marks=LONG)])
def test_looping_daemons_move_in_unchanged(make_system: MakeSystem, count: int) -> None:
    system = make_system(
        max_concurrent_agents=count, catalogue_scan_seconds=0.3, host_guard="off", stop_grace_seconds=2
    ).init()
    names = [_daemon(system.workspace.agents, number) for number in range(count)]
    contents = {path: path.read_bytes() for path in system.workspace.agents.glob("agent_*.*")}
    with Observer(system.root, every_seconds=0.2) as observer:
        system.up()
        system.until(lambda: _all_beat(system.root, names), within=60, what="each daemon has gone round once")
        assert {name: len(pids) for name, pids in services_of(system.root).items()} == dict.fromkeys(names, 1)
        system.quantum("stop", "--all", code=0)
        assert services_of(system.root) == {}
        system.quantum("resume", code=0)
        system.until(lambda: set(services_of(system.root)) == set(names), within=60, what="all run again")
    print(f"{count} daemons, {observer.looks} looks, the most of one name: {max(observer.most.values())}")
    assert set(observer.most.values()) == {1}
    assert {path: path.read_bytes() for path in contents} == contents


def _all_beat(root: Path, names: list[str]) -> bool:
    return all((root / f"beat.{name}").exists() for name in names)


LOOP = 'while true; do\n  touch "$QUANTUM_WORKSPACE/beat.$QUANTUM_AGENT"\n  sleep 60\ndone\n'
PYTHON = (
    "import os, time\n"
    "while True:\n"
    "    open(os.environ['QUANTUM_WORKSPACE'] + '/beat.' + os.environ['QUANTUM_AGENT'], 'w').close()\n"
    "    time.sleep(60)\n"
)
BASHISM = "declare -a beats=(60)\n" + LOOP.replace("sleep 60", "sleep ${beats[0]}")
QUIRKS = (
    (".sh", "#!/bin/bash\n" + BASHISM, 0o755),
    (".sh", "  #!/bin/bash\n" + BASHISM, 0o755),
    (".sh", LOOP, 0o755),
    (".sh", "\n\n  #!/bin/bash\n" + BASHISM, 0o755),
    (".sh", "#!/bin/bash\r\n" + BASHISM, 0o755),
    (".sh", "\ufeff#!/bin/bash\n" + BASHISM, 0o755),
    (".sh", "#!/bin/bash\n" + BASHISM, 0o644),
    (".py", ("#!/usr/bin/env python3\n" + PYTHON).replace("\n", "\r\n"), 0o755),
    (".py", PYTHON, 0o644),
    (".sh", "# only a comment\n" + LOOP, 0o755),
)


def _daemon(agents: Path, number: int) -> str:
    """A daemon as it lies there, and an agent.toml that says what it is; returns its name."""
    suffix, text, mode = QUIRKS[number % len(QUIRKS)]
    name = f"agent_daemon{number}"
    script = agents / f"{name}{suffix}"
    script.write_bytes(text.encode())
    script.chmod(mode)
    (agents / name).mkdir()
    (agents / name / "agent.toml").write_text('kind = "service"\n')
    return name
