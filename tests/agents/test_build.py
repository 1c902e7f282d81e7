"""build: which tool it chooses, what it hands to it, and that the verdict is the tool's own."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.agents.conftest import RunAgent, program

NPM_BUILD = '{"scripts": {"build": "tsc"}}'


@pytest.mark.parametrize(
    ("file", "content", "tool", "debug", "release"),
    [
        ("Makefile", "build:\n\techo\n", "make", "build CONFIGURATION=debug", "build CONFIGURATION=release"),
        ("Cargo.toml", "", "cargo", "build", "build --release"),
        ("Package.swift", "", "swift", "build --configuration debug", "build --configuration release"),
        ("Habit.xcodeproj/x", "", "xcodebuild", "-configuration Debug build", "-configuration Release build"),
        (
            "build.gradle.kts",
            "",
            "gradle",
            "assemble -Pconfiguration=debug",
            "assemble -Pconfiguration=release",
        ),
        ("package.json", NPM_BUILD, "npm", "run build development", "run build production"),
    ],
)
def test_each_tool_gets_its_configuration(
    tmp_path: Path,
    project: Path,
    run_agent: RunAgent,
    file: str,
    content: str,
    tool: str,
    debug: str,
    release: str,
) -> None:
    (project / file).parent.mkdir(exist_ok=True)
    (project / file).write_text(content)
    path = program(tmp_path / "bin", tool)
    for configuration, words in (("debug", debug), ("release", release)):
        ended = run_agent("build.py", {"configuration": configuration}, path=path)
        assert ended.exit_code == 0, ended.output
        assert f"Building with {tool}: " in ended.output
        ran = next(line for line in ended.output.splitlines() if line.startswith(f"ran {tool} "))
        assert ran.rstrip().endswith(words)
        assert ended.report is not None and ended.report["data"]["configuration"] == configuration


def test_a_real_make_build(project: Path, run_agent: RunAgent) -> None:
    (project / "Makefile").write_text("build:\n\t@echo built as $(CONFIGURATION) > product\n")
    assert run_agent("build.py", {"configuration": "release"}).exit_code == 0
    assert (project / "product").read_text() == "built as release\n"


def test_a_failed_build_is_red_with_the_tools_code(tmp_path: Path, project: Path, run_agent: RunAgent) -> None:
    (project / "Cargo.toml").write_text("")
    ended = run_agent("build.py", path=program(tmp_path / "bin", "cargo", exit_code=101))
    assert ended.exit_code == 101
    assert ended.report is not None and "failed with exit code 101" in ended.report["summary"]


def test_locked_npm_dependencies_are_installed_first(tmp_path: Path, project: Path, run_agent: RunAgent) -> None:
    (project / "package.json").write_text(NPM_BUILD)
    (project / "package-lock.json").write_text("{}")
    ended = run_agent("build.py", path=program(tmp_path / "bin", "npm"))
    assert ended.output.index("ran npm ci") < ended.output.index("ran npm run build")


def test_says_what_else_it_could_and_takes_a_choice(tmp_path: Path, project: Path, run_agent: RunAgent) -> None:
    (project / "Makefile").write_text("build:\n\techo\n")
    (project / "package.json").write_text(NPM_BUILD)
    path = program(program(tmp_path / "bin", "make"), "npm")
    assert "Building with make: Makefile has a target build (also here: npm)" in run_agent("build.py", path=path).output
    assert "Building with npm" in run_agent("build.py", {"tool": "npm"}, path=path).output


def test_the_projects_own_gradle_wrapper_is_preferred(project: Path, run_agent: RunAgent) -> None:
    (project / "build.gradle").write_text("")
    program(project, "gradlew")
    assert "ran gradlew assemble" in run_agent("build.py").output


def test_a_python_package_becomes_a_wheel_by_its_own_interpreter(project: Path, run_agent: RunAgent) -> None:
    (project / "pyproject.toml").write_text("[build-system]\nrequires = []\n")
    program(project / ".venv" / "bin", "python")
    ended = run_agent("build.py")
    assert ended.exit_code == 0, ended.output
    assert "pip --disable-pip-version-check wheel --no-deps --wheel-dir dist ." in ended.output


def test_a_missing_tool_is_a_sentence(project: Path, run_agent: RunAgent) -> None:
    (project / "build.gradle").write_text("")
    (project / "gradlew").write_text("#!/bin/sh\n")
    ended = run_agent("build.py")
    assert ended.exit_code == 78
    assert "is not executable" in ended.output and "Traceback" not in ended.output


@pytest.mark.parametrize(
    ("params", "sentence"),
    [
        ({}, "shows no build that I know"),
        ({"tool": "make"}, "shows no make"),
        ({"configuration": "fast"}, "no configuration 'fast'"),
        (["release"], "does not hold a JSON object"),
    ],
)
def test_refusals_are_sentences(run_agent: RunAgent, params: object, sentence: str) -> None:
    ended = run_agent("build.py", params)
    assert ended.exit_code == 78
    assert sentence in ended.output and "Traceback" not in ended.output
