"""Every command line of the operations runbook, typed as printed: none is missing, hangs, or is a usage error."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.runbook_lines import LINES, Line, lines_of
from tests.acceptance.typing_lines import MISSING, USAGE
from tests.acceptance.typist import told

TYPED = [line for line in LINES if not line.not_run]


def story(*words: str, within: float) -> Any:
    report = told("typing_lines", *words, within=within)
    for one in report["lines"]:
        print(f"{one['code']!s:>4} {one['seconds']:6.2f} s  {'later' if one['to_come'] else '     '}  {one['line']}")
    later = sum(one["to_come"] for one in report["lines"])
    print(
        f"{len(report['lines'])} typed, {later} of them still to come; {len(LINES) - len(TYPED)} listed and not typed"
    )
    return report


def check(report: Any, lines: Sequence[Line]) -> None:
    assert len(report["lines"]) == len(lines)
    faults = [one for one in report["lines"] if one["fault"]]
    assert not faults, json.dumps(faults, indent=1, ensure_ascii=False)
    assert not [one for one in report["lines"] if one["code"] in (None, *MISSING, *USAGE)]
    # The control: without the names put in, every one of these lines is missing, or its script is. What is sent into
    # the background tells a shell no exit code.
    ours = [line.line for line in lines if line.name and not line.line.endswith("&")]
    assert sorted(report["missing before"]) == sorted(ours)


def test_lines_do_what_they_say() -> None:
    often = [line for line in TYPED if line.often]
    assert len(often) >= 18
    check(story("--short", within=280), often)


@pytest.mark.long
@pytest.mark.timeout(400)
def test_every_line_as_printed_from_the_first_to_the_last() -> None:
    check(story(within=380), TYPED)


if RUNBOOK := os.environ.get("QUANTUM_TEST_RUNBOOK"):

    def test_no_line_was_left_out() -> None:
        """Compares the lines with the runbook itself, which is not ours to copy, where somebody says where it lies."""
        assert [line.typed for line in LINES] == lines_of(Path(RUNBOOK or "").read_text())


def test_what_is_not_typed_says_why() -> None:
    for line in LINES:
        assert not (line.not_run and (line.filled or line.says or line.name)), line
    assert len({line.typed for line in LINES if line.not_run}) == 15
