"""smoke: which test it chooses, and that the verdict is the test's own."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.agents.conftest import RunAgent, program


def test_quantum_toml_comes_first(project: Path, run_agent: RunAgent) -> None:
    (project / "Makefile").write_text("smoke:\n\t@echo from make\n")
    (project / "quantum.toml").write_text('[merge]\nsmoke = ["sh", "-c", "echo from toml"]\n')
    ended = run_agent("smoke.py")
    assert ended.exit_code == 0, ended.output
    assert "from toml" in ended.output and "from make" not in ended.output
    assert ended.report is not None and ended.report["data"]["exit_code"] == 0


@pytest.mark.parametrize("code", [1, 3, 75])
def test_exit_code_is_the_tests_own(project: Path, run_agent: RunAgent, code: int) -> None:
    (project / "quantum.toml").write_text(f'[merge]\nsmoke = ["sh", "-c", "exit {code}"]\n')
    ended = run_agent("smoke.py")
    assert ended.exit_code == code
    assert ended.report is not None and f"failed with exit code {code}" in ended.report["summary"]


def test_a_signal_is_told_as_a_shell_would(project: Path, run_agent: RunAgent) -> None:
    (project / "quantum.toml").write_text('[merge]\nsmoke = ["sh", "-c", "kill -9 $$"]\n')
    assert run_agent("smoke.py").exit_code == 128 + 9


def test_make_target(project: Path, run_agent: RunAgent) -> None:
    (project / "Makefile").write_text("smoke: ; @echo from make\n")
    ended = run_agent("smoke.py")
    assert ended.exit_code == 0 and "from make" in ended.output


def test_npm_script(tmp_path: Path, project: Path, run_agent: RunAgent) -> None:
    (project / "package.json").write_text('{"scripts": {"smoke": "true"}}')
    ended = run_agent("smoke.py", path=program(tmp_path / "bin", "npm"))
    assert ended.exit_code == 0 and "ran npm run smoke" in ended.output


def test_pytest_runs_only_what_is_named_smoke(project: Path, run_agent: RunAgent) -> None:
    (project / "tests").mkdir()
    (project / "tests" / "test_it.py").write_text(
        "def test_smoke():\n    pass\n\ndef test_other():\n    raise AssertionError('not to be run')\n"
    )
    ended = run_agent("smoke.py")
    assert ended.exit_code == 0, ended.output
    assert "1 passed" in ended.output


def test_nothing_collected_is_not_green(project: Path, run_agent: RunAgent) -> None:
    (project / "tests").mkdir()
    (project / "tests" / "test_it.py").write_text("def test_other():\n    pass\n")
    ended = run_agent("smoke.py")
    assert ended.exit_code == 78
    assert "nothing was tested" in ended.output


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ('[merge]\nsmoke = "make smoke"\n', "must be a list of words"),
        ("[merge\n", "cannot be read"),
        ('[merge]\nsmoke = ["no-such-program-here"]\n', "not installed"),
    ],
)
def test_faults_are_sentences(project: Path, run_agent: RunAgent, content: str, sentence: str) -> None:
    (project / "quantum.toml").write_text(content)
    ended = run_agent("smoke.py")
    assert ended.exit_code == 78
    assert sentence in ended.output and "Traceback" not in ended.output


def test_a_project_without_smoke_tests_is_told_how_to_have_one(run_agent: RunAgent) -> None:
    ended = run_agent("smoke.py")
    assert ended.exit_code == 78
    assert "shows no smoke test" in ended.output
