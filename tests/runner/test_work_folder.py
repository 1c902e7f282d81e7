"""Scratch folders are looked at and removed in slices of bounded size."""

from __future__ import annotations

import os
from pathlib import Path

from services.agent_runner.warden.trash import ENTRIES_PER_STEP, Trash
from services.agent_runner.warden.work_folder import Survey, WorkWatch


def fill(folder: Path, files: int) -> None:
    """So many empty files."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(files):
        (folder / str(number)).touch()


def finish(trash: Trash) -> int:
    """How many steps it still took."""
    steps = 0
    while trash.busy:
        trash.step()
        steps += 1
    return steps


def test_a_look_goes_no_further_than_it_may(tmp_path: Path) -> None:
    fill(tmp_path / "a", 100)
    fill(tmp_path / "b" / "c", 50)
    survey = Survey(str(tmp_path), weighs=False)
    assert not survey.look(60) and survey.found <= 60
    looks = 1
    while not survey.look(60):
        looks += 1
    assert survey.found == 153 and looks <= 3
    (tmp_path / "a" / "0").unlink()
    while not survey.look(60):
        pass
    assert survey.found == 152, "what has gone is not counted in the next round"


def test_room_is_what_the_disk_gives(tmp_path: Path) -> None:
    (tmp_path / "real").write_bytes(b"x" * 100_000)
    os.link(tmp_path / "real", tmp_path / "same")
    with open(tmp_path / "hole", "wb") as hole:
        hole.truncate(1 << 30)
    watch = WorkWatch(str(tmp_path), counts=True, weighs=True)
    watch.look()
    assert watch.files == 3
    assert 100_000 <= watch.taken_bytes < 200_000


def test_what_nobody_can_look_into_is_told(tmp_path: Path) -> None:
    watch = WorkWatch(str(tmp_path), counts=True, weighs=False)
    before, name = os.getcwd(), "d" * 200
    os.chdir(tmp_path)
    try:
        for _ in range(25):
            os.mkdir(name)
            os.chdir(name)
    finally:
        os.chdir(before)
    for _ in watch.look_once_more():
        pass
    assert not watch.fathomed
    trash = Trash(str(tmp_path / "trash"))
    trash.take(str(tmp_path / name))
    finish(trash)
    assert list((tmp_path / "trash").iterdir()) == [], "and no depth keeps it from being removed"


def test_a_large_folder_is_removed_by_and_by(tmp_path: Path) -> None:
    fill(tmp_path / "work" / "deep", 3 * ENTRIES_PER_STEP)
    os.chmod(tmp_path / "work" / "deep", 0o500)
    (tmp_path / "outside").touch()
    os.symlink(tmp_path / "outside", tmp_path / "work" / "link")
    trash = Trash(str(tmp_path / "trash"))
    trash.take(str(tmp_path / "work"))
    assert not (tmp_path / "work").exists()
    assert finish(trash) >= 2
    assert list((tmp_path / "trash").iterdir()) == []
    assert (tmp_path / "outside").exists()


def test_a_link_that_takes_a_folders_place_is_not_followed(tmp_path: Path) -> None:
    precious, work = tmp_path / "precious", tmp_path / "work"
    fill(precious, 3)
    precious.chmod(0o755)
    for number in range(3 * ENTRIES_PER_STEP):
        (work / str(number)).mkdir(parents=True)
    # As a process may that was handed a descriptor of the folder.
    folder = os.open(work, os.O_RDONLY | os.O_DIRECTORY)
    trash = Trash(str(tmp_path / "trash"))
    trash.take(str(work))
    for name in os.listdir(folder):
        os.rmdir(name, dir_fd=folder)
        os.symlink(precious, name, dir_fd=folder)
    os.close(folder)
    finish(trash)
    assert len(list(precious.iterdir())) == 3 and precious.stat().st_mode & 0o777 == 0o755
    assert not any((tmp_path / "trash").iterdir())


def test_a_link_in_the_place_of_the_whole_folder_goes_alone(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    fill(precious, 3)
    (tmp_path / "work").symlink_to(precious)
    trash = Trash(str(tmp_path / "trash"))
    trash.take(str(tmp_path / "work"))
    finish(trash)
    assert len(list(precious.iterdir())) == 3 and not any((tmp_path / "trash").iterdir())
