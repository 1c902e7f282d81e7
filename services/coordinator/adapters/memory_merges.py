"""The merge checks of the store in memory."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime

from foundation.errors import Stale
from services.coordinator.domain.merge_check import Action, MergeCheck


class MemoryMerges:
    """One work's view of the checks, by id."""

    def __init__(self, checks: dict[str, MergeCheck]) -> None:
        self._checks = checks

    def insert_check(self, check: MergeCheck) -> None:
        if check.id in self._checks or (check.task_id and self.check_of_task(check.task_id)):
            raise ValueError(f"merge check {check.id} or its task is there already")
        self._checks[check.id] = check

    def save_check(self, check: MergeCheck) -> None:
        present = self._checks.get(check.id)
        if present is None or (present.ended and present.ended_at != check.ended_at):
            raise Stale("check_ended", f"Merge check {check.id} is not there, or has ended and stays as it is.")
        self._checks[check.id] = check

    def check(self, check_id: str) -> MergeCheck | None:
        return self._checks.get(check_id)

    def check_of_task(self, task_id: str) -> MergeCheck | None:
        return next((check for check in self._checks.values() if task_id and check.task_id == task_id), None)

    def open_checks(self) -> Sequence[MergeCheck]:
        return self._newest_first(lambda check: not check.ended)

    def checks_about(self, repository: str, commit: str, *, limit: int) -> Sequence[MergeCheck]:
        found = self._newest_first(
            lambda check: (
                check.repository == repository
                and (not check.ended or (commit != "" and commit in (check.old, check.new)))
            )
        )
        return found[:limit]

    def checks_page(self, *, repository: str, project: str, before_id: str, limit: int) -> Sequence[MergeCheck]:
        found = self._newest_first(
            lambda check: (
                repository in ("", check.repository)
                and project in ("", check.project)
                and (not before_id or check.id < before_id)
            )
        )
        return [replace(check, evidence="") for check in found[:limit]]

    def rollbacks_since(self, repository: str, at: datetime) -> Sequence[datetime]:
        ends = [
            check.ended_at
            for check in self._checks.values()
            if check.repository == repository and check.action is Action.ROLLED_BACK and check.ended_at is not None
        ]
        return sorted((ended for ended in ends if ended >= at), reverse=True)

    def untold_checks(self, *, limit: int) -> Sequence[MergeCheck]:
        return self._newest_first(lambda check: check.ended and not check.told)[::-1][:limit]

    def prune_checks(self, *, ended_before: datetime, limit: int) -> int:
        found = [
            check for check in self._checks.values() if check.ended_at is not None and check.ended_at < ended_before
        ]
        oldest = sorted(found, key=lambda check: check.ended_at or check.created_at)[:limit]
        for check in oldest:
            del self._checks[check.id]
        return len(oldest)

    def _newest_first(self, wanted: Callable[[MergeCheck], bool]) -> list[MergeCheck]:
        return sorted(filter(wanted, self._checks.values()), key=lambda check: check.id, reverse=True)
