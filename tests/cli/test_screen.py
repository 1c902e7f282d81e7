"""`quantum status` on one screen, whatever the size of the fleet."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from cli.__main__ import run
from cli.merging.standing import MergeStanding
from cli.overview.screen import EACH_MAX, LINES_MAX, Seen, screen
from cli.processes.gateway_address import GatewayAddress
from cli.processes.identity import Process
from cli.processes.running import Running
from cli.verbs import status
from clients.coordinator_values import AgentState, ParkedScope, RunnerView, TaskState
from clients.safety_alerts_values import AlertList, AlertView
from clients.safety_values import ModeStatus
from foundation.errors import Unavailable
from tests.cli.fakes import NOW, PlayedAgent, PlayedSession
from tests.cli.test_morning import STATS

MODE = ModeStatus(mode="NORMAL", reason="", actor="", since=None, stop_file=False)


class Everyone(Running):
    """Processes that run, but for those that are named."""

    @property
    def alive(self) -> dict[str, Process]:
        return {name: one for name, one in self.processes.items() if "dead" not in name}


def runner(name: str, **changes: Any) -> RunnerView:
    given = RunnerView(name=name, host="h", slots=10, running=1, draining=False, attached_at=NOW, last_heartbeat_at=NOW)
    return replace(given, **changes)


def alert(number: int, level: str) -> AlertView:
    return AlertView(
        cause=f"c{number}",
        level=level,
        sentence=f"{level} {number}",
        remedy="",
        first_at=NOW,
        last_at=NOW,
        count=1,
        told_at=None,
        escalated=False,
        acknowledged_by="",
        resolved_at=None,
    )


def seen(*, agents: int = 8, runners: int = 1, held: int = 0, alerts: int = 0, dead: int = 0) -> Seen:
    names = ["safety", "coordinator", *(f"runner-{number}" for number in range(runners)), "gateway"]
    names += [f"dead-{number}" for number in range(dead)]
    parked = tuple(
        ParkedScope(scope=f"agent:a{number}", reason="3 in a row failed", until=NOW, tasks=number)
        for number in range(held)
    )
    counts = dict.fromkeys(TaskState, 12_345)
    stats = replace(
        STATS, counts=counts, runners=tuple(runner(f"r{n}") for n in range(runners)), parked=parked, paused=True
    )
    states = (AgentState.IDLE, AgentState.RUNNING, AgentState.HELD, AgentState.INVALID)
    every: Any = [PlayedAgent(name=f"a{n}", state=states[n % 4]) for n in range(agents)]
    levels = ("info", "warning", "critical")
    return Seen(
        root="/home/ann/automation",
        word="degraded",
        running=Everyone(
            gateway=GatewayAddress("127.0.0.1", 5005),
            processes={name: Process(1000 + number, "x") for number, name in enumerate(names)},
        ),
        serving={"safety": True},
        mode=MODE,
        stats=stats,
        agents=every,
        merges=MergeStanding(open=("m",), held={}),
        alerts=AlertList(alerts=tuple(alert(n, levels[n % 3]) for n in range(alerts)), channels=()),
    )


@pytest.mark.parametrize("agents", [0, 8, 200])
@pytest.mark.parametrize("many", [0, 1, EACH_MAX, EACH_MAX + 1, 200])
def test_it_fits_and_says_what_it_leaves_out(agents: int, many: int) -> None:
    lines = screen(seen(agents=agents, runners=min(many, 64), held=many, alerts=many, dead=min(many, 7)))
    assert len(lines) <= LINES_MAX
    assert not [line for line in lines if "\n" in line]
    text = "\n".join(lines)
    shown = sum(line.startswith("held: ") for line in lines)
    left = next((int(line.split()[1]) for line in lines if "quantum breaker list" in line), 0)
    assert shown + left == many
    told = sum(line.startswith(("critical:", "warning:", "info:")) for line in lines)
    assert told + next((int(line.split()[1]) for line in lines if "quantum alerts" in line), 0) == many
    if agents:
        assert f"agents: {agents} ({agents // 4} idle, {agents // 4} running, {agents // 4} held" in text


def test_the_gravest_is_shown_first() -> None:
    lines = screen(seen(alerts=30, held=30))
    assert next(line for line in lines if ": " in line and line.endswith(" 2")) == "critical: critical 2"
    assert next(line for line in lines if line.startswith("held: ")).startswith("held: agent:a29, 29 tasks")


def test_what_a_service_does_not_say_is_not_known() -> None:
    away = Unavailable("unreachable", "It does not answer.")
    lines = screen(replace(seen(), mode=away, stats=away, agents=away, merges=away, alerts=away))
    assert [line for line in lines if "not known" in line] == [
        "mode: not known. It does not answer.",
        "queue: not known. It does not answer.",
        "alerts: not known. It does not answer.",
    ]


def test_a_process_that_is_not_well_has_its_own_line() -> None:
    lines = screen(replace(seen(dead=1), serving={"safety": False}))
    assert "  safety (1000) does not serve  (quantum doctor)" in lines
    assert "  dead-0 (1004) has ended  (quantum doctor)" in lines


@pytest.mark.parametrize(("answer", "well"), [("ok", 2), ("down", 2), ("", 1)])
def test_a_gateway_that_does_not_answer_is_not_well(
    folder: Path, answer: str, well: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Played(PlayedSession):
        @contextmanager
        def connected(self) -> Iterator[Any]:
            yield SimpleNamespace(serves=lambda name: True)

    everyone = Everyone(
        gateway=GatewayAddress("127.0.0.1", 5005),
        processes={"safety": Process(1001, "x"), "gateway": Process(1002, "x")},
    )
    monkeypatch.setattr(GatewayAddress, "health", lambda self, workspace: answer)
    monkeypatch.setattr(status, "read_running", lambda workspace: everyone)
    monkeypatch.setattr(status, "_unless_away", lambda ask: Unavailable("unreachable", "It does not answer."))
    assert run(["status"], Played(folder)) == (0 if answer == "ok" else 69)
    assert f"processes: {well} of 2 well" in capsys.readouterr().out
