"""Whose a process is where orphans cannot be adopted: by its own token, its parent's, or what was seen before."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple


class Sighting(NamedTuple):
    """A process as one pass saw it."""

    pid: int
    parent: int
    started: int
    tag: int  # of the token in its environment; -1: it has none


class Known(NamedTuple):
    """Whose a process is: the pid means it as long as it started then."""

    started: int
    tag: int


def assign(sightings: Iterable[Sighting], before: Mapping[int, Known]) -> dict[int, Known]:
    """Everybody who belongs to an attempt, by pid; what is no longer there is forgotten.

    A process without a token, seen once beside its parent, stays known when that ends and launchd becomes its parent.
    """
    seen = {each.pid: each for each in sightings}
    known: dict[int, Known] = {}
    for each in seen.values():
        if each.tag != -1:
            known[each.pid] = Known(each.started, each.tag)
        elif (earlier := before.get(each.pid)) is not None and earlier.started == each.started:
            known[each.pid] = earlier
    for each in seen.values():
        _follow_parents(each, seen, known)
    return known


def _follow_parents(each: Sighting, seen: Mapping[int, Sighting], known: dict[int, Known]) -> None:
    """A parent is older than its child; whoever is not has only got the pid of one."""
    line: list[Sighting] = []
    while each.pid not in known:
        parent = seen.get(each.parent)
        if parent is None or parent.started > each.started or parent in line:
            return
        line.append(each)
        each = parent
    for descendant in line:
        known[descendant.pid] = Known(descendant.started, known[each.pid].tag)
