#!/usr/bin/env python3
# /// script
# [tool.quantum]
# description = "Runs the project's own smoke tests and passes their verdict on"
# effects = "idempotent"
# timeout = "10m"
# ///
"""Runs what `quantum.toml` names, else `make smoke`, else `npm run smoke`, else `pytest -k smoke`."""

from __future__ import annotations

import json
import re
import shlex
import tomllib
from dataclasses import dataclass
from pathlib import Path

from kit.attempt import give_up, given, pass_through, publish, say

_PYTEST_NOTHING_COLLECTED = 5
_MAKE_TARGET = re.compile(r"^smoke\s*:(?!=)", re.MULTILINE)


@dataclass(frozen=True, kw_only=True, slots=True)
class Params:
    """No params: what a smoke test is stands in the project."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Choice:
    """The command that was chosen, and the evidence for it."""

    argv: tuple[str, ...]
    because: str


def choose(folder: Path) -> Choice | None:
    """Return the smoke test of the project in `folder`, or None when it shows none."""
    return _from_quantum_toml(folder) or _from_makefile(folder) or _from_package_json(folder) or _from_pytest(folder)


def _from_quantum_toml(folder: Path) -> Choice | None:
    path = folder / "quantum.toml"
    if not path.is_file():
        return None
    try:
        merge = tomllib.loads(path.read_text(encoding="utf-8")).get("merge", {})
    except ValueError as error:
        give_up(f"quantum.toml cannot be read: {error}.")
    argv = merge.get("smoke") if isinstance(merge, dict) else None
    if argv is None:
        return None
    if not isinstance(argv, list) or not argv or not all(isinstance(word, str) and word for word in argv):
        give_up('In quantum.toml, [merge] smoke must be a list of words, such as ["make", "smoke"].')
    return Choice(argv=tuple(argv), because="quantum.toml says so")


def _from_makefile(folder: Path) -> Choice | None:
    for name in ("GNUmakefile", "makefile", "Makefile"):
        path = folder / name
        if path.is_file() and _MAKE_TARGET.search(path.read_text(encoding="utf-8", errors="replace")):
            return Choice(argv=("make", "smoke"), because=f"{name} has a target smoke")
    return None


def _from_package_json(folder: Path) -> Choice | None:
    path = folder / "package.json"
    if not path.is_file():
        return None
    try:
        package = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        give_up(f"package.json cannot be read: {error}.")
    scripts = package.get("scripts", {}) if isinstance(package, dict) else {}
    return (
        Choice(argv=("npm", "run", "smoke"), because="package.json has a script smoke") if "smoke" in scripts else None
    )


def _from_pytest(folder: Path) -> Choice | None:
    own = folder / ".venv" / "bin" / "python"
    python = str(own) if own.is_file() else "python3"
    if (folder / "tests").is_dir() and any((folder / "tests").rglob("test_*.py")):
        argv = (python, "-m", "pytest", "tests/", "-k", "smoke", "--tb=short", "-q")
        return Choice(argv=argv, because="tests/ holds pytest files")
    return None


def main() -> int:
    """Choose, run, publish, and end with the test's own exit code."""
    given(Params)
    choice = choose(Path.cwd())
    if choice is None:
        give_up(
            f"{Path.cwd()} shows no smoke test: add [merge] smoke to quantum.toml, a target smoke to the "
            "Makefile, or a test with smoke in its name to tests/."
        )
    line = shlex.join(choice.argv)
    say(f"Running {line}: {choice.because}")
    code = pass_through(choice.argv)
    if code == _PYTEST_NOTHING_COLLECTED and "pytest" in choice.argv:
        give_up("pytest found no test with smoke in its name, so nothing was tested.")
    verdict = "passed" if code == 0 else f"failed with exit code {code}"
    publish(
        "smoke",
        f"{line} {verdict}",
        {"argv": list(choice.argv), "because": choice.because, "exit_code": code},
    )
    return code


if __name__ == "__main__":
    raise SystemExit(main())
