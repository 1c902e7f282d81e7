"""Tells the attempt that does a check whether it may move the branch, just before it does."""

from dataclasses import replace
from datetime import datetime
from typing import NamedTuple

from foundation.clock import Clock
from foundation.errors import Denied, FieldFault, Invalid
from services.coordinator.app.merges import require_check
from services.coordinator.domain.merge_check import Event, MergeCheck, is_commit
from services.coordinator.domain.merge_freedom import NO_MERGES
from services.coordinator.domain.task import Task, TaskState
from services.coordinator.ports import Store, StoreTransaction
from services.coordinator.ports_merges import MergeSafety

ABOUT_MAX = 1_000


class Confirmation(NamedTuple):
    """`reason` says why it may not, as a sentence."""

    may_move: bool
    reason: str = ""


class ConfirmCheck:
    """Answered from the store, in a transaction: whatever was cancelled, left or lost before it counts."""

    def __init__(self, store: Store, safety: MergeSafety, *, clock: Clock) -> None:
        self._store = store
        self._safety = safety
        self._clock = clock

    async def __call__(self, check_id: str, attempt: tuple[str, int], *, old: str, new: str) -> Confirmation:
        """Whether this attempt may move its branch from `new` to `old`, or for a request from `old` to `new`.

        Raises NotFound for an unknown check, Denied for an attempt that does another one, Invalid for what are no
        commits, Unavailable while nobody can tell the mode.
        """
        if wrong := [name for name, value in (("old", old), ("new", new)) if not is_commit(value)]:
            faults = [FieldFault(f"{name}_commit", "is the whole name of no commit") for name in wrong]
            raise Invalid("bad_commit", f"The {wrong[0]} commit must be named in full.", fields=faults)
        mode, now = await self._safety.mode(), self._clock.now()
        return await self._store.write(lambda tx: _confirm(tx, check_id, attempt, old, new, mode, now))


def _confirm(
    tx: StoreTransaction, check_id: str, attempt: tuple[str, int], old: str, new: str, mode: str, now: datetime
) -> Confirmation:
    check = require_check(tx, check_id)
    task_id, fence = attempt
    if check.task_id != task_id:
        raise Denied("other_attempt", f"Merge check {check.id} is not done by task {task_id}.")
    why_not = _lost(tx.task(task_id), fence) or _held(check, mode) or _brought_back(tx, check, new)
    confirmed_at = check.confirmed_at if why_not else now
    if not check.ended:
        tx.save_check(replace(check, old=old, new=new, confirmed_at=confirmed_at))
    return Confirmation(not why_not, why_not)


def _lost(task: Task | None, fence: int) -> str:
    if task is None or task.ended:
        return "Its task has ended."
    if task.cancel_requested:
        return f"Its task is being cancelled. {task.reason}".strip()
    if task.fence != fence or task.state is not TaskState.RUNNING:
        return "Another attempt has taken its place, or it is paused."
    return ""


def _held(check: MergeCheck, mode: str) -> str:
    if check.ended:
        return "The check has ended."
    if check.only_report:
        return check.only_report
    if mode in ("FROZEN", "STOPPED") or (check.event is Event.REQUEST and mode in NO_MERGES):
        return f"The mode is {mode}."
    return ""


def _brought_back(tx: StoreTransaction, check: MergeCheck, new: str) -> str:
    about = tx.checks_about(check.repository, new, limit=ABOUT_MAX)
    if check.event is not Event.REQUEST and any(one.new == new and one.undone_at is not None for one in about):
        return "A person has brought this commit back after it was taken away."
    return ""
