"""The workspace as units of a real `systemd --user`, on a path with a space and an umlaut."""

from __future__ import annotations

from pathlib import Path

from cli.service.parts import PARTS
from tests.units.scene import RUNNER, TASKS, Scene
from tests.units.user_systemd import snapshot

_RUN_TIME = (".quantum/", "logs/", "agent_status.json", "task_queue.json")


def home_of(scene: Scene) -> Path:
    return Path(scene.manager.environ["HOME"])


def test_installed_killed_stopped_and_gone_without_a_trace(scene: Scene) -> None:
    place, manager = scene.place, scene.manager
    go = place.root.parent / "go"
    scene.noting_agent("noting", f'until [ -e "{go}" ]; do sleep 0.1; done')
    home_before, before = snapshot(home_of(scene)), snapshot(place.root)
    place.quantum("service", "install", "--no-start")
    assert set(scene.states().values()) == {"inactive"}
    place.quantum("service", "uninstall")
    assert snapshot(home_of(scene)) == home_before and snapshot(place.root) == before

    place.quantum("service", "install")
    units = [scene.unit(part) for part in PARTS]
    assert set(scene.states().values()) == {"active"}
    checked = manager.run("systemd-analyze", "--user", "verify", *units)
    assert (checked.code, checked.err) == (0, ""), checked
    for part in PARTS:
        limits = scene.limits(part)
        assert limits["Max core file size"] == "0"
        # What the gateway's server does with its limit: all that it may have.
        assert limits["Max open files"] == {"safety": "4096", "mcp": limits["Max open files"]}.get(part.name, "16384")
        assert int(limits["Max open files"]) >= 4096

    ids = scene.submit("noting")
    scene.begun()
    seconds = scene.signal([RUNNER], "KILL", within=90)
    go.touch()
    begun = scene.ended_once(ids)
    print(f"runner killed: healthy after {seconds:.1f} s; {TASKS} tasks ended once, begun {sum(begun.values())} times")
    assert sum(begun.values()) > TASKS, "no task was lost with the runner, so nothing was tried"

    refused = place.quantum("up", "--detach", code=73)
    assert "quantum service stop" in refused.err
    assert place.quantum("rotate", "key", code=73).err.count("quantum service stop") == 1
    ended = place.ask("service", "stop")["ended"]
    assert ended >= len(PARTS) + 1  # and the warden
    assert manager.processes() == []
    place.quantum("service", "uninstall")
    assert snapshot(home_of(scene)) == home_before
    after = snapshot(place.root)
    touched = {path for path in {*before, *after} if before.get(path) != after.get(path)}
    assert all(path.startswith(_RUN_TIME) or f"{path}/" in _RUN_TIME for path in touched), touched
    assert not (place.workspace.units.exists() or (place.workspace.state / "units_folders.json").exists())


def test_a_wrong_setting_is_a_sentence_and_no_second_start(scene: Scene) -> None:
    place = scene.place
    place.quantum("service", "install", "--no-start")
    place.configure(gateway_prot=5)
    refused = place.quantum("service", "start", code=65)
    assert "gateway_port" in refused.err
    # As at a login, when nobody looks first.
    scene.manager.run("systemctl", "--user", "start", *(scene.unit(part) for part in PARTS))
    seen = {unit["name"]: unit for unit in place.quantum("service", "status", "--json", code=69).document["units"]}
    for part in PARTS:
        assert seen[part.name]["state"] == "failed" and seen[part.name]["restarts"] == 0, seen
        assert "gateway_prot" in seen[part.name]["says"]
        assert scene.manager.show(scene.unit(part), "ExecMainStatus") == "78"
    assert place.workspace.system_log.read_text().count('"action": "does_not_start"') == len(PARTS)
