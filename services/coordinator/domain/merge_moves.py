"""How a branch came from one commit to another, by its reflog: values in, a judgement out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

OWN = "quantum"
"""How the reflog messages of our own moves begin."""
_PLAIN = ("commit", "cherry-pick", "revert", "am")
_REBASED = ("(start)", "(pick)", "(finish)", "(continue)")


class Move(NamedTuple):
    """One entry of a reflog: where the branch came to, and why, in git's words."""

    to: str
    message: str


class Note(NamedTuple):
    """A hook's note of what it could not have checked; commits are empty where it did not know them."""

    event: str
    old: str
    new: str


class How(StrEnum):
    """What a move of a branch asks for."""

    NOTHING = "nothing"
    """Plain commits, or our own doing."""
    ARRIVED = "arrived"
    """A merge or a pull brought it: it is to be checked."""
    OTHERWISE = "otherwise"
    """A reset, a rebase, a bare change of the reference: it is to be told."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """`old` and `new` are where the move that decided began and ended; `why` is its message ("": none is known)."""

    how: How
    old: str
    new: str
    why: str = ""


def judge(moves: Sequence[Move], old: str, new: str) -> Judgement:
    """Say how a branch came from `old` to `new`; `moves` are its reflog, newest first.

    The newest merge or pull decides, else the newest move that was no plain commit.
    """
    if old == new:
        return Judgement(How.NOTHING, old, new)
    since = _since(moves, old, new)
    if since is None:
        return Judgement(How.OTHERWISE, old, new)
    steps = list(zip(since, [*(move.to for move in since[1:]), old], strict=True))
    for wanted in (How.ARRIVED, How.OTHERWISE):
        for move, before in steps:
            if _how(move.message) is wanted:
                return Judgement(wanted, before, move.to, move.message)
    return Judgement(How.NOTHING, old, new)


def _since(moves: Sequence[Move], old: str, new: str) -> Sequence[Move] | None:
    """The moves from `old` to `new`; None: the reflog does not tell."""
    if not moves or moves[0].to != new:
        return None
    for at, move in enumerate(moves):
        if at and move.to == old:
            return moves[:at]
    return None


def _how(message: str) -> How:
    verb, _, rest = message.partition(":")
    word = verb.partition(" ")[0]
    if word == OWN:
        return How.NOTHING
    if word == "merge" or verb == "commit (merge)":
        return How.ARRIVED
    if word == "pull":
        return How.OTHERWISE if any(mark in verb for mark in _REBASED) else How.ARRIVED
    return How.NOTHING if word in _PLAIN and rest else How.OTHERWISE
