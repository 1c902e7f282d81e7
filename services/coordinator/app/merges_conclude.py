"""What becomes of a check when its task ends: in the transaction that records the end, or found by a sweep."""

from collections.abc import Callable, Sequence
from datetime import datetime

from foundation.clock import Clock
from foundation.log import get_logger
from services.coordinator.app import merges_facts as facts
from services.coordinator.app.changes import Changes
from services.coordinator.app.merges_alerts import tell_of
from services.coordinator.domain.attempt import Ended
from services.coordinator.domain.merge_check import (
    MergeCheck,
    Told,
    break_off,
    conclude,
    read_report,
    why_ended,
)
from services.coordinator.domain.task import Task, request_cancel
from services.coordinator.ports import Store, StoreTransaction

_log = get_logger("coordinator")


def conclude_checks(tx: StoreTransaction, ends: Sequence[tuple[Task, Ended]], *, now: datetime) -> None:
    """Conclude the checks of tasks that have ended for good; others are passed over.

    What a report says is true however its attempt ended: a branch may have been moved by then.
    """
    for task, event in ends:
        check = tx.check_of_task(task.id) if task.ended else None
        if check is None or check.ended:
            continue
        told = read_report(event.report, check) if event.report else event.report_fault
        if isinstance(told, Told):
            _settle(tx, conclude(check, told, now=now), told.flaky_command, now)
        elif told:
            _settle(tx, break_off(check, f"the report of task {task.id} {told.rstrip('.')}.", now=now), "", now)
        else:
            _settle(tx, break_off(check, why_ended(task), now=now), "", now)


class SweepChecks:
    """Finds checks whose task has ended by another way than a runner's report: cancelled, cleared, lost, deleted.

    Also those for which somebody waits and that a short disk keeps from being begun: nobody knows how long it stays so.
    Those in the background wait for room.
    """

    def __init__(self, store: Store, changes: Changes, disk_short: Callable[[], str], *, clock: Clock) -> None:
        """`disk_short` says what is short, as the rest of a sentence; "": nothing."""
        self._store = store
        self._changes = changes
        self._disk_short = disk_short
        self._clock = clock

    async def step(self) -> None:
        """Conclude them; one read of an empty index where nothing is open."""
        if await self._store.read(_left_behind):
            await self._store.write(lambda tx: _conclude_left_behind(tx, self._clock.now()))
        why = self._disk_short()
        unbegun = await self._store.read(_unbegun) if why else []
        if unbegun:
            self._changes.announce(await self._store.write(lambda tx: _give_up(tx, why, self._clock.now())))


def _left_behind(tx: StoreTransaction) -> list[tuple[MergeCheck, Task | None]]:
    checks = tx.open_checks()
    tasks = tx.tasks([check.task_id for check in checks]) if checks else {}
    pairs = [(check, tasks.get(check.task_id)) for check in checks]
    return [(check, task) for check, task in pairs if task is None or task.ended]


def _conclude_left_behind(tx: StoreTransaction, now: datetime) -> None:
    for check, task in _left_behind(tx):
        _settle(tx, break_off(check, why_ended(task), now=now), "", now)


def _unbegun(tx: StoreTransaction) -> list[tuple[MergeCheck, Task]]:
    checks = tx.open_checks()
    tasks = tx.tasks([check.task_id for check in checks]) if checks else {}
    pairs = [(check, tasks[check.task_id]) for check in checks if check.task_id in tasks]
    return [(check, task) for check, task in pairs if task.ready and not check.background]


def _give_up(tx: StoreTransaction, why: str, now: datetime) -> list[Task]:
    pairs = []
    for check, task in _unbegun(tx):
        begun = "begun again" if task.attempt else "begun"
        pairs.append((task, request_cancel(task, reason=f"It was not {begun}: {why}.", now=now)))
        _settle(tx, break_off(check, f"it was not {begun}, because {why}.", now=now), "", now)
    tx.save(pairs)
    return [after for _, after in pairs]


def _settle(tx: StoreTransaction, check: MergeCheck, flaky_command: str, now: datetime) -> None:
    tx.save_check(check)
    facts.remember_flaky(tx, check.repository, flaky_command, now)
    tell_of(tx, check, now=now)
    _log.info(
        f"Merge check {check.id} of {check.repository}: {check.sentence}",
        action="merge_checked",
        check=check.id,
        verdict=str(check.verdict),
        done=str(check.action),
    )
