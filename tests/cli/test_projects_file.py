"""`config/projects.toml` is edited, never rewritten: what a person wrote stays as it is."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from cli.workspace.projects_file import ProjectsFile
from foundation.errors import Conflict, Invalid, NotFound
from tests.cli.conftest import Quantum


@pytest.fixture
def file(tmp_path: Path) -> ProjectsFile:
    """A file that is not there yet, and two folders."""
    (tmp_path / "one").mkdir()
    (tmp_path / "zwei ü").mkdir()
    return ProjectsFile(tmp_path / "projects.toml")


def test_add_and_remove(file: ProjectsFile, tmp_path: Path) -> None:
    assert file.read() == {}
    assert file.add("HabitQuest", tmp_path / "one")
    assert not file.add("HabitQuest", tmp_path / "one")
    assert file.add("second", tmp_path / "zwei ü")
    assert file.read() == {"HabitQuest": str(tmp_path / "one"), "second": str(tmp_path / "zwei ü")}
    assert file.remove("HabitQuest") == str(tmp_path / "one")
    assert list(file.read()) == ["second"]


@pytest.mark.parametrize(
    "written",
    [
        '# mine\n[projects]\na = "/tmp" # here\n',
        '# mine\na = "/tmp" # here',
        '[projects.a]\nfolder = "/tmp"\n',
        '[projects]\na = "/tmp"\n\n[projects.b]\nfolder = "/var"\n',
    ],
)
def test_what_a_person_wrote_stays(file: ProjectsFile, tmp_path: Path, written: str) -> None:
    file.path.write_text(written)
    before = file.read()
    file.add("new", tmp_path / "one")
    assert file.read() == {**before, "new": str(tmp_path / "one")}
    for line in written.splitlines():
        assert line in file.path.read_text()
    file.remove("new")
    assert file.read() == before


def test_a_form_of_its_own_is_left_to_its_writer(file: ProjectsFile) -> None:
    file.path.write_text('[projects.a]\nfolder = "/tmp"\n')
    with pytest.raises(Conflict):
        file.remove("a")
    assert file.path.read_text() == '[projects.a]\nfolder = "/tmp"\n'


def test_refusals(file: ProjectsFile, tmp_path: Path) -> None:
    file.add("HabitQuest", tmp_path / "one")
    with pytest.raises(Conflict, match="already"):
        file.add("HabitQuest", tmp_path)
    with pytest.raises(Invalid, match="is no folder"):
        file.add("other", tmp_path / "none")
    with pytest.raises(Invalid, match="cannot be the name"):
        file.add("../x", tmp_path)
    with pytest.raises(NotFound, match="Did you mean “HabitQuest”"):
        file.remove("HabitQest")
    file.path.write_text("= broken")
    with pytest.raises(Invalid, match="is not TOML"):
        file.read()


def test_the_verbs(quantum: Quantum, folder: Path) -> None:
    (folder / "it's here").mkdir()
    added = quantum("projects", "add", "p", "it's here", "--json").document
    assert added == {
        "name": "p",
        "folder": str(folder / "it's here"),
        "added": True,
        "undo": "quantum projects remove p",
    }
    assert quantum("projects", "remove", "p", "--dry-run").out.startswith("1 project would be taken out")
    removed = quantum("projects", "remove", "p")
    assert "undo: quantum projects add p" in removed.out
    assert tomllib.loads((folder / "config" / "projects.toml").read_text())["projects"] == {}
    assert quantum("projects", "list", "--json").document["projects"] == []
