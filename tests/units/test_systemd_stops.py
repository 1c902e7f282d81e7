"""Units that are to stay down: isolated while they hang, ended between two crashes; and what is not stopped at all."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest

from cli.processes.gateway_address import GatewayAddress
from cli.service.parts import PARTS
from tests.units.scene import GATEWAY, SAFETY, Scene
from tests.waiting import until

pytestmark = [pytest.mark.long, pytest.mark.timeout(300)]
ISOLATED_WITHIN_SECONDS = 5.0
_STUBBORN = ("trap '' TERM", "setsid sh -c \"trap '' TERM; while :; do sleep 5; done; : stubborn\" &")


@pytest.mark.parametrize("hung", [False, True], ids=["well", "hung"])
def test_isolated_units_are_gone_in_seconds_and_stay_so(scene: Scene, hung: bool) -> None:
    place, manager = scene.place, scene.manager
    port = json.loads(place.workspace.config_file.read_bytes())["gateway_port"]
    agent = f"stubborn-{'hung' if hung else 'well'}"
    place.agent(agent, *_STUBBORN, "while :; do sleep 5; done", effects="once")
    place.quantum("service", "install")
    scene.submit(agent, 3)
    until(lambda: sum("stubborn" in one for one in manager.processes()) >= 6, "all have begun")
    if hung:
        assert manager.run("kill", "-STOP", *scene.shown("MainPID").values()).code == 0

    done = place.ask("isolate")
    print(f"isolated in {done['seconds']:.1f} s: {done['processes_ended']} ended, {done['processes_killed']} killed")
    assert done["isolated"] and done["units_unloaded"] and done["gateway_closed"] and not done["processes_left"], done
    assert done["seconds"] <= ISOLATED_WITHIN_SECONDS
    assert manager.processes() == []
    assert GatewayAddress("127.0.0.1", port).health(place.workspace) != "ok"
    assert set(scene.states().values()) == {"inactive"}
    enabled = manager.run("systemctl", "--user", "is-enabled", *(scene.unit(part) for part in PARTS)).out.split()
    assert set(enabled) == {"disabled"}  # not at the next login either

    assert done["way_back"] == ["quantum service start", "quantum resume"]
    for line in done["way_back"]:
        place.quantum(*line.split()[1:])
    assert scene.healthy()
    for task in place.ask("tasks", "--limit", "100")["tasks"]:
        if task["agent"] == agent and task["state"] not in ("succeeded", "failed", "dead", "cancelled"):
            place.quantum("cancel", task["id"], code=None)


def test_down_ends_units_that_are_between_two_crashes(scene: Scene) -> None:
    scene.place.quantum("service", "install")
    for part in PARTS:
        scene.alter(part, "ExecStart=", "ExecStart=/bin/false", "RestartSec=3")
    scene.manager.run("kill", "-KILL", *scene.shown("MainPID").values())
    until(lambda: set(scene.shown("SubState").values()) == {"auto-restart"}, "all wait for their next start")
    scene.place.quantum("down")
    assert set(scene.states().values()) == {"inactive"}
    assert "enabled" not in scene.manager.run("systemctl", "--user", "is-enabled", scene.unit(SAFETY)).out.split()


def test_a_restart_that_could_not_start_again_stops_nothing(scene: Scene) -> None:
    scene.place.quantum("service", "install")
    before = scene.shown("MainPID")
    kept = json.loads(scene.place.workspace.config_file.read_bytes())
    scene.place.configure(**kept, gateway_prot=5)
    assert "gateway_prot" in scene.place.quantum("service", "restart", code=65).err
    assert scene.shown("MainPID") == before


def test_a_taken_port_names_the_setting_that_units_obey(scene: Scene) -> None:
    port = json.loads(scene.place.workspace.config_file.read_bytes())["gateway_port"]
    scene.place.quantum("service", "install", "--no-start")
    with socket.create_server(("127.0.0.1", port)):
        refused = scene.place.quantum("service", "start", code=73).err
    assert f'"gateway_port": {port % 65_535 + 1} in config/agent_config.json' in refused and "quantum up" not in refused


def test_a_python_that_has_gone_is_named_and_installing_again_mends_it(scene: Scene) -> None:
    scene.place.quantum("service", "install")
    units = Path(scene.manager.environ["HOME"], ".config", "systemd", "user")
    unit = units / scene.unit(GATEWAY)
    text = unit.read_text()
    unit.write_text(text.replace('ExecStart="', 'ExecStart="/gone'))
    refused = scene.place.quantum("service", "restart", code=69)
    assert "quantum service install" in refused.err and "Created symlink" not in refused.err
    scene.place.quantum("service", "install")
    assert scene.healthy()
