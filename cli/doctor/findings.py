"""What `quantum doctor` says: how one thing was found, or whether one protection is on, and what to do."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

from foundation.errors import QuantumError

F = TypeVar("F")


class Mark(StrEnum):
    """How a check went."""

    GOOD = "ok"
    NOTE = "note"
    BAD = "bad"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One line: how it went, what was looked at, what was found, what to do."""

    mark: Mark
    what: str
    found: str
    remedy: str = ""


def good(what: str, found: str) -> Finding:
    """All right."""
    return Finding(mark=Mark.GOOD, what=what, found=found)


def note(what: str, found: str, remedy: str = "") -> Finding:
    """Worth knowing; the system works."""
    return Finding(mark=Mark.NOTE, what=what, found=found, remedy=remedy)


def bad(what: str, found: str, remedy: str = "") -> Finding:
    """Not right; something does not work until it is."""
    return Finding(mark=Mark.BAD, what=what, found=found, remedy=remedy)


@dataclass(frozen=True, slots=True, kw_only=True)
class Protection:
    """Whether one protection is on, what was found, and the line that turns it on. `wrong`: off by nobody's choice."""

    what: str
    on: bool
    wrong: bool = False
    found: str
    remedy: str = ""


def on(what: str, found: str) -> Protection:
    """It protects."""
    return Protection(what=what, on=True, found=found)


def off(what: str, found: str, remedy: str) -> Protection:
    """It does not, because it was so chosen or nothing runs."""
    return Protection(what=what, on=False, found=found, remedy=remedy)


def broken(what: str, found: str, remedy: str) -> Protection:
    """It does not, and should."""
    return Protection(what=what, on=False, wrong=True, found=found, remedy=remedy)


def untold(what: str, found: str, remedy: str) -> Protection:
    """Nobody could tell, which counts as off."""
    return broken(what, found, remedy or "quantum status")


Check = tuple[str, Callable[[], Iterator[F]]]
"""A name for whoever reads that the check itself failed, and the check."""


def each(checks: Sequence[Check[F]], failed: Callable[[str, str, str], F]) -> Iterator[F]:
    """What every check in turn finds; one that fails by itself is told by `failed(name, why, what to do)`."""
    for name, check in checks:
        try:
            yield from check()
        except QuantumError as error:
            faults = "".join(f" {fault.path}: {fault.message}" for fault in error.fields)
            yield failed(name, f"{error.message}{faults}", error.remedy)
        except OSError as error:
            yield failed(name, str(error), "")
