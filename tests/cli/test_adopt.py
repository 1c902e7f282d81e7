"""`quantum adopt` as it is typed: what it prints, what it writes, and its exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cli.adopting import restarters
from tests.cli.conftest import Quantum


@pytest.fixture(autouse=True)
def quiet_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing else on this machine starts anything."""
    monkeypatch.setattr(restarters.Machine, "find", lambda self, scripts: iter(()))


@pytest.fixture
def scripts(folder: Path) -> Path:
    """Two scripts, one of them with a secret in it, and what is none."""
    there = folder / "my tools"
    there.mkdir()
    (there / "agent_hello.sh").write_text(
        "#!/bin/sh\n# Says hello to all\npkill -f hello\nTOKEN='ghp_0123456789abcdefABCDEF0123456789abcd'\n"
    )
    (there / "looping.py").write_text(
        '#!/usr/bin/env python3\n"""Looks \x1b[2J at things."""\nimport time\nwhile True:\n    time.sleep(600)\n'
    )
    for path in there.iterdir():
        path.chmod(0o755)
    (there / "notes.md").write_text("pkill -f everything\n")
    return there


def test_it_says_what_it_found_and_writes_nothing(quantum: Quantum, scripts: Path, folder: Path) -> None:
    said = quantum("adopt", str(scripts), "--blocks")
    assert said.code == 0
    assert "agent_hello.sh  →  agent_hello  (task)" in said.out
    assert "  ✗ kill-by-name (line 3): It ends processes by their name" in said.out
    assert "  ✗ plain-secret (line 4)" in said.out and "ghp_" not in said.out
    assert "A service, because the loop in line 4 never ends" in said.out
    assert '# kind = "service"' in said.out and "\x1b" not in said.out
    assert (
        f"2 scripts in {scripts}: 2 would be agents (1 of them services), 0 are left alone; 3 defects in all."
        in said.out
    )
    assert f"Nothing was written. To adopt them: quantum adopt '{scripts}' --apply" in said.out
    assert "What is a service then starts at once: first end what else runs it." in said.out
    assert not (folder / "agents").exists() and not (folder / ".quantum" / "adopt").exists()
    document = quantum("adopt", str(scripts), "--json").document
    assert document["counts"]["defects"] == {"hides-builtin": 1, "kill-by-name": 1, "plain-secret": 1}
    assert "ghp_" not in json.dumps(document)


def test_apply_prints_the_line_that_takes_it_back(quantum: Quantum, scripts: Path, folder: Path) -> None:
    (folder / "agents").mkdir()
    applied = quantum("adopt", str(scripts), "--apply")
    assert "  Services among them start at once, while everything runs: looping.\n" in applied.out
    line = next(line for line in applied.out.splitlines() if "undo:" in line)
    written = sorted(str(path.relative_to(folder / "agents")) for path in (folder / "agents").rglob("*.toml"))
    assert written == ["agent_hello/agent.toml", "looping/agent.toml"]
    edited = folder / "agents" / "looping" / "agent.toml"
    before = edited.read_text()
    edited.write_text(before + "# mine\n")
    refused = quantum(*line.split("quantum ")[1].split())
    assert refused.code == 73 and str(edited) in refused.err and "1 file as before." in refused.out
    edited.write_text(before)
    assert quantum("adopt", "--undo", "--json").document["edited"] == []
    assert list((folder / "agents").iterdir()) == []
    assert quantum("adopt", "--undo").code == 66


def test_what_does_not_parse_is_said_once(quantum: Quantum, scripts: Path) -> None:
    (scripts / "old.py").write_text("#!/usr/bin/env python3\nprint 'cleaning'\n")
    said = quantum("adopt", str(scripts))
    assert "  Left alone: it does not parse, so that it would fail each time; 2 things are wrong with it.\n" in said.out


def test_what_cannot_be_meant_is_a_usage_error(quantum: Quantum, scripts: Path, folder: Path) -> None:
    assert quantum("adopt").code == 2
    assert quantum("adopt", str(scripts), "--undo").code == 2
    assert quantum("adopt", str(folder / "nowhere")).code == 65
