"""What merge checks need from outside: their rows, the repositories with their work trees, safety's word on merges."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

from foundation.repositories import GuardedRepository
from services.coordinator.domain.merge_check import MergeCheck
from services.coordinator.domain.merge_freedom import Freedom
from services.coordinator.domain.merge_moves import Move, Note


class MergeRows(Protocol):
    """The merge checks as one transaction of the store sees them; lists are newest first."""

    def insert_check(self, check: MergeCheck) -> None: ...

    def save_check(self, check: MergeCheck) -> None:
        """Replace the row of this id. Raises Stale where it has ended and would be open again, or is not there."""

    def check(self, check_id: str) -> MergeCheck | None: ...

    def check_of_task(self, task_id: str) -> MergeCheck | None: ...

    def open_checks(self) -> Sequence[MergeCheck]:
        """All that have not ended."""

    def checks_about(self, repository: str, commit: str, *, limit: int) -> Sequence[MergeCheck]:
        """A repository's open ones, and those that have this commit as `old` or `new`."""

    def checks_page(self, *, repository: str, project: str, before_id: str, limit: int) -> Sequence[MergeCheck]:
        """Without their evidence; empty texts mean all, and the newest."""

    def rollbacks_since(self, repository: str, at: datetime) -> Sequence[datetime]:
        """When something was rolled back."""

    def untold_checks(self, *, limit: int) -> Sequence[MergeCheck]:
        """Ended, and still to be told to the error budget; oldest first."""

    def prune_checks(self, *, ended_before: datetime, limit: int) -> int:
        """Delete the oldest that ended before a time; return how many."""


@dataclass(frozen=True, slots=True)
class WorkTree:
    """What stands in a folder: git's own folder, and the commit and the branch that are checked out ("": none)."""

    common_dir: Path
    head: str
    branch: str


class Repositories(Protocol):
    """The guarded repositories of this host. Only reads, but for taking notes away. Each look is bounded in time."""

    async def guarded(self) -> Mapping[str, GuardedRepository]:
        """By id, as `.quantum/repositories.toml` has them now; what is at fault there is logged once."""

    async def look(self, folder: Path, repository: GuardedRepository) -> WorkTree:
        """What stands in a folder; of another repository than that one, only where it is.

        Raises NotFound for a folder that is no work tree, and where the repository has lost its identifier (another
        one stands in its place, or the guard was taken out); Unavailable where git does not answer."""

    async def work_trees(self, repository: GuardedRepository) -> Mapping[Path, WorkTree]:
        """By folder, its own first and then the linked ones. Raises as `look` does."""

    async def tips(self, repository: GuardedRepository, seen: Mapping[str, str]) -> Mapping[str, str]:
        """The commits of the protected branches that there are; `seen` is what it gave the last time, or nothing.

        Protected is what is so by now, and what was so at the commit where it was seen. Raises as `look` does.
        """

    async def moves(self, repository: GuardedRepository, branch: str, *, limit: int) -> Sequence[Move]:
        """What a branch's reflog tells, newest first. Raises as `look` does."""

    async def notes(self, repository: GuardedRepository) -> Sequence[Note]:
        """What hooks have noted as not checked, and had time to write to the end; the same again until `forget`."""

    async def forget(self, repository: GuardedRepository) -> None:
        """Take away what `notes` gave."""


class MergeSafety(Protocol):
    """Safety, as merges see it. Raises Unavailable or TimedOut when it cannot be asked."""

    async def mode(self) -> str:
        """As it is now, or as safety said last while it cannot be asked; upper case."""

    async def budgets(self, project: str) -> Freedom:
        """What the error budgets of a project ("": of the fleet alone) and of the fleet say of a merge."""

    async def record(self, project: str, check_id: str, *, bad: bool) -> None:
        """Count what a check found, once per check. Raises Invalid for what is no project."""
