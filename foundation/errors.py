"""The one vocabulary of errors; foundation/rpc makes gRPC statuses of it, the gateway HTTP problems."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import ClassVar


class Kind(StrEnum):
    """What sort of thing went wrong; decides the wire code and whether trying again can help."""

    INVALID = "invalid"
    NOT_FOUND = "not_found"
    CONFLICT = "conflict"
    STALE = "stale"
    EXHAUSTED = "exhausted"
    UNAUTHENTICATED = "unauthenticated"
    DENIED = "denied"
    UNAVAILABLE = "unavailable"
    TIMEOUT = "timeout"
    CANCELLED = "cancelled"
    UNSUPPORTED = "unsupported"
    INTERNAL = "internal"


@dataclass(frozen=True, slots=True)
class FieldFault:
    """One fault in one part of what was handed in."""

    path: str
    """Where: a field like `tasks[2].priority`, a setting's name, an environment variable."""
    message: str
    """What is wrong with it, as a sentence or the end of one."""


class QuantumError(Exception):
    """Anything that we refuse or fail to do, said in one sentence for a person and one code for a machine.

    Raise one of the subclasses; each stands for one `Kind`.
    """

    kind: ClassVar[Kind] = Kind.INTERNAL

    def __init__(
        self,
        code: str,
        message: str,
        *,
        remedy: str = "",
        fields: Sequence[FieldFault] = (),
        retry_after: timedelta | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        """Stable, snake_case; clients may test it."""
        self.message = message
        """One sentence for a person."""
        self.remedy = remedy
        """What to do about it, a line to type where there is one; empty when nothing helps."""
        self.fields = tuple(fields)
        """Every fault found, not only the first."""
        self.retry_after = retry_after
        """When to ask again; None when asking again at any particular time does not help."""

    def __str__(self) -> str:
        faults = "".join(f"\n  {fault.path}: {fault.message}" for fault in self.fields)
        return f"{self.message}{faults}" + (f"\n{self.remedy}" if self.remedy else "")

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.code!r}, {self.message!r})"


class Invalid(QuantumError):
    """What was asked can never be right; it must be changed before it is asked again."""

    kind = Kind.INVALID


class NotFound(QuantumError):
    """There is no such thing."""

    kind = Kind.NOT_FOUND


class Conflict(QuantumError):
    """It clashes with what is there already or with the state it is in."""

    kind = Kind.CONFLICT


class Stale(QuantumError):
    """The fence or version that was shown is not the newest any more."""

    kind = Kind.STALE


class Exhausted(QuantumError):
    """A limit is reached; `retry_after` says when there may be room."""

    kind = Kind.EXHAUSTED


class Unauthenticated(QuantumError):
    """There is no token, or it is not a good one."""

    kind = Kind.UNAUTHENTICATED


class Denied(QuantumError):
    """The token is good but does not allow this."""

    kind = Kind.DENIED


class Unavailable(QuantumError):
    """What is needed cannot be reached at the moment."""

    kind = Kind.UNAVAILABLE


class TimedOut(QuantumError):
    """There was no answer in time; whether it was done is not known."""

    kind = Kind.TIMEOUT


class Cancelled(QuantumError):
    """The caller gave up."""

    kind = Kind.CANCELLED


class Unsupported(QuantumError):
    """It cannot be had here or not yet."""

    kind = Kind.UNSUPPORTED


class Internal(QuantumError):
    """A fault of ours."""

    kind = Kind.INTERNAL


_TYPES: dict[Kind, type[QuantumError]] = {
    error.kind: error
    for error in (
        Invalid,
        NotFound,
        Conflict,
        Stale,
        Exhausted,
        Unauthenticated,
        Denied,
        Unavailable,
        TimedOut,
        Cancelled,
        Unsupported,
        Internal,
    )
}


def for_kind(kind: Kind) -> type[QuantumError]:
    """The exception that stands for a kind, for those who read a kind off a wire."""
    return _TYPES[kind]


def did_you_mean(name: str, known: Iterable[str], *, cutoff: float = 0.6) -> str | None:
    """The known name nearest to the one given, or None when none is near enough to be worth saying.

    `cutoff` is how near that is: from 0 for anything to 1 for the same; difflib's ratio.
    """
    nearest = difflib.get_close_matches(name, list(known), n=1, cutoff=cutoff)
    return nearest[0] if nearest else None
