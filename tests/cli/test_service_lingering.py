"""Units that a reboot would end until the next login: who looks at them is told, with the line that mends it."""

from __future__ import annotations

import getpass
from collections.abc import Sequence
from pathlib import Path

import pytest

from cli.__main__ import run
from cli.doctor import running
from cli.doctor.findings import Mark
from cli.doctor.subject import Subject
from cli.service import acting, systemd_linux
from cli.service.ports import Answer
from cli.service.systemd_linux import Systemd
from tests.cli.initialised import Place


def active(argv: Sequence[str]) -> Answer:
    """A manager below which everything runs."""
    return Answer(0, "LoadState=loaded\nActiveState=active\nSubState=running\nMainPID=4711\n", "")


def test_without_lingering_status_and_doctor_say_what_a_reboot_does(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lingering = tmp_path / "linger"
    lingering.mkdir()
    manager = Systemd(place.workspace, {"HOME": str(tmp_path)}, active)
    monkeypatch.setattr(acting, "manager_of", lambda *_: manager)
    monkeypatch.setattr(systemd_linux, "_LINGER", lingering)
    assert run(["service", "install", "--no-start"], place) == 0
    line = f"loginctl enable-linger {getpass.getuser()}"
    for given, mark in ((False, Mark.WARN), (True, Mark.OK)):
        if given:
            (lingering / getpass.getuser()).touch()
        capsys.readouterr()
        assert run(["service", "status"], place) == 0
        assert (line in capsys.readouterr().out) is not given
        assert [(one.mark, one.cure) for one in running.units(Subject(place))] == [(mark, "" if given else line)]
