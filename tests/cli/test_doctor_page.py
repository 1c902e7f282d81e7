"""docs/when-something-is-wrong.md names every line of `doctor`, and the cures that the code prints."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from typing import Any

import pytest

from cli.doctor.examining import PARTS
from tests.repository.tracked import ROOT

PAGE = (ROOT / "docs" / "when-something-is-wrong.md").read_text()
ROWS = {
    cells[0].strip(): re.findall(r"`([^`]+)`", cells[2])
    for line in PAGE.splitlines()
    if line.startswith("| ")
    and len(cells := line.strip("|").split("|")) == 3
    and cells[0].strip() not in ("part", "---")
}
CHECKS = {part: check for check, parts in PARTS.items() for part in parts}


def source_of(check: Callable[..., Any]) -> str:
    """The module in which a check stands, and those whose lines it prints."""
    module = inspect.getmodule(inspect.unwrap(check))
    assert module is not None
    return inspect.getsource(module) + (ROOT / "cli" / "doctor" / "subject.py").read_text() + _FINDINGS


_FINDINGS = (ROOT / "cli" / "doctor" / "findings.py").read_text()


def test_every_part_is_on_the_page_in_the_order_of_the_page() -> None:
    assert list(ROWS) == list(CHECKS)


@pytest.mark.parametrize("part", ROWS)
def test_its_cures_are_those_of_the_code(part: str) -> None:
    source = source_of(CHECKS[part])
    missing = [cure for cure in ROWS[part] if not all(word in source for word in cure.split())]
    assert not missing


def test_every_verb_that_a_cure_types_is_on_the_page() -> None:
    sources = "\n".join(path.read_text() for path in sorted((ROOT / "cli" / "doctor").glob("*.py")))
    typed = {
        found
        for found in re.findall(r"""(?:["']|&& |\} )(quantum [a-z]+(?: (?!--)[a-z-]+)?)""", sources)
        if found != "quantum doctor"
    }
    assert {one for one in typed if one not in PAGE} == set()
    assert len(typed) > 15
