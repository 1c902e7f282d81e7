"""Units are written so that systemd reads the very path that was meant, whatever stands in it."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from cli.keys.authority import make_authority, renew_identities
from cli.processes.identity import process, to_json
from cli.service import upkeep
from cli.service.parts import PARTS, UPKEEP, Part
from cli.service.ports import Answer, calling
from cli.service.rendering import render_unit, values_of
from cli.service.systemd_linux import Systemd
from foundation.clock import ManualClock
from foundation.errors import Internal, Invalid, Unavailable, Unsupported
from foundation.files import atomic_write
from foundation.secrets import open_secret_store
from foundation.workspace import Workspace
from tests.cli.fakes import PlayedSession
from tests.programs import require

AWKWARD = 'Wörk & <space> $HOME "q" %h \\x'


def workspace_in(folder: Path) -> Workspace:
    (folder / "config").mkdir(parents=True)
    made = Workspace(folder)
    made.config_file.write_text("{}")
    return made


def test_systemd_has_nothing_to_say_about_our_units(tmp_path: Path) -> None:
    require("systemd-analyze", "systemd")
    workspace = workspace_in(tmp_path / AWKWARD)
    workspace.logs.mkdir()
    environ = {"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}
    manager = Systemd(workspace, environ, lambda argv: Answer(0, "", ""))
    manager.folder.mkdir(parents=True)
    for path, data in manager.files(values_of(workspace, environ)).items():
        path.write_bytes(data)
        assert ("{{" not in data.decode() and "UMask=0022" in data.decode()) or path.suffix == ".timer"
    units = [part.unit(workspace) for part in (*PARTS, UPKEEP)]
    done = subprocess.run(
        ["systemd-analyze", "--user", "verify", *(str(manager.folder / unit) for unit in units)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**environ, "XDG_RUNTIME_DIR": str(tmp_path)},
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("line", "written"),
    [
        ('ExecStart="{{x}}" -m a', 'ExecStart="/a%%h $$HOME \\"q\\" \\\\" -m a'),
        ('Environment="A={{x}}"', 'Environment="A=/a%%h $HOME \\"q\\" \\\\"'),
        ("WorkingDirectory={{x}}", 'WorkingDirectory=/a%%h $HOME "q" \\'),
    ],
)
def test_each_place_has_its_own_way_of_writing(line: str, written: str) -> None:
    assert render_unit(line, {"x": '/a%h $HOME "q" \\'}) == written


def test_what_cannot_be_written_is_refused(tmp_path: Path) -> None:
    workspace = workspace_in(tmp_path / "a\nb")
    with pytest.raises(Invalid, match="cannot be written into a unit"):
        values_of(workspace, {})
    with pytest.raises(Internal):
        render_unit("A={{nothing}}", {})


def test_a_systemd_that_does_not_answer_is_a_sentence(tmp_path: Path) -> None:
    workspace = workspace_in(tmp_path)
    said = "Failed to connect to bus: $XDG_RUNTIME_DIR not defined"
    with pytest.raises(Unavailable, match="does not answer") as away:
        Systemd(workspace, {"HOME": "/h"}, lambda argv: Answer(1, "", said)).start()
    assert "quantum up --detach" in away.value.remedy
    with pytest.raises(Unavailable, match="daemon-reload failed: no such thing"):
        Systemd(workspace, {"HOME": "/h"}, lambda argv: Answer(1, "", "no such\nthing")).start()
    with pytest.raises(Unsupported, match="There is no systemctl here"):
        Systemd(workspace, {"HOME": "/h"}, calling({"PATH": str(tmp_path)})).start()


SHOWN = {
    "active": (
        "LoadState=loaded\nActiveState=active\nSubState=running\nMainPID=7\nNRestarts=2\nStatusText=Serves.",
        "",
    ),
    "starting": (
        "LoadState=loaded\nActiveState=activating\nSubState=auto-restart\nMainPID=0\nNRestarts=1\nResult=signal",
        "killed",
    ),
    "failed": (
        "LoadState=loaded\nActiveState=failed\nMainPID=0\nNRestarts=21\nResult=exit-code\nStatusText=Serves.",
        "given up",
    ),
    "stopped": ("LoadState=loaded\nActiveState=inactive\nMainPID=0\nNRestarts=0", ""),
    "absent": ("LoadState=not-found\nActiveState=inactive", ""),
}


@pytest.mark.parametrize("state", SHOWN)
def test_what_systemd_shows_is_understood(tmp_path: Path, state: str) -> None:
    shown, result = SHOWN[state]
    one = Systemd(workspace_in(tmp_path), {"HOME": "/h"}, lambda argv: Answer(0, shown, "")).standing()[0]
    assert one.state == state and result in one.result and bool(result) == bool(one.result)
    assert (one.says, one.pid) == (("Serves.", 7) if state == "active" else ("", None))


def test_two_workspaces_have_no_name_in_common(tmp_path: Path) -> None:
    one, other = (workspace_in(tmp_path / name) for name in "ab")
    names = [{part.unit(w) for part in PARTS} | {part.label(w) for part in PARTS} for w in (one, other)]
    assert not names[0] & names[1]


@pytest.mark.parametrize("due", [False, True])
def test_the_upkeep_of_units_has_the_gateway_take_its_new_certificate(
    folder: Path, due: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    session, clock = PlayedSession(folder), ManualClock()
    workspace, secrets = session.workspace, open_secret_store(session.workspace, {"QUANTUM_KEYCHAIN": "file"})
    workspace.config_file.write_text('{"gateway_host": "0.0.0.0", "gateway_names": "quantum.example.org"}')
    make_authority(workspace, secrets, now=clock.now())
    renew_identities(workspace, secrets, {}, now=clock.now())
    restarted: list[Part] = []
    monkeypatch.setattr(
        upkeep, "manager_of", lambda *_: type("Played", (), {"restart": staticmethod(restarted.append)})
    )
    monkeypatch.setattr(upkeep, "rotate_tokens", lambda *_: True)
    child = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
    try:
        known = process(child.pid)
        assert known is not None
        assert upkeep.keep_up(session)  # nothing runs: nothing is looked at
        workspace.units.mkdir()
        atomic_write(workspace.units / "gateway.json", json.dumps(to_json({"x": known})["x"]).encode())
        clock.advance(timedelta(days=4 if due else 3))
        session.clock = clock
        assert upkeep.keep_up(session)
    finally:
        child.kill()
        child.wait(60)
    assert [part.name for part in restarted] == (["mcp"] if due else [])
