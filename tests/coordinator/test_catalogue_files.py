"""The catalogue: what lies in agents/, and nothing else."""

import os
import sys
from pathlib import Path

import pytest

from foundation.errors import Invalid, NotFound
from services.coordinator.adapters.catalogue_document import document_of
from services.coordinator.adapters.catalogue_files import BUILTIN, FileCatalogue

DECLARED = '#!/bin/sh\n# /// script\n# [tool.quantum]\n# effects = "none"\n# ///\necho\n'


_NOTHING = {"kind": "task", "aliases": [], "declared": True, "faults": [], "notices": []}


class Files:
    """A workspace's agents/ and config/, and a folder of built-in agents."""

    def __init__(self, root: Path) -> None:
        self.agents, self.builtin, self.config = root / "agents", root / "builtin", root / "config"
        for folder in (self.agents, self.builtin, self.config):
            folder.mkdir()
        self.projects = self.config / "projects.toml"

    def put(self, name: str, text: str = DECLARED, *, executable: bool = True) -> Path:
        path = self.agents / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        path.chmod(0o755 if executable else 0o644)
        return path

    def open(self) -> FileCatalogue:
        return FileCatalogue(self.agents, self.projects, self.builtin)


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


def test_every_script_is_listed_and_nothing_else(files: Files) -> None:
    files.put("declared.sh")
    files.put("plain.py", "print()\n")
    files.put("tool", "#!/bin/sh\n")
    for other in ("README.md", "data.json", ".hidden.sh", "__init__.py", "lib/helper.py"):
        files.put(other, "text\n")
    agents = files.open().agents()
    assert {name: spec.declared for name, spec in agents.items()} == {
        "declared": True,
        "plain": False,
        "tool": False,
    }
    assert agents["declared"].script == str(files.agents / "declared.sh")
    assert agents["declared"].source == "agents/declared.sh"
    assert agents["plain"].effects == "once"


def test_a_broken_file_stops_no_other(files: Files) -> None:
    files.put("good.sh")
    files.put("typo.sh", DECLARED.replace("effects", "efects"))
    files.put("Bad Name.sh")
    unreadable = files.put("binary.sh", "")
    unreadable.write_bytes(b"#!/bin/sh\n\xff\xfe\x00")
    agents = files.open().agents()
    assert agents["good"].faults == ()
    assert "Did you mean “effects”" in agents["typo"].faults[0]
    assert agents["typo"].script == ""
    assert "rename" in agents["Bad Name"].faults[0]
    assert agents["binary"].faults == ()


def test_a_short_form_answers_too_and_a_real_name_goes_before_it(files: Files) -> None:
    files.put("agent_build.sh")
    catalogue = files.open()
    assert catalogue.find("build").name == "agent_build"
    files.put("build.sh")
    assert catalogue.scan()
    assert catalogue.find("build").name == "build"


def test_own_agents_stand_in_for_built_in_ones(files: Files) -> None:
    (files.builtin / "build.py").write_text(DECLARED)
    (files.builtin / "hello.sh").write_text(DECLARED)
    catalogue = files.open()
    assert catalogue.find("build").source == "builtin:build.py"
    files.put("agent_build.sh")
    assert catalogue.scan()
    assert catalogue.find("build").source == "agents/agent_build.sh"
    assert set(catalogue.agents()) == {"agent_build", "hello"}


def test_the_agents_that_come_with_quantum_have_no_faults(files: Files) -> None:
    catalogue = FileCatalogue(files.agents, files.projects, BUILTIN)
    builtin = catalogue.agents()
    assert {"build", "code-health", "hello", "merge-check", "smoke", "todo-scan", "audit-large-files"} <= set(builtin)
    assert builtin["merge-check"].interpreter == (sys.executable,) and builtin["merge-check"].faults == ()
    assert [spec.faults for spec in catalogue.agents().values() if spec.faults] == []
    assert all(spec.declared for spec in catalogue.agents().values())


def test_a_change_is_seen_at_the_next_look(files: Files) -> None:
    catalogue = files.open()
    assert not catalogue.scan()
    path = files.put("a.sh")
    assert catalogue.scan()
    assert catalogue.find("a").effects == "none"
    path.write_text(DECLARED.replace('"none"', '"idempotent"'))
    assert catalogue.scan()
    assert catalogue.find("a").effects == "idempotent"
    path.unlink()
    assert catalogue.scan()
    with pytest.raises(NotFound):
        catalogue.find("a")


def test_a_new_agent_is_found_without_waiting_for_the_next_look(files: Files) -> None:
    catalogue = files.open()
    files.put("fresh.sh")
    assert catalogue.find("fresh").name == "fresh"


def test_two_files_of_one_name_are_refused_unless_one_is_declared(files: Files) -> None:
    files.put("a.sh")
    files.put("a.py", "print()\n")
    files.put("b.sh")
    files.put("b.py", DECLARED)
    agents = files.open().agents()
    assert agents["a"].source == "agents/a.sh"
    assert "passed over" in agents["a"].notices[0]
    assert "Two files are called “b”" in agents["b"].faults[0]


@pytest.mark.parametrize("name", ["../etc/passwd", "a/b", "", "a\0b", "A" * 65, "ünder"])
def test_a_name_is_looked_up_and_never_joined(name: str, files: Files) -> None:
    with pytest.raises(Invalid):
        files.open().find(name)


def test_links_that_lead_elsewhere_are_no_agents(files: Files, tmp_path: Path) -> None:
    outside = tmp_path / "outside.sh"
    outside.write_text(DECLARED)
    real = files.put("real.sh")
    os.symlink(outside, files.agents / "away.sh")
    os.symlink(real.name, files.agents / "near.sh")
    os.symlink("nowhere", files.agents / "broken.sh")
    os.symlink(tmp_path, files.agents / "folder")
    assert set(files.open().agents()) == {"real", "near"}


def test_an_agent_toml_may_name_a_script_that_lies_elsewhere(files: Files, tmp_path: Path) -> None:
    away = tmp_path / "away.sh"
    files.put("far/agent.toml", f'script = "{away}"\neffects = "none"\n')
    catalogue = files.open()
    assert f"There is no script {away}." in catalogue.agents()["far"].faults[0]
    away.write_text("#!/bin/sh\n")
    assert catalogue.scan()
    first = catalogue.agents()["far"]
    assert (first.script, first.effects, first.faults) == (str(away), "none", ())
    assert not catalogue.scan()
    away.write_text("#!/bin/sh\necho changed\n")
    assert catalogue.scan()
    assert catalogue.agents()["far"].script_sha256 != first.script_sha256
    away.unlink()
    assert catalogue.scan()
    assert catalogue.agents()["far"].faults


def test_the_catalogue_can_be_read_by_who_proposes_manifests(files: Files) -> None:
    files.put("good.sh", DECLARED)
    files.put("bad.sh", DECLARED.replace("effects", "efects"))
    document = document_of(files.agents)
    faults = files.open().agents()["bad"].faults
    assert faults
    assert document["agents"] == [
        {**_NOTHING, "name": "bad", "source": "agents/bad.sh", "script": "", "faults": list(faults)},
        {**_NOTHING, "name": "good", "source": "agents/good.sh", "script": str(files.agents / "good.sh")},
    ]
    assert "hello" in str(document["builtin"])


def test_a_folder_with_an_agent_toml_is_an_agent(files: Files) -> None:
    files.put("deep/agent.toml", 'effects = "none"\n')
    script = files.put("deep/main.py", "print()\n")
    files.put("named/agent.toml", 'script = "go.sh"\n')
    files.put("named/go.sh", "echo\n")
    files.put("empty/agent.toml", "")
    files.put("beside/agent.toml", 'effects = "idempotent"\n')
    files.put("beside.sh", "#!/bin/sh\n")
    catalogue = files.open()
    agents = catalogue.agents()
    assert (agents["deep"].script, agents["deep"].effects) == (str(script), "none")
    assert agents["named"].script.endswith("named/go.sh")
    assert "There is no script" in agents["empty"].faults[0]
    assert (agents["beside"].effects, agents["beside"].faults) == ("idempotent", ())
    script.unlink()
    assert catalogue.scan()
    assert catalogue.agents()["deep"].faults


def test_no_agents_folder_is_an_empty_one(tmp_path: Path) -> None:
    catalogue = FileCatalogue(tmp_path / "none", tmp_path / "none.toml", tmp_path / "none-either")
    assert catalogue.agents() == {}


def test_projects_are_names_of_folders(files: Files, tmp_path: Path) -> None:
    (tmp_path / "Quest").mkdir()
    files.projects.write_text(
        f'[projects]\nHabitQuest = "{tmp_path}/Quest"\nNear = "Quest"\nGone = "/nowhere"\n'
        '[projects.Deep]\nfolder = "Quest"\n[projects.Bad]\ncolour = "red"\n'
    )
    catalogue = files.open()
    assert catalogue.project_folder("HabitQuest") == f"{tmp_path}/Quest"
    assert catalogue.project_folder("Near") == catalogue.project_folder("Deep") == f"{tmp_path}/Quest"
    assert "Bad" in catalogue.project_faults()[0]
    with pytest.raises(NotFound, match="not there"):
        catalogue.project_folder("Gone")
    with pytest.raises(NotFound, match="“HabitQuest”"):
        catalogue.project_folder("HabitQest")
    with pytest.raises(Invalid):
        catalogue.project_folder("../x")
    files.projects.write_text("not toml")
    assert catalogue.scan()
    assert "cannot be read" in catalogue.project_faults()[0]
