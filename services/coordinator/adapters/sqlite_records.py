"""What the coordinator's SQLite store keeps beside the tasks: outputs, keys, outbox, reports, refusals, facts."""

import json
from collections.abc import Mapping, Sequence

import apsw

from services.coordinator.adapters.queries import SQL, fetch
from services.coordinator.adapters.rows import moment, stamp
from services.coordinator.domain.error_report import ErrorReport
from services.coordinator.ports import Accepted, AgentHistory, Refusal, Report
from services.coordinator.ports_safety import Act, OutboxEntry

REFUSALS_MAX = 10_000
FAILED_WAITING_MAX = 1_000


class SqliteRecords:
    """The records as one transaction sees them."""

    def __init__(self, connection: apsw.Connection) -> None:
        self._connection = connection
        self._execute = connection.execute
        self._executemany = connection.executemany

    def put_output(self, task_id: str, text: str, report_fault: str = "", stragglers: int = 0) -> None:
        if text or report_fault or stragglers:
            self._execute(SQL["put_output"], (task_id, text, report_fault, stragglers))
        else:
            self._execute(SQL["delete_output"], (task_id,))

    def output(self, task_id: str) -> str:
        return self._execute(SQL["output"], (task_id,)).get or ""

    def report_fault(self, task_id: str) -> str:
        return self._execute(SQL["report_fault"], (task_id,)).get or ""

    def stragglers(self, task_id: str) -> int:
        return self._execute(SQL["stragglers"], (task_id,)).get or 0

    def accepted(self, token_id: str, key: str) -> Accepted | None:
        found = fetch(self._connection, "accepted", (token_id, key))
        if not found:
            return None
        digest, task_ids, at = found[0]
        return Accepted(digest=digest, task_ids=tuple(task_ids.split()), at=moment(at))

    def remember(self, token_id: str, key: str, accepted: Accepted) -> None:
        values = (token_id, key, accepted.digest, " ".join(accepted.task_ids), stamp(accepted.at))
        self._execute(SQL["remember"], values)

    def post(self, entries: Sequence[OutboxEntry]) -> Sequence[OutboxEntry]:
        if not entries:
            return ()
        last = self._execute(SQL["take_sequences"], (len(entries),)).get
        posted = [entry._replace(sequence=at) for at, entry in enumerate(entries, last - len(entries) + 1)]
        self._executemany(
            SQL["post"],
            [
                (
                    entry.sequence,
                    entry.task_id,
                    entry.fence,
                    entry.agent,
                    entry.project,
                    json.dumps(entry.uses) if entry.uses else "[]",
                    entry.failure_class,
                    entry.counted,
                    entry.detail,
                    stamp(entry.finished_at),
                    entry.epoch,
                )
                for entry in posted
            ],
        )
        return posted

    def outbox(self, *, limit: int) -> Sequence[OutboxEntry]:
        return [
            OutboxEntry(
                sequence=sequence,
                task_id=task_id,
                fence=fence,
                agent=agent,
                project=project,
                uses=tuple(json.loads(uses)),
                failure_class=failure_class,
                counted=counted == 1,
                detail=detail,
                finished_at=moment(finished_at),
                epoch=epoch,
            )
            for (
                sequence, task_id, fence, agent, project, uses, failure_class, counted, detail, finished_at, epoch,
            ) in fetch(self._connection, "outbox", (limit,))
        ]  # fmt: skip

    def acknowledge(self, up_to_sequence: int) -> None:
        self._execute(SQL["acknowledge"], (up_to_sequence,))

    def note_act(self, act: Act) -> None:
        self._execute(SQL["note_act"], (stamp(act.at), *act[1:-1]))

    def acts(self, *, limit: int) -> Sequence[Act]:
        return [Act(moment(at), *rest) for at, *rest in fetch(self._connection, "acts", (limit,))]

    def forget_acts(self, up_to_number: int) -> None:
        self._execute(SQL["forget_acts"], (up_to_number,))

    def note_failed_attempt(self, report: ErrorReport) -> None:
        self._execute(SQL["note_failed_attempt"], (*report, FAILED_WAITING_MAX))

    def failed_attempts(self, *, limit: int) -> Sequence[tuple[int, ErrorReport]]:
        rows = fetch(self._connection, "failed_attempts", (limit,))
        return [(number, ErrorReport(name, text)) for number, name, text in rows]

    def forget_failed_attempts(self, up_to_number: int) -> None:
        self._execute(SQL["forget_failed_attempts"], (up_to_number,))

    def publish(self, report: Report) -> None:
        values = (
            report.type,
            report.project,
            report.summary,
            report.task_id,
            report.agent,
            stamp(report.published_at),
            report.data,
        )
        self._execute(SQL["publish"], values)

    def reports(self, *, type: str, project: str) -> Sequence[Report]:
        return [_report(*row) for row in fetch(self._connection, "reports", (type, project))]

    def report(self, *, agent: str, project: str) -> Report | None:
        found = fetch(self._connection, "report", (agent, project))
        return _report(*found[0]) if found else None

    def histories(self) -> Mapping[str, AgentHistory]:
        return {
            agent: AgentHistory(agent=agent, ends=ends, last_task_id=last_task_id, peaks=peaks)
            for agent, ends, last_task_id, peaks in fetch(self._connection, "histories")
        }

    def record_history(self, history: AgentHistory) -> None:
        self._execute(SQL["record_history"], (history.agent, history.ends, history.last_task_id, history.peaks))

    def refuse(self, refusal: Refusal) -> None:
        values = (
            refusal.task_id,
            refusal.fence,
            refusal.held_fence,
            refusal.runner,
            refusal.what,
            stamp(refusal.at),
        )
        self._execute(SQL["refuse"], values)
        self._execute(SQL["forget_refusals"], (REFUSALS_MAX,))

    def refusals(self, task_id: str) -> Sequence[Refusal]:
        return [
            Refusal(task_id=id_, fence=fence, held_fence=held_fence, runner=runner, what=what, at=moment(at))
            for id_, fence, held_fence, runner, what, at in fetch(self._connection, "refusals", (task_id,))
        ]

    def fact(self, name: str) -> str | None:
        value: str | None = self._execute(SQL["fact"], (name,)).get
        return value

    def set_fact(self, name: str, value: str | None) -> None:
        if value is None:
            self._execute(SQL["delete_fact"], (name,))
        else:
            self._execute(SQL["set_fact"], (name, value))


def _report(type_: str, project: str, summary: str, data: str, task_id: str, agent: str, published_at: int) -> Report:
    return Report(
        type=type_,
        project=project,
        summary=summary,
        data=data,
        task_id=task_id,
        agent=agent,
        published_at=moment(published_at),
    )
