"""The end of the audit log in memory, and its checkpoint: what is staged before a commit and published after it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime

from foundation.auth import caller_or_none, current_source
from foundation.errors import Unavailable
from foundation.log import get_logger
from services.safety.domain.audit import (
    AUDIT_BROKEN,
    Actor,
    AuditEntry,
    AuditRecord,
    Fault,
    Head,
    chain,
    checkpoint_fault,
    checkpoint_of,
    cut_at,
    fault_in,
    rewritten,
)
from services.safety.ports import CheckpointFile, SafetyStore

_LOG = get_logger("safety")
OWN_NAME = "safety"
"""The actor of what safety does by itself."""


def acting() -> Actor:
    """Who acts now: the caller of the call that is being answered, else safety itself."""
    caller = caller_or_none()
    if caller is None:
        return Actor(name=OWN_NAME, source="safety itself")
    return Actor(name=caller.name, token_id=caller.token_id, source=current_source())


class AuditTrail:
    """Where the log ends, kept in step with the commits of the state that owns it.

    A checkpoint is written beside its file before the commit (so that it is known that it can be), and takes the
    file's place after the commit, before anybody is told of the act: it may lag behind the log by what was never
    answered, and never leads. Not for two changes at once: the state has a lock.
    """

    def __init__(self, key: bytes, file: CheckpointFile, head: Head) -> None:
        self._key = key
        self._file = file
        self.head = head
        self.published = head
        """Where the checkpoint stands, as far as this process knows."""
        self._staged = False
        self._failing = False

    @property
    def behind(self) -> bool:
        """Whether the checkpoint could not be written after a commit."""
        return self.published != self.head

    @property
    def begun(self) -> bool:
        """Whether there is a checkpoint, of whatever kind."""
        try:
            return self._file.read() is not None
        except (OSError, ValueError):
            return True

    def records(self, entries: Sequence[AuditEntry]) -> tuple[AuditRecord, ...]:
        """What the entries become behind the log's end."""
        return tuple(chain(self.head, entries, self._key))

    def follow(self, stored: Head) -> None:
        """Another writer was first: go on behind its records. Never back: what was taken away stays missing."""
        if stored.count > self.head.count:
            self.head = self.published = stored

    async def stage(self, records: Sequence[AuditRecord], *, required: bool) -> None:
        """Write the checkpoint for these records beside the one that stands, before they are committed.

        Raises Unavailable, code `audit_unwritable`, when that is not possible and `required`.
        """
        self._staged = False
        head = records[-1].head if records else self.head
        if head == self.published:
            return
        try:
            if self.behind and required:
                await self._write(self.head)
            await asyncio.to_thread(self._file.stage, checkpoint_of(head, self._key))
            self._staged = True
        except OSError as error:
            self.note_failure(error)
            if required:
                raise _unwritable(error) from error

    async def publish(self, records: Sequence[AuditRecord]) -> None:
        """Let the staged checkpoint take its place, the records being committed; later, when it cannot do so now."""
        self.head = records[-1].head if records else self.head
        if not self._staged:
            return
        try:
            await asyncio.to_thread(self._file.publish)
        except OSError as error:
            self.note_failure(error)
            return
        self.published = self.head
        self._failing = False

    def note_failure(self, error: Exception) -> None:
        """Say in the log that the audit log cannot be written, once until it can be again."""
        if not self._failing:
            self._failing = True
            _LOG.error(f"The audit log cannot be written: {error}.", action="audit_unwritable")

    async def _write(self, head: Head) -> None:
        await asyncio.to_thread(self._file.stage, checkpoint_of(head, self._key))
        await asyncio.to_thread(self._file.publish)
        self.published = head

    async def put_down(self) -> None:
        """Write a checkpoint of where the log ends now, whatever stands there. Raises OSError."""
        await self._write(self.head)

    async def check_end(self, store: SafetyStore) -> Fault | None:
        """Compare the log's end with the checkpoint and take the log up from there; what is wrong, or None.

        Records behind the checkpoint are what a crash left: they are good when they chain and carry their seals, and
        the checkpoint follows them. After a fault the log goes on behind the greater of the two ends, so that what is
        missing stays missing.
        """
        stands, said = await asyncio.to_thread(self.read_checkpoint)
        if stands is None:
            self.published = Head(count=-1)
            return said
        end = self.head
        if end.count < stands.count:
            self.head = self.published = stands
            return cut_at(end.count + 1, end)
        self.published = stands
        return await self._fault_behind(stands, store)

    async def taken_up(self, store: SafetyStore, *, now: datetime) -> list[AuditEntry]:
        """As `check_end`, for whoever writes while safety does not run: the entry that tells of a fault, or none."""
        fault = await self.check_end(store)
        if fault is None:
            return []
        actor = Actor(name=OWN_NAME, source="safety itself")
        return [AuditEntry(at=now, actor=actor, act=AUDIT_BROKEN, target=str(fault.number), reason=fault.sentence)]

    def read_checkpoint(self) -> tuple[Head, None] | tuple[None, Fault]:
        """Where the checkpoint in its file says that the log ends, or what is wrong with it."""
        try:
            checkpoint = self._file.read()
        except (OSError, ValueError) as error:
            return None, checkpoint_fault(f"The checkpoint of the audit log cannot be read: {error}.")
        if checkpoint is None:
            return None, checkpoint_fault("The checkpoint of the audit log is missing.")
        if not checkpoint.genuine(self._key):
            return None, checkpoint_fault("The checkpoint of the audit log was not written by safety.")
        return checkpoint.head, None

    def fault_in(self, record: AuditRecord, before: Head) -> Fault | None:
        """What is wrong with a record that stands behind `before`."""
        return fault_in(record, before, self._key)

    async def _fault_behind(self, stands: Head, store: SafetyStore) -> Fault | None:
        before = stands
        if stands.count > 0:
            at_checkpoint = await store.audit_after(stands.count - 1, 1)
            if not at_checkpoint or at_checkpoint[0].head != stands:
                return rewritten(stands)
        while page := await store.audit_after(before.count, 1_000):
            for record in page:
                fault = self.fault_in(record, before)
                if fault is not None:
                    return fault
                before = record.head
        return None


def _unwritable(error: OSError) -> Unavailable:
    return Unavailable(
        "audit_unwritable",
        f"The audit log's checkpoint cannot be written ({error.strerror or error}), so nothing privileged is changed.",
        remedy="Make .quantum/audit writable and its disk not full. Stopping and tightening work all the same.",
    )
