"""RUNBOOK.md does what it says: every line is typed, and each trouble, planted first, ends well."""

from __future__ import annotations

import json

import pytest

from cli.__main__ import VERBS
from tests.acceptance.runbook_page import CODES, NOT_TYPED, PAGE, SAYS, Step, steps
from tests.acceptance.typist import told

STEPS = list(steps(PAGE.read_text()))
TROUBLES = (
    "The server does not start",
    "An agent fails",
    "Tests fail",
    "The git hook does nothing",
    "Everything hangs",
    "Data are damaged",
    "Somebody is in",
)


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.line)
def test_what_it_types_is_there(step: Step) -> None:
    assert step.there
    assert not step.words or step.words[0] in VERBS


def test_what_is_said_of_its_lines_is_said_of_lines_that_it_has() -> None:
    lines = {step.line for step in STEPS}
    assert set(NOT_TYPED) <= lines
    assert {*CODES, *SAYS} <= {(step.heading, step.line) for step in STEPS}
    assert set(TROUBLES) <= {step.heading for step in STEPS}


@pytest.mark.long
@pytest.mark.timeout(400)
def test_every_line_is_typed_and_every_trouble_ends_well() -> None:
    report = told("typing_page", within=380)
    typed = [one for one in report["lines"] if not one["not_there"]]
    print(f"{len(typed)} lines typed, {len(NOT_TYPED)} listed and not typed; healed: {', '.join(report['healed'])}")
    faults = [one for one in typed if one["fault"]]
    assert not faults, json.dumps(faults, indent=1, ensure_ascii=False)
    assert [one["line"] for one in report["lines"] if one["not_there"]] == []
    assert report["healed"] == list(TROUBLES)
