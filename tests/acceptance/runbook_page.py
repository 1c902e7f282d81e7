"""RUNBOOK.md as its test reads it: each block under its heading; what is not typed, and what exits otherwise."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import click

from cli.__main__ import quantum
from cli.runbook.commands import is_there
from foundation.own_python import PACKAGES
from tests.acceptance.system import REPOSITORY

PAGE = REPOSITORY / "RUNBOOK.md"

OWN_AGENT = "nightly-report"
"""The page's example of an agent of the user's own."""
NOT_TYPED: Mapping[str, str] = {
    "quantum service install": "it would put units into the operating system; its own tests do, apart",
    "quantum service status": "the same",
}
CODES: Mapping[tuple[str, str], tuple[int, ...]] = {
    # Under the heading where the fault is planted, the first look is to find it.
    ("The server does not start", "quantum up --detach"): (73,),
    ("The server does not start", "quantum doctor"): (1,),
    ("Tests fail", "quantum run smoke --project HabitQuest"): (1, 2),
    ("The git hook does nothing", "quantum hooks status"): (1, 0),
    ("Everything hangs", "quantum status"): (0, 69),
    ("Everything hangs", "quantum morning"): (0, 1),
    ("Data are damaged", "quantum doctor"): (1,),
    # What is well is 0, what needs a person is 1: which of both it is here is for the tests of these verbs.
    ("Installation", "quantum doctor"): (0, 1),
    ("On the terminal", "quantum morning"): (0, 1),
    ("Every day", "quantum morning"): (0, 1),
    ("Every month", "quantum doctor"): (0, 1),
}


SAYS: Mapping[tuple[str, str], str] = {
    ("The server does not start", "quantum up --detach"): "Port 5005 is in use by process",
    ("The server does not start", "quantum doctor"): "Port 5005 is in use by process",
    ("An agent fails", "quantum alerts"): "nightly-report",
    ("An agent fails", "quantum agents nightly-report"): "held",
    ("An agent fails", "quantum follow nightly-report --no-follow"): "cannot reach the mirror",
    ("An agent fails", "quantum recover --agent nightly-report"): "1 agent was let go",
    ("Tests fail", "quantum logs ID"): "a test is red",
    ("Everything hangs", "quantum status"): "STOPPED",
    ("Data are damaged", "quantum doctor"): "coordinator.db",
    ("Data are damaged", "quantum restore latest"): "is put back",
    ("Somebody is in", "quantum audit --limit 20"): "isolate",
}
"""What the planted fault, or its cure, must be told by."""


@dataclass(frozen=True, slots=True)
class Step:
    """One line under its innermost heading, without the remark behind it."""

    heading: str
    line: str

    @property
    def words(self) -> list[str]:
        """The words behind `quantum`; none for a line of other programs."""
        words = self.line.split()
        while words and "=" in words[0]:
            words.pop(0)
        return words[1:] if words[:1] == ["quantum"] else []

    @property
    def there(self) -> bool:
        """Whether this installation has what the line types."""
        words = self.words[:1] if self.words[1:2] == [OWN_AGENT] else self.words
        assert isinstance(quantum, click.Group)
        return not words or is_there(words, quantum, [PACKAGES / "agents"])

    @property
    def codes(self) -> tuple[int, ...]:
        """With which it may exit."""
        return CODES.get((self.heading, self.line), (0,))

    @property
    def says(self) -> str:
        """What must be among its words."""
        return SAYS.get((self.heading, self.line), "")


def steps(text: str) -> Iterator[Step]:
    """Every line of the page's blocks of shell, in its order."""
    heading, inside = "", False
    for line in text.splitlines():
        if line.startswith("```"):
            inside = line == "```sh"
        elif inside and line.strip():
            yield Step(heading, line.partition("  # ")[0].strip())
        elif line.startswith("#"):
            heading = line.lstrip("# ")
