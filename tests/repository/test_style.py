"""The rules of CONTRIBUTING.md that no linter knows."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.repository.tracked import ROOT, ours, tracked

PYTHON = ours(".py")
LINES_MAX = 400
FORBIDDEN_ROOMS = {"utils", "util", "common", "helpers", "manager", "core", "misc"}


@pytest.mark.parametrize("path", PYTHON, ids=str)
def test_module_begins_with_a_sentence(path: Path) -> None:
    text = (ROOT / path).read_text()
    if text.strip():
        docstring = ast.get_docstring(ast.parse(text)) or ""
        assert docstring.split("\n\n")[0].endswith((".", "?", "!")), f"{path} does not begin by saying what it is"


def test_no_file_holds_two_ideas() -> None:
    long = {str(path): n for path in PYTHON if (n := len((ROOT / path).read_text().splitlines())) > LINES_MAX}
    assert not long


def test_rooms_have_telling_names() -> None:
    # protos/common is the one exception: it is a package name on the wire.
    rooms = {
        part for path in PYTHON if path.parts[:2] != ("protos", "common") for part in (*path.parts[:-1], path.stem)
    }
    assert not rooms & FORBIDDEN_ROOMS


# What other processes do can only be looked at, again and again: in one place, bounded, telling what was seen last.
LOOKS_AGAIN = Path("tests/waiting.py")


@pytest.mark.parametrize("path", [path for path in PYTHON if path.parts[0] == "tests" and path != LOOKS_AGAIN], ids=str)
def test_tests_wait_for_events(path: Path) -> None:
    # The scripts that a test runs are texts in it, and may sleep; `asyncio.sleep(0)` only gives way.
    calls = [node for node in ast.walk(ast.parse((ROOT / path).read_text())) if isinstance(node, ast.Call)]
    sleeps = [
        node.lineno
        for node in calls
        if ast.unparse(node.func) in ("time.sleep", "asyncio.sleep") and ast.unparse(node.args[0]) != "0"
    ]
    assert not sleeps, f"{path} waits for seconds instead of for an event, in line {sleeps}"


def test_no_path_of_one_machine_is_committed() -> None:
    places = [str(ROOT) + "/", str(Path.home()) + "/"]
    found = [
        str(path)
        for path in tracked()
        if any(place.encode() in (ROOT / path).read_bytes() for place in places if len(place) > 2)
    ]
    assert not found


def test_scripts_are_executable() -> None:
    scripts = [path for path in tracked() if (ROOT / path).read_bytes().startswith(b"#!")]
    assert [str(path) for path in scripts if not (ROOT / path).stat().st_mode & 0o100] == []
