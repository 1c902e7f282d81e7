"""What `quantum doctor` says: one line per part, how it was found, and the one line that mends it."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

UP = "quantum up --detach"


class Mark(StrEnum):
    """How a part was found."""

    OK = "OK"
    UNSEEN = "-"
    """It could not be looked at before another part is mended."""
    WARN = "WARN"
    FAIL = "FAIL"

    @property
    def weight(self) -> int:
        """The heavier, the worse."""
        return list(Mark).index(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One line. `cure` is one command line, to be pasted as it is; `waits_for` is the part to be mended before."""

    mark: Mark
    part: str
    found: str
    cure: str = ""
    waits_for: str = ""


def ok(part: str, found: str) -> Finding:
    """As it should be."""
    return Finding(mark=Mark.OK, part=part, found=found)


def warn(part: str, found: str, cure: str) -> Finding:
    """Everything works, and somebody should look."""
    return Finding(mark=Mark.WARN, part=part, found=found, cure=cure)


def fail(part: str, found: str, cure: str) -> Finding:
    """Something does not work, or does not protect, until it is mended."""
    return Finding(mark=Mark.FAIL, part=part, found=found, cure=cure)


def unseen(part: str, waits_for: str) -> Finding:
    """Not looked at."""
    return Finding(mark=Mark.UNSEEN, part=part, found=f"not looked at; see “{waits_for}”", waits_for=waits_for)


def worst(found: Iterable[Finding]) -> dict[str, Finding]:
    """By part; where several lines are about one, the worst."""
    return {one.part: one for one in sorted(found, key=lambda one: one.mark.weight)}


def quoted(path: Path | str) -> str:
    """A path as a shell takes it."""
    return shlex.quote(str(path))


def aside(path: Path) -> str:
    """The line that moves a file out of the way, beside itself, over nothing that is there."""
    target, number = path.with_name(f"{path.name}.aside"), 2
    while target.exists():
        target, number = path.with_name(f"{path.name}.aside-{number}"), number + 1
    return f"mv {quoted(path)} {quoted(target)}"
