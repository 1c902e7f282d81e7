"""How merges stand: those that are being checked, and the repositories whose merges are held."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cli.output.printing import counted, printable
from cli.session import Connected
from foundation.errors import QuantumError

if TYPE_CHECKING:
    from clients.merges_values import MergeCheckView

LOOKED_AT = 50
"""How many of the newest checks are looked at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MergeStanding:
    """`open` are ids of checks that have not ended; `held` says by folder why merges there are held."""

    open: tuple[str, ...]
    held: dict[str, str]

    @property
    def line(self) -> str:
        """One line; empty when there is nothing to say."""
        running = f"{counted(len(self.open), 'merge')} being checked" if self.open else ""
        held = [
            f"held in {', '.join(Path(folder).name for folder, why in self.held.items() if why == reason)}: {reason}"
            for reason in dict.fromkeys(self.held.values())
        ]
        said = "; ".join(part for part in (running, *held) if part)
        return f"merges: {printable(said)}  (quantum merge list)" if said else ""


def standing(connected: Connected) -> MergeStanding:
    """How merges stand, by the newest checks. Raises QuantumError."""
    checks = connected.call(connected.coordinator.merges.list(limit=LOOKED_AT)).checks
    return MergeStanding(open=tuple(check.id for check in checks if not check.ended), held=held_in(connected, checks))


def held_in(connected: Connected, checks: Sequence[MergeCheckView]) -> dict[str, str]:
    """Why merges are held in the repositories of these checks, by folder; left out is what nobody can tell."""
    held = {}
    for repository, folder in {check.repository: check.folder for check in reversed(checks)}.items():
        try:
            found = connected.call(connected.coordinator.merges.freedom(repository))
        except QuantumError:
            continue  # it is not guarded any more, or safety does not answer
        if found.reason:
            held[folder] = found.reason
    return dict(sorted(held.items()))
