"""What a script can reach: what its terms come to on this machine, said in the result or refused."""

from __future__ import annotations

from typing import NamedTuple

from clients.attachment_values import LeaseTerms, LimitUse

_RUN_AS_LEVEL = "bubblewrap"


class Confinement(NamedTuple):
    """What the machine has to confine scripts with, as its warden has found out by trying."""

    level: str = ""
    """bubblewrap, landlock, sandbox-exec; empty: nothing."""
    missing: str = ""
    """Why it is not the best level."""
    root: bool = False
    """The runner has the rights of root, which `run_as` takes away."""


UNCONFINED = Confinement()


def reach(terms: LeaseTerms, confinement: Confinement) -> tuple[LimitUse, ...]:
    """The sandbox that an attempt has, if it asks for one, and whether secrets of the runner are in its reach.

    They are for every script that runs as the runner does, outside of a sandbox: whoever is the same user, or root,
    reads its files and its memory.
    """
    found = []
    if terms.sandbox is not None:
        found.append(LimitUse("sandbox", 0, "kernel", confinement.level))
    if terms.sandbox is not None or (terms.run_as and confinement.root):
        found.append(LimitUse("secrets", 0, "kernel", "out of reach"))
    else:
        found.append(LimitUse("secrets", 0, "none", "reachable"))
    return tuple(found)


def unreachable(terms: LeaseTerms, confinement: Confinement) -> str:
    """The sentence that refuses terms whose sandbox or user cannot be had here; empty: they can."""
    if terms.sandbox is not None and not confinement.level:
        return f"its manifest asks for a sandbox, and there is none on this machine: {confinement.missing}"
    if terms.run_as and confinement.root and confinement.level != _RUN_AS_LEVEL:
        return f'its manifest has run_as = "user", and this machine lacks what that takes: {confinement.missing}'
    return ""
