"""Units under kills, hangs, crash loops and taken ports; each with the control that fails without the protection."""

from __future__ import annotations

import socket
import tempfile
from pathlib import Path

import pytest

from cli.service.parts import PARTS, Part
from tests.ports import free_port
from tests.units.place import make_place
from tests.units.scene import GATEWAY, RUNNER, SAFETY, TASKS, Scene
from tests.waiting import until

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]
ROUNDS = 3
_NEVER_WITHIN_SECONDS = 8.0


def test_each_is_back_after_a_kill_and_every_task_ends_once(scene: Scene) -> None:
    scene.noting_agent("noting", "sleep 2")
    scene.place.quantum("service", "install")
    took: dict[str, list[float]] = {part.name: [] for part in PARTS}
    lost = 0
    for _ in range(ROUNDS):
        for part in PARTS:
            ids = scene.submit("noting")
            took[part.name].append(scene.signal([part], "KILL"))
            lost += sum(scene.ended_once(ids).values()) - TASKS
    took["all at once"] = [scene.signal(PARTS, "KILL")]
    assert lost, "no attempt was lost with a runner, so nothing was tried"
    print({name: [round(one, 1) for one in seconds] for name, seconds in took.items()}, f"{lost} attempts lost")
    assert set(scene.shown("NRestarts").values()) == {str(ROUNDS + 1)}


def test_the_control_without_restart_nobody_comes_back(scene: Scene) -> None:
    scene.place.quantum("service", "install")
    scene.alter(SAFETY, "Restart=no")
    with pytest.raises(AssertionError, match="back and healthy"):
        scene.signal([SAFETY], "KILL", within=_NEVER_WITHIN_SECONDS)


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.name)
def test_what_hangs_is_started_again(scene: Scene, part: Part) -> None:
    scene.place.quantum("service", "install", "--no-start")
    scene.alter(part, "WatchdogSec=2")
    scene.place.quantum("service", "start")
    # Hung and alive, as a loop that waits for itself would be.
    print(f"{part.name} hung: back after {scene.signal([part], 'STOP', within=20):.1f} s")
    scene.place.quantum("run", "hello")


def test_the_control_without_a_watchdog_it_hangs_for_ever(scene: Scene) -> None:
    scene.place.quantum("service", "install", "--no-start")
    scene.alter(SAFETY, "WatchdogSec=0")
    scene.place.quantum("service", "start")
    with pytest.raises(AssertionError, match="back and healthy"):
        scene.signal([SAFETY], "STOP", within=_NEVER_WITHIN_SECONDS)


def stubborn(scene: Scene, name: str) -> str:
    """An agent that ignores SIGTERM, as does what it leaves in a session of its own; lost, it is not begun again."""
    name = f"stubborn-{name}"
    alone = "trap '' TERM; while :; do sleep 5; done; : stubborn"
    scene.place.agent(name, "trap '' TERM", f'setsid sh -c "{alone}" &', "while :; do sleep 5; done", effects="once")
    return name


@pytest.mark.parametrize("killed", [False, True], ids=["in order", "runner killed before"])
def test_a_stop_leaves_no_process(scene: Scene, killed: bool) -> None:
    agent = stubborn(scene, "in-order" if not killed else "killed")
    scene.place.quantum("service", "install")
    scene.submit(agent, 3)
    until(lambda: sum("stubborn" in one for one in scene.manager.processes()) >= 6, "all have begun")
    if killed:
        scene.manager.run("kill", "-KILL", str(scene.main_pid(RUNNER)))
    scene.manager.systemctl("stop", "quantum-*")
    # Not a moment later: systemd says so itself.
    assert scene.manager.processes() == []


def test_the_control_of_a_unit_that_ends_its_main_process_only(scene: Scene) -> None:
    agent = stubborn(scene, "control")
    scene.place.quantum("service", "install", "--no-start")
    scene.alter(RUNNER, "KillMode=process", "ExecStopPost=", "Restart=no")
    scene.place.quantum("service", "start")
    scene.submit(agent, 3)
    until(lambda: sum("stubborn" in one for one in scene.manager.processes()) >= 6, "all have begun")
    scene.manager.run("kill", "-KILL", str(scene.main_pid(RUNNER)))
    scene.manager.systemctl("stop", "quantum-*")
    left = [one for one in scene.manager.processes() if "stubborn" in one]
    print(f"{len(left)} processes of scripts outlive the stop of such a unit")
    assert left
    # `service stop` looks at processes, not at units: it waits for the warden, which ends them by their leases.
    scene.place.quantum("service", "stop")
    until(lambda: not scene.manager.processes(), "the warden has ended them", within=60)


def test_what_crashes_again_and_again_is_given_up_and_says_so(scene: Scene) -> None:
    scene.place.quantum("service", "install")
    scene.alter(GATEWAY, "ExecStart=", "ExecStart=/bin/sh -c 'echo \"out of luck\"; exit 3'", "RestartSec=100ms")
    scene.manager.run("kill", "-KILL", str(scene.main_pid(GATEWAY)))
    until(lambda: scene.states()["mcp"] == "failed", "it is given up", within=60)
    seen = {
        unit["name"]: unit for unit in scene.place.quantum("service", "status", "--json", code=69).document["units"]
    }
    print(f"given up after {seen['mcp']['restarts']} restarts")
    assert 15 <= seen["mcp"]["restarts"] <= 21
    assert "given up" in seen["mcp"]["says"] and "out of luck" in seen["mcp"]["says"]
    scene.alter_back()
    scene.place.quantum("service", "start")
    assert scene.healthy()


def test_a_taken_port_is_waited_for_in_a_sentence(scene: Scene) -> None:
    port = free_port()
    scene.place.configure(gateway_port=port, host_guard="off")
    scene.place.quantum("service", "install", "--no-start")
    with socket.create_server(("127.0.0.1", port)):
        scene.manager.systemctl("start", "--no-block", *(scene.unit(part) for part in PARTS))

        def waits() -> bool:
            units = scene.place.quantum("service", "status", "--json", code=69).document["units"]
            return any(unit["name"] == "mcp" and f"Port {port}" in unit["says"] for unit in units if unit["says"])

        until(waits, "it says what it waits for")
    until(scene.healthy, "the port is free, it is healthy")
    assert set(scene.shown("NRestarts").values()) == {"0"}


def test_tokens_are_replaced_while_units_run(scene: Scene) -> None:
    settings = {"token_rotation_seconds": 10, "token_overlap_seconds": 10, "host_guard": "off"}
    scene.place.configure(gateway_port=free_port(), **settings)
    before = scene.place.quantum("token", "show").out
    scene.place.quantum("service", "install")
    until(lambda: scene.place.quantum("token", "show").out != before, "there is a new token", within=60)
    scene.place.quantum("run", "hello")


def test_a_path_with_all_that_a_unit_gives_a_meaning(scene: Scene) -> None:
    with tempfile.TemporaryDirectory(prefix="q %h $HOME 'a' & ") as folder:
        other = Scene(scene.manager, make_place(Path(folder).resolve(), scene.manager.run))
        try:
            other.place.quantum("service", "install")
            assert other.healthy()
            other.place.quantum("run", "hello")
        finally:
            other.place.quantum("service", "uninstall", code=None)


def test_two_workspaces_on_one_machine_share_nothing(scene: Scene) -> None:
    first = scene.place
    with tempfile.TemporaryDirectory(prefix="qw ü ") as folder:
        other = Scene(scene.manager, make_place(Path(folder).resolve(), scene.manager.run))
        second = other.place
        try:
            first.quantum("service", "install")
            second.quantum("service", "install")
            assert scene.healthy() and other.healthy()
            units = [{one.unit(part) for part in PARTS} for one in (scene, other)]
            assert not units[0] & units[1]
            mains = [set(one.shown("MainPID").values()) for one in (scene, other)]
            assert not mains[0] & mains[1]
            tokens = [one.quantum("token", "show").out.strip() for one in (first, second)]
            ports = [one.ask("status")["url"] for one in (first, second)]
            assert len(set(tokens)) == len(set(ports)) == 2
            for url, wrong in zip(ports, reversed(tokens), strict=True):
                shown = scene.manager.run(
                    "curl",
                    "-s",
                    "-o",
                    "/dev/null",
                    "-w",
                    "%{http_code}",
                    "-H",
                    f"X-Auth-Token: {wrong}",
                    f"{url}/tasks/queue",
                )
                assert shown.out == "401"
            first.quantum("run", "hello")
            assert len(first.ask("tasks")["tasks"]) >= 1 and second.ask("tasks")["tasks"] == []
            first.quantum("service", "stop")
            assert other.healthy() and set(scene.states().values()) == {"inactive"}
            first.quantum("service", "uninstall")
            assert other.healthy()
        finally:
            second.quantum("service", "uninstall", code=None)
