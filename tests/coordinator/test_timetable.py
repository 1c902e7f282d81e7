"""The schedules that there are: those of the agents that come with Quantum, for the projects that they are for."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from foundation.clock import ManualClock
from foundation.errors import Invalid
from services.coordinator.adapters.catalogue_files import BUILTIN, FileCatalogue
from services.coordinator.app.timetable import MANIFEST, Timetable

NOW = datetime(2027, 1, 1, 12, 0, tzinfo=UTC)
OF_PROJECTS = {"audit-large-files", "code-health", "smoke", "todo-scan"}


def timetable(folder: Path, projects: str = "") -> Timetable:
    (folder / "agents").mkdir()
    (folder / "projects.toml").write_text(projects)
    catalogue = FileCatalogue(folder / "agents", folder / "projects.toml", BUILTIN)
    return Timetable(catalogue, lambda: "Europe/Berlin", clock=ManualClock(NOW))


def test_without_projects_none_of_those_for_projects_is_there(tmp_path: Path) -> None:
    entries = timetable(tmp_path).entries()
    assert not {entry.key.agent for entry in entries} & OF_PROJECTS
    assert all(entry.spec.script and not entry.spec.faults for entry in entries)


def test_each_project_that_is_a_repository_has_its_own_and_what_runs_its_code_rests(tmp_path: Path) -> None:
    (tmp_path / "quest" / ".git").mkdir(parents=True)
    (tmp_path / "plain").mkdir()
    there = timetable(tmp_path, f'Quest = "{tmp_path}/quest"\nPlain = "{tmp_path}/plain"\n')
    of_projects = [entry for entry in there.entries() if entry.key.agent in OF_PROJECTS]
    assert [entry.key.name for entry in of_projects] == [f"{agent}@Quest" for agent in sorted(OF_PROJECTS)]
    assert [entry.key.agent for entry in of_projects if entry.pause({}).by == MANIFEST] == ["smoke"]
    assert "smoke" not in there.next_runs({})
    # Mondays at five in Berlin, where it is winter.
    assert there.next_runs({})["code-health"] == datetime(2027, 1, 4, 4, 0, tzinfo=UTC)


def test_a_manifest_with_a_wrong_schedule_says_what_is_wrong(tmp_path: Path) -> None:
    there = timetable(tmp_path)
    script = tmp_path / "agents" / "late.sh"
    script.write_text('#!/bin/sh\n# /// script\n# [tool.quantum]\n# schedule = "0 25 * * *"\n# ///\n')
    with pytest.raises(Invalid, match=r"has faults: schedule “0 25 \* \* \*” has “25” where its hour"):
        there.find("late")
    assert there.may_lack("late")


def test_the_page_names_every_schedule_that_comes_with_quantum(tmp_path: Path) -> None:
    (tmp_path / "agents").mkdir()
    agents = FileCatalogue(tmp_path / "agents", tmp_path / "none.toml", BUILTIN).agents()
    page = (Path(__file__).parents[2] / "docs" / "schedules.md").read_text()
    table = page.partition("## What comes with it")[2]
    scheduled = {name for name, spec in agents.items() if spec.schedule is not None}
    assert scheduled >= OF_PROJECTS
    assert {name for name in scheduled if f"| `{name}` |" not in table} == set()
