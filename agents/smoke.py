#!/usr/bin/env python3
# /// script
# [tool.quantum]
# description = "Runs the project's own smoke tests and passes their verdict on"
# effects = "idempotent"
# timeout = "10m"
# schedule = { cron = "0 6 * * *", projects = "git", paused = true }  # it runs the projects' own code: resume it
# ///
"""Runs what `quantum.toml` names, else `make smoke`, `npm run smoke`, `pytest -k smoke` or `swift test`."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path

import kit.packages  # noqa: F401  what follows lies there
from kit.attempt import give_up, given, pass_through, publish, say

from foundation.errors import Invalid
from merge_guard.smoke import Folder, smoke_test
from merge_guard.values import SmokeTest

_PYTEST_NOTHING_COLLECTED = 5


@dataclass(frozen=True, kw_only=True, slots=True)
class Params:
    """No params: what a smoke test is stands in the project."""


def choose(folder: Path) -> SmokeTest | None:
    """Return the smoke test of the project in `folder`, or None when it shows none; gives up on a bad quantum.toml."""
    own = folder / ".venv" / "bin" / "python"
    try:
        return smoke_test(Folder(folder), python=str(own) if own.is_file() else "python3")
    except Invalid as error:
        give_up(error.message)


def main() -> int:
    """Choose, run, publish, and end with the test's own exit code."""
    given(Params)
    choice = choose(Path.cwd())
    if choice is None:
        give_up(
            f"{Path.cwd()} shows no smoke test: add [merge] smoke to quantum.toml, a target smoke to the Makefile, "
            "or a test with smoke in its name to tests/."
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
