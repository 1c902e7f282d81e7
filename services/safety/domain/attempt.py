"""The names by which safety knows an attempt, what it wants to start and how it ended."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import NamedTuple

FLEET = "fleet"
_SCOPE_WORDS = {"agent": "agent", "cloud": "provider", "project": "project"}


class AttemptKey(NamedTuple):
    """One attempt: its task and the fence that it carries."""

    task: str
    fence: int


class OutcomeKind(StrEnum):
    """What the end of an attempt says to a breaker."""

    SUCCESS = "success"
    FAILURE = "failure"
    NEUTRAL = "neutral"
    """Infrastructure, policy, cancel: gives a permit back and counts nowhere."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How one attempt ended. `epoch` is the one under which it was admitted; 0: the reporter does not know."""

    attempt: AttemptKey
    agent: str
    project: str = ""
    uses: tuple[str, ...] = ()
    kind: OutcomeKind
    detail: str = ""
    epoch: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """An attempt that asks to be started; `origin` is the task that it retries, else the one whose child it is."""

    attempt: AttemptKey
    agent: str
    project: str = ""
    uses: tuple[str, ...] = ()
    origin: str = ""


@lru_cache(maxsize=4096)
def gating_scopes(agent: str, project: str, uses: tuple[str, ...]) -> tuple[str, ...]:
    """Every scope whose breaker can hold this work, the widest first."""
    project_scope = (f"project:{project}",) if project else ()
    return (FLEET, *project_scope, *uses, f"agent:{agent}")


@lru_cache(maxsize=4096)
def counting_scopes(agent: str, uses: tuple[str, ...]) -> tuple[str, ...]:
    """The scopes whose breakers count the end of this work.

    Project and fleet breakers gate but do not count: many agents share them, and three failures in a row of one agent
    would hold all the others. They are opened by a person until there is a rule that knows the share of held agents.
    """
    return (f"agent:{agent}", *(use for use in uses if use.startswith("cloud:")))


def scope_in_words(scope: str) -> str:
    """The scope for people: "agent:build" is "agent build"."""
    if scope == FLEET:
        return "the fleet"
    kind, _, name = scope.partition(":")
    return f"{_SCOPE_WORDS.get(kind, kind)} {name}"
