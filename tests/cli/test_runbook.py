"""`quantum runbook`: what the names stand for, how they are put in and taken out, and what is still to come."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import tests
from cli.__main__ import EXIT_CODES, VERBS, quantum
from cli.adopting.reading import find_scripts
from cli.doctor.files import runbook
from cli.doctor.findings import Mark
from cli.doctor.subject import Subject
from cli.runbook.commands import Command, command_for, commands, is_there, places
from cli.runbook.links import install, uninstall
from cli.session import Session
from foundation.errors import Kind, NotFound
from foundation.own_python import PACKAGES
from foundation.workspace import Workspace
from services.coordinator.adapters.catalogue_files import FileCatalogue
from tests.cli.conftest import Quantum

ROOT = Path(tests.__path__[0]).parent
ROWS = commands()
Snapshot = dict[str, tuple[str, int, bytes]]


def snapshot(root: Path) -> Snapshot:
    """Every file, folder and link below a folder: what it is, its mode, and what it holds."""
    seen: Snapshot = {}
    for path in sorted(root.rglob("*")):
        kind = "link" if path.is_symlink() else "folder" if path.is_dir() else "file"
        held = os.fsencode(os.readlink(path)) if kind == "link" else b"" if kind == "folder" else path.read_bytes()
        seen[str(path.relative_to(root))] = (kind, path.lstat().st_mode, held)
    return seen


def typed(folder: Path, *argv: str) -> subprocess.CompletedProcess[str]:
    """A line typed in the workspace."""
    environ = {**os.environ, "PYTHONPATH": str(ROOT), "QUANTUM_KEYCHAIN": "file"}
    return subprocess.run(argv, capture_output=True, text=True, cwd=folder, env=environ, timeout=60, check=False)


# The table


def test_every_row_says_what_it_runs_and_what_helps_meanwhile() -> None:
    assert len({row.name for row in ROWS if not row.option}) == len(places()), "names are told apart by their last part"
    for row in ROWS:
        assert bool(row.quantum) != bool(row.hook), row
        if row.hook:
            assert os.access(PACKAGES / "hooks" / row.hook, os.X_OK)
        elif not any(is_there(words, quantum, [PACKAGES / "agents"]) for words in row.quantum):
            assert row.meanwhile.endswith((".", "/")), f"{row.place} is still to come, and says nothing that helps"


def test_what_it_names_for_the_meantime_is_there() -> None:
    named = {verb for row in ROWS for verb in re.findall(r"(?<!\.)quantum ([a-z]+)", row.meanwhile)}
    assert named <= set(VERBS)
    assert len(named) > 5


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("up", True),
        ("hooks install", True),
        ("audit --access", True),
        ("run code-health", True),
        ("nonsense", False),
        ("hooks nonsense", False),
        ("audit --nonsense", False),
        ("run nonsense", False),
        ("run code-health --param full=true", True),
    ],
)
def test_what_there_is_is_looked_up(line: str, expected: bool) -> None:
    assert is_there(line.split(), quantum, [PACKAGES / "agents"]) is expected


def test_an_agent_that_comes_is_found_at_once(tmp_path: Path) -> None:
    row = Command(place="x.sh", quantum=(("dashboards",), ("run", "later")))
    assert row.words(quantum, [tmp_path]) is None
    (tmp_path / "agent_later.sh").touch()
    assert row.words(quantum, [tmp_path]) == ("run", "later")


def test_an_option_chooses_its_row_wherever_it_is_typed() -> None:
    row = command_for("backup_rotation.sh", ("--json", "--restore", "latest"))
    assert row.with_typed(("restore",), ("--json", "--restore", "latest")) == ["restore", "--json", "latest"]
    assert command_for("backup_rotation.sh", ("--json",)).option == ""
    assert command_for("agents/run_agent.py", ()).quantum == (("run",),)
    with pytest.raises(NotFound, match=r"Did you mean mcp_server\.py"):
        command_for("mcp_servr.py", ())


def test_a_default_stands_where_nothing_was_typed() -> None:
    row = command_for("bootstrap_meta_repo.sh", ())
    assert row.with_typed(("init", "--recover"), ()) == ["init", "--recover", "latest"]
    assert row.with_typed(("init", "--recover"), ("b7",)) == ["init", "--recover", "b7"]


# Putting in and taking out


def test_what_was_there_stays_and_taking_out_leaves_no_trace(folder: Path, quantum: Quantum) -> None:
    (folder / "security").mkdir()
    (folder / "agents").mkdir()
    (folder / "mcp_server.py").write_text("print('mine')\n")
    (folder / "agents" / "run_agent.py").symlink_to("nowhere")
    before = snapshot(folder)

    dry = quantum("runbook", "install", "--dry-run", "--json").document
    assert snapshot(folder) == before
    done = quantum("runbook", "install", "--json").document
    assert done == {**dry, "dry_run": False}
    assert done["kept"] == ["mcp_server.py", "agents/run_agent.py"]
    assert sorted(done["changed"] + done["kept"]) == sorted(places())

    installed = snapshot(folder)
    again = quantum("runbook", "install", "--json").document
    assert (again["changed"], again["kept"], sorted(again["already"])) == ([], done["kept"], sorted(done["changed"]))
    assert snapshot(folder) == installed
    assert "mcp_server.py is yours and stays" in quantum("runbook", "install").out

    assert quantum("runbook", "uninstall", "--dry-run", "--json").document["changed"] == done["changed"]
    assert snapshot(folder) == installed
    assert quantum("runbook", "uninstall", "--json").document["changed"] == done["changed"]
    assert snapshot(folder) == before
    assert quantum("runbook", "uninstall").out == f"0 names are taken out of {folder}.\n"


def test_doctor_tells_of_an_installation_that_has_gone(folder: Path) -> None:
    subject = Subject(Session(environ={"QUANTUM_WORKSPACE": str(folder)}, cwd=folder))
    assert [one.mark for one in runbook(subject)] == [Mark.OK], "nothing is put in"
    install(folder)
    assert [one.mark for one in runbook(subject)] == [Mark.OK]
    command = folder / ".runbook" / "quantum"
    command.unlink()
    command.symlink_to(folder / "gone")
    for _ in range(2):
        (found,) = runbook(subject)
        assert (found.mark, found.cure) == (Mark.WARN, "quantum runbook install")
        install(folder)
        assert [one.mark for one in runbook(subject)] == [Mark.OK]
        (folder / ".runbook" / "shim").unlink()


def test_on_macos_the_property_list_is_the_one_that_the_services_have(folder: Path) -> None:
    before = snapshot(folder)
    assert install(folder, platform="darwin").changed[-1] == "com.quantum.mcp.plist"
    written = Path(os.readlink(folder / "com.quantum.mcp.plist"))
    assert (written.parent.name, written.name) == (
        "LaunchAgents",
        f"com.quantum.mcp.{Workspace(folder).key12}.plist",
    )
    assert f"<string>{written.stem}</string>" in (PACKAGES / "launchd" / "com.quantum.mcp.plist").read_text().replace(
        "{{key12}}", Workspace(folder).key12
    )
    uninstall(folder, platform="darwin")
    assert snapshot(folder) == before


def test_what_came_later_is_kept(folder: Path, quantum: Quantum) -> None:
    quantum("runbook", "install")
    for name in ("security/mine.sh", ".runbook/notes.txt"):
        (folder / name).write_text("mine\n")
    (folder / "analyze_coverage.sh").unlink()
    (folder / "analyze_coverage.sh").write_text("mine now\n")
    done = quantum("runbook", "uninstall", "--json").document
    assert done["kept"] == [".runbook/notes.txt"]
    assert (folder / "analyze_coverage.sh").read_text() == "mine now\n"
    assert sorted(path.name for path in folder.rglob("*") if path.is_file()) == [
        "agent_config.json",
        "analyze_coverage.sh",
        "mine.sh",
        "notes.txt",
    ]


def test_a_folder_of_that_name_that_is_not_ours_is_left_alone(folder: Path, quantum: Quantum) -> None:
    (folder / ".runbook").mkdir()
    (folder / ".runbook" / "mine").write_text("mine")
    before = snapshot(folder)
    for words in (("install",), ("install", "--dry-run")):
        refused = quantum("runbook", *words)
        assert (refused.code, "is something of yours" in refused.err) == (EXIT_CODES[Kind.CONFLICT], True)
    assert quantum("runbook", "uninstall").code == 0
    assert snapshot(folder) == before


def test_the_links_are_no_agents(folder: Path, quantum: Quantum) -> None:
    (folder / "agents").mkdir()
    (folder / "agents" / "mine.sh").write_text("#!/bin/sh\n")
    quantum("runbook", "install")
    (folder / "agents" / "copied.py").write_bytes((folder / ".runbook" / "shim").read_bytes())
    catalogue = FileCatalogue(folder / "agents", folder / "config" / "projects.toml", folder / "none")
    assert set(catalogue.agents()) == {"mine", "copied"}, "it is the links that are none: a copy is one"


def test_the_links_are_nothing_to_adopt(folder: Path) -> None:
    for name in ("agents", "security"):
        (folder / name).mkdir()
        (folder / name / "mine.sh").write_text("#!/bin/sh\n")
    install(folder)
    assert [one.shown for one in find_scripts(folder)] == ["agents/mine.sh", "security/mine.sh"]
    assert [one.shown for one in find_scripts(folder / "agents")] == ["mine.sh"]
    (folder / "agents" / "other.sh").symlink_to("/bin/sh")
    assert "other.sh" in [one.shown for one in find_scripts(folder / "agents")], "any other link is named"


def test_the_list_says_what_each_is(folder: Path, quantum: Quantum) -> None:
    (folder / "mcp_server.py").touch()
    quantum("runbook", "install")
    rows = {(row["place"], row["option"]): row for row in quantum("runbook", "list", "--json").document["commands"]}
    assert len(rows) == len(ROWS)
    assert rows["mcp_server.py", None]["state"] == "yours"
    assert rows["mcp_server.py", None]["runs"] == "quantum up"
    assert rows["agents/run_agent.py", None]["state"] == "linked"
    assert "still to come" in quantum("runbook", "list").out or all(row["there"] for row in rows.values())


# Run


def test_it_says_what_it_runs_and_exits_with_its_code(folder: Path, quantum: Quantum) -> None:
    quantum("runbook", "install")
    done = typed(folder, sys.executable, "agents/list_agents.py", "--json")
    assert done.returncode == EXIT_CODES[Kind.NOT_FOUND]
    assert done.stderr == "list_agents.py runs: quantum agents --json\n"
    assert json.loads(done.stdout)["error"]["code"] == "no_token"


def test_what_is_still_to_come_says_so(folder: Path) -> None:
    """A table of its own, since one day nothing of the real one is still to come."""
    (folder / "agents").mkdir()
    row = "import cli.runbook.commands as c; c.commands = lambda: (c.Command(place='x.sh', meanwhile='Whistle.', "
    row += "quantum=(('run', 'later'),)),); import cli.verbs.runbook as v; v.command_for = lambda *_: c.commands()[0]; "
    call = [sys.executable, "-c", row + "from cli.__main__ import main; main()", "runbook", "run", "x.sh", "--full"]
    done = typed(folder, *call)
    assert (done.returncode, done.stdout) == (EXIT_CODES[Kind.UNAVAILABLE], "")
    assert done.stderr == (
        "quantum: x.sh --full is still to come: this installation has no “quantum run later” yet.\n"
        "  → Meanwhile: Whistle.\n"
    )
    (folder / "agents" / "later.sh").touch()
    assert typed(folder, *call).stderr.startswith("x.sh runs: quantum run later --full\n")


def test_the_hook_is_the_guard_itself(folder: Path, quantum: Quantum) -> None:
    quantum("runbook", "install")
    done = typed(folder, "git_hooks/post-merge", "0")
    assert done.returncode == 0
    assert "nothing to check: git finds no repository here" in done.stderr
