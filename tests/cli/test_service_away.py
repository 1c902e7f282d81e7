"""`quantum service` for a user whose systemd is not there, as after `su` or in a container: nothing is half-done."""

from __future__ import annotations

from pathlib import Path

import pytest

from cli.__main__ import run
from cli.doctor import running
from cli.doctor.findings import Finding, Mark
from cli.doctor.subject import Subject
from cli.service import acting, gone
from cli.service.ports import Answer
from cli.service.systemd_linux import Systemd
from foundation.workspace import Workspace
from tests.cli.initialised import Place

AWAY = Answer(1, "", "Failed to connect to bus: No medium found")


@pytest.fixture
def units(place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the user's units; the manager does not answer."""
    manager = Systemd(place.workspace, {"HOME": str(tmp_path)}, lambda argv: AWAY)
    monkeypatch.setattr(acting, "manager_of", lambda *_: manager)
    return manager.folder


def test_install_writes_nothing_where_nobody_would_start_it(
    place: Place, units: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["service", "install"], place) == 69
    assert "quantum up --detach" in capsys.readouterr().err
    assert not units.exists()


def test_units_that_nobody_starts_can_be_taken_away(place: Place, units: Path) -> None:
    assert run(["service", "install", "--no-start"], place) == 0
    enabled = units / "default.target.wants" / next(units.glob("quantum-safety-*")).name
    enabled.parent.mkdir()
    enabled.symlink_to(f"../{enabled.name}")
    found: list[Finding] = list(running.units(Subject(place)))
    assert [(one.mark, one.cure) for one in found] == [(Mark.FAIL, "quantum service uninstall")]
    assert run(["service", "uninstall"], place) == 0
    assert not list(units.rglob("quantum-*"))
    assert [one.mark for one in running.units(Subject(place))] == [Mark.OK]


def test_a_workspace_that_was_moved_names_its_old_units_and_the_line_that_takes_them_away(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def manager_of(workspace: Workspace, *_: object) -> Systemd:
        return Systemd(workspace, {"HOME": str(tmp_path)}, lambda argv: AWAY)

    monkeypatch.setattr(acting, "manager_of", manager_of)
    monkeypatch.setattr(gone, "manager_of", manager_of)
    old, folder = tmp_path / "100 % old", manager_of(place.workspace).folder
    there = Workspace(tmp_path / "there")
    for workspace in (Workspace(old), there):
        workspace.state.mkdir(parents=True)
        acting.install(workspace, {})
    assert not gone.gone(place.workspace, {}), "both are where their units look for them"
    (folder / "quantum-of-somebody-else.service").write_text("[Service]\nWorkingDirectory=/nowhere\n")
    old.rename(tmp_path / "new")
    [one] = gone.gone(place.workspace, {})
    assert (one.workspace.root, len(one.units)) == (old, 5)
    [found] = running.units(Subject(place))
    assert (found.mark, found.cure) == (Mark.WARN, "quantum service uninstall --gone")
    assert str(old) in found.found
    assert run(["service", "install", "--no-start"], place) == 0
    assert f"{one.said}  → {gone.CURE}" in capsys.readouterr().out
    assert run(["service", "uninstall", "--gone", "--dry-run"], place) == 0
    assert capsys.readouterr().out == "6 files would be removed and 0 processes ended.\n"
    assert run(["service", "uninstall", "--gone"], place) == 0
    assert not gone.gone(place.workspace, {})
    left = {path.name for path in folder.iterdir()}
    assert "quantum-of-somebody-else.service" in left
    for workspace, count in ((Workspace(old), 0), (there, 6), (place.workspace, 6)):
        assert sum(workspace.key12 in name for name in left) == count, workspace.root


def test_units_stay_while_something_of_them_runs(place: Place, units: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(["service", "install", "--no-start"], place) == 0
    played = type("Running", (), {"units": True})
    monkeypatch.setattr(acting, "read_running", lambda workspace: played)
    monkeypatch.setattr(acting, "targets", lambda workspace: {})
    assert run(["service", "uninstall"], place) == 69
    assert list(units.glob("quantum-*"))
