"""A backup whose header cannot be read: it keeps its place, and goes only where it is known to be worth nothing."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from cli.backups import archive, catalogue
from cli.backups.catalogue import entries, next_number
from cli.backups.making import prune
from cli.backups.retention import RetentionSettings
from cli.doctor.copies import judge
from foundation.workspace import Workspace
from tests.cli.test_restore_losses import NOW, sealed, workspace_in

DAY = timedelta(days=1)
NOTHING_STAYS = RetentionSettings(backup_daily=0, backup_weekly=0, backup_monthly=0, backup_bytes_max=1)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return workspace_in(tmp_path / "ws")


def flip(path: Path) -> None:
    """One bit of the header."""
    with path.open("r+b") as file:
        first = file.read(1)[0]
        file.seek(0)
        file.write(bytes([first ^ 1]))


def refuse(monkeypatch: pytest.MonkeyPatch, refused: Path) -> None:
    """The disk does not hand out this one."""
    read = archive.header_of

    def header_of(path: Path) -> archive.Header:
        if path == refused:
            raise OSError(5, "Input/output error")
        return read(path)

    monkeypatch.setattr(catalogue, "header_of", header_of)


def of_later_version(workspace: Workspace, monkeypatch: pytest.MonkeyPatch, number: int) -> Path:
    with monkeypatch.context() as later:
        later.setattr(archive, "VERSION", archive.VERSION + 1)
        return sealed(workspace, NOW + (number - 9) * DAY, number=number)


def nights(workspace: Workspace, count: int) -> list[Path]:
    """The first is the newest, number 9."""
    return [sealed(workspace, NOW - back * DAY, number=9 - back) for back in range(count)]


def listed(workspace: Workspace) -> list[Path]:
    return [entry.path for entry in entries(workspace, {})]


@pytest.mark.parametrize("at", [0, 1, 2])
def test_it_stands_among_its_neighbours(workspace: Workspace, at: int) -> None:
    made = nights(workspace, 3)
    flip(made[at])
    assert listed(workspace) == made
    found = entries(workspace, {})
    assert [entry.good for entry in found] == [place != at for place in range(3)]
    assert judge(found, 9 * DAY, NOW).wrong is (at == 0), "the newest that is not good is said"
    assert next_number(workspace, {}) > 9


def test_several_stand_in_the_order_of_their_moments(workspace: Workspace) -> None:
    made = nights(workspace, 5)
    for damaged in (made[0], made[1], made[4]):
        flip(damaged)
    assert listed(workspace) == made
    assert next_number(workspace, {}) > 9


def test_the_newest_stays_as_evidence_and_one_before_a_good_one_goes(workspace: Workspace) -> None:
    made = nights(workspace, 3)
    flip(made[0])
    flip(made[2])
    keeping = RetentionSettings(backup_daily=7, backup_weekly=4, backup_monthly=6, backup_bytes_max=10**9)
    prune(workspace, {}, keeping, now=NOW + 9 * DAY)
    assert listed(workspace) == made[:2]


@pytest.mark.parametrize("at", [0, 1, 2])
def test_what_the_disk_refuses_never_goes(workspace: Workspace, monkeypatch: pytest.MonkeyPatch, at: int) -> None:
    made = nights(workspace, 3)
    with monkeypatch.context() as hiding:
        refuse(hiding, made[at])
        prune(workspace, {}, NOTHING_STAYS, now=NOW + 9 * DAY)
    good = made[1] if at == 0 else made[0]
    assert listed(workspace) == [path for path in made if path in (good, made[at])]


def test_what_a_later_version_made_never_goes(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    made = nights(workspace, 3)
    newer = [of_later_version(workspace, monkeypatch, number) for number in (11, 10)]
    assert listed(workspace) == [*newer, *made]
    assert next_number(workspace, {}) > 11
    prune(workspace, {}, NOTHING_STAYS, now=NOW + 9 * DAY)
    assert listed(workspace) == [*newer, made[0]]
