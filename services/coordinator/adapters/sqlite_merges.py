"""The merge checks in the coordinator's SQLite store."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import apsw

from foundation.errors import Stale
from services.coordinator.adapters.queries import SQL, fetch
from services.coordinator.adapters.rows import Value, moment, moment_or_none, stamp, stamp_or_none
from services.coordinator.domain.merge_check import Action, Event, MergeCheck, Verdict

AFTER_EVERY_ID = "~"


class SqliteMerges:
    """The merge checks as one transaction sees them."""

    def __init__(self, connection: apsw.Connection) -> None:
        self._connection = connection
        self._execute = connection.execute

    def insert_check(self, check: MergeCheck) -> None:
        values = (
            check.id,
            check.repository,
            check.folder,
            check.project,
            check.event,
            check.branch,
            check.old,
            check.new,
            check.topic,
            check.background,
            check.task_id,
            check.verdict,
            check.action,
            check.sentence,
            check.only_report,
            stamp(check.created_at),
            stamp_or_none(check.confirmed_at),
            stamp_or_none(check.ended_at),
            stamp_or_none(check.undone_at),
            check.told,
            check.evidence,
        )
        self._execute(SQL["insert_check"], values)

    def save_check(self, check: MergeCheck) -> None:
        values = (
            check.branch,
            check.old,
            check.new,
            check.verdict,
            check.action,
            check.sentence,
            check.only_report,
            stamp_or_none(check.confirmed_at),
            stamp_or_none(check.ended_at),
            stamp_or_none(check.undone_at),
            check.told,
            check.evidence,
            check.id,
            stamp_or_none(check.ended_at),
        )
        if not fetch(self._connection, "save_check", values):
            raise Stale("check_ended", f"Merge check {check.id} is not there, or has ended and stays as it is.")

    def check(self, check_id: str) -> MergeCheck | None:
        return self._one("check", (check_id,))

    def check_of_task(self, task_id: str) -> MergeCheck | None:
        return self._one("check_of_task", (task_id,))

    def open_checks(self) -> Sequence[MergeCheck]:
        return self._all("open_checks", ())

    def checks_about(self, repository: str, commit: str, *, limit: int) -> Sequence[MergeCheck]:
        found = [check for check in self.open_checks() if check.repository == repository]
        for statement in ("checks_to", "checks_from"):
            found += self._all(statement, (repository, commit, limit))
        by_id = {check.id: check for check in found}
        return sorted(by_id.values(), key=lambda check: check.id, reverse=True)[:limit]

    def checks_page(self, *, repository: str, project: str, before_id: str, limit: int) -> Sequence[MergeCheck]:
        before_id = before_id or AFTER_EVERY_ID
        if repository:
            return self._all("checks_page_of_repository", (repository, project, before_id, limit))
        if project:
            return self._all("checks_page_of_project", (project, before_id, limit))
        return self._all("checks_page", (before_id, limit))

    def rollbacks_since(self, repository: str, at: datetime) -> Sequence[datetime]:
        return [moment(ended_at) for (ended_at,) in fetch(self._connection, "rollbacks_since", (repository, stamp(at)))]

    def untold_checks(self, *, limit: int) -> Sequence[MergeCheck]:
        return self._all("untold_checks", (limit,))

    def prune_checks(self, *, ended_before: datetime, limit: int) -> int:
        return len(fetch(self._connection, "prune_checks", (stamp(ended_before), limit)))

    def _one(self, statement: str, values: Sequence[Value]) -> MergeCheck | None:
        found = self._all(statement, values)
        return found[0] if found else None

    def _all(self, statement: str, values: Sequence[Value]) -> list[MergeCheck]:
        return [_read(row) for row in fetch(self._connection, statement, values)]


def _read(row: Sequence[Any]) -> MergeCheck:
    (
        id_, repository, folder, project, event, branch, old, new, topic, background, task_id, verdict, action,
        sentence, only_report, created_at, confirmed_at, ended_at, undone_at, told, *evidence,
    ) = row  # fmt: skip
    return MergeCheck(
        id=id_,
        repository=repository,
        folder=folder,
        project=project,
        event=Event(event),
        branch=branch,
        old=old,
        new=new,
        topic=topic,
        background=background == 1,
        task_id=task_id,
        verdict=None if verdict is None else Verdict(verdict),
        action=None if action is None else Action(action),
        sentence=sentence,
        only_report=only_report,
        created_at=moment(created_at),
        confirmed_at=moment_or_none(confirmed_at),
        ended_at=moment_or_none(ended_at),
        undone_at=moment_or_none(undone_at),
        told=told == 1,
        evidence=evidence[0] if evidence else "",
    )
