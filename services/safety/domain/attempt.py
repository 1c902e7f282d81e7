"""The names by which safety knows an attempt, what it wants to start and how it ended."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import NamedTuple

FLEET = "fleet"
_CLOUD = "cloud:"
_PROJECT = "project:"
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
    misconfigured: bool = False
    """The task is dead for its configuration: no such script, a bad manifest, a limit that cannot be had."""
    held: bool = False
    """It was a service, which has ended too often to be started again by itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """An attempt that asks to be started; `origin` is the task that it retries, else the one whose child it is.

    `identified`: it gets a credential also where it may spend nothing.
    """

    attempt: AttemptKey
    agent: str
    project: str = ""
    uses: tuple[str, ...] = ()
    origin: str = ""
    identified: bool = False


@lru_cache(maxsize=4096)
def gating_scopes(agent: str, project: str, uses: tuple[str, ...]) -> tuple[str, ...]:
    """Every scope whose breaker can hold this work, the widest first."""
    project_scope = (f"project:{project}",) if project else ()
    return (FLEET, *project_scope, *uses, f"agent:{agent}")


@lru_cache(maxsize=4096)
def counting_scopes(agent: str, project: str, uses: tuple[str, ...]) -> tuple[str, ...]:
    """The scopes whose breakers count the end of this work, the narrowest first."""
    project_scope = (f"project:{project}",) if project else ()
    return (f"agent:{agent}", *(use for use in uses if use.startswith(_CLOUD)), *project_scope, FLEET)


def is_shared(scope: str) -> bool:
    """Whether the agents of a scope have no more in common than their place: a project, or the fleet."""
    return scope == FLEET or scope.startswith(_PROJECT)


def is_cloud(scope: str) -> bool:
    """Whether the scope is a provider, whose failures are its own and not those of the agents that call it."""
    return scope.startswith(_CLOUD)


def scope_in_words(scope: str) -> str:
    """The scope for people: "agent:build" is "agent build"."""
    if scope == FLEET:
        return "the fleet"
    kind, _, name = scope.partition(":")
    return f"{_SCOPE_WORDS.get(kind, kind)} {name}"
