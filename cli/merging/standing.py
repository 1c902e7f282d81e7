"""What `quantum status` says of merges: those that are being checked, and the repositories whose merges are held."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cli.printing import counted, printable

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
        held = [f"held in {Path(folder).name}: {reason}" for folder, reason in self.held.items()]
        said = "; ".join(part for part in (running, *held) if part)
        return f"merges: {printable(said)}  (quantum merge list)" if said else ""


def standing_of(checks: Sequence[MergeCheckView]) -> MergeStanding:
    """How merges stand by the newest checks; of each folder the newest one says whether they are held."""
    newest = {check.folder: check.freedom_reason for check in reversed(checks)}
    return MergeStanding(
        open=tuple(check.id for check in checks if not check.ended),
        held={folder: reason for folder, reason in sorted(newest.items()) if reason},
    )
