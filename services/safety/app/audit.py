"""The audit log's verbs: record what others did, list, verify."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from foundation.errors import FieldFault, Invalid
from services.safety.app.draft import Draft
from services.safety.app.state import SafetyState
from services.safety.domain.audit import (
    NO_RECORDS,
    AuditEntry,
    AuditRecord,
    Fault,
    Head,
    broken_before,
    cut_at,
    rewritten,
)
from services.safety.ports import SafetyStore

PAGE = 200
"""Records that are checked at a stretch: a few milliseconds, in which nobody else is answered."""
ACTS_MAX = 1_000
LISTED_MAX = 1_000
LISTED = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What a check of the whole log found. `unconfirmed`: records that the checkpoint does not cover yet."""

    fault: Fault | None
    records: int
    head: Head
    unconfirmed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditPage:
    """Records, newest first; `next` is None when there are no more."""

    records: Sequence[AuditRecord]
    next: int | None


class Audit:
    """What people and services do with the audit log."""

    def __init__(self, state: SafetyState, store: SafetyStore) -> None:
        self._state = state
        self._store = store

    async def record(self, entries: Sequence[AuditEntry]) -> int:
        """Record acts of other services, durably; return how many were new. Raises Invalid, Unavailable."""
        if len(entries) > ACTS_MAX or not all(entry.told and entry.act for entry in entries):
            raise Invalid("bad_acts", f"At most {ACTS_MAX:,} acts are told at once, each with an id and a name.")

        def work(draft: Draft) -> int:
            new = {entry.told: entry for entry in entries if entry.told not in self._state.told}
            for entry in new.values():
                draft.tell(entry)
            return len(new)

        return await self._state.change(work)

    async def page(self, *, since: datetime | None, limit: int, before: int | None) -> AuditPage:
        """One page of the log, newest first; `limit` 0 means 100. Raises Invalid."""
        if not 0 <= limit <= LISTED_MAX:
            fault = FieldFault("limit", f"must be from 1 to {LISTED_MAX:,}")
            raise Invalid("bad_limit", f"At most {LISTED_MAX:,} records are listed at once.", fields=(fault,))
        wanted = limit or LISTED
        found = await self._store.audit_before(before, wanted + 1, since)
        more = len(found) > wanted
        return AuditPage(records=found[:wanted], next=found[wanted - 1].number if more else None)

    async def verify(self) -> Verdict:
        """Read the whole log; compare every record with its seal, and the end with memory and the checkpoint."""
        trail = self._state.trail
        end = trail.head
        stands, said = await asyncio.to_thread(trail.read_checkpoint)
        walk = _Walk(wanted=[head for head in (end, stands) if head is not None])
        while walk.fault is None and (page := await self._store.audit_after(walk.head.count, PAGE)):
            walk.over((record, trail.fault_in(record, before)) for before, record in walk.pairs(page))
        fault = walk.fault or walk.missing() or said or walk.told
        confirmed = stands.count if stands is not None else 0
        return Verdict(
            fault=fault,
            records=walk.records,
            head=walk.head,
            unconfirmed=max(0, walk.head.count - confirmed),
        )


class _Walk:
    """A walk over the log from its beginning to the first fault."""

    def __init__(self, wanted: Sequence[Head]) -> None:
        self._wanted = {head.count: head for head in wanted}
        self.head = NO_RECORDS
        self.records = 0
        self.fault: Fault | None = None
        self.told: Fault | None = None

    def pairs(self, page: Sequence[AuditRecord]) -> Iterable[tuple[Head, AuditRecord]]:
        """Each record with where the log stood before it."""
        for record in page:
            yield self.head, record

    def over(self, checked: Iterable[tuple[AuditRecord, Fault | None]]) -> None:
        """Step over records until one is bad."""
        for record, fault in checked:
            wanted = self._wanted.get(record.number)
            if fault is None and wanted is not None and wanted != record.head:
                fault = rewritten(wanted)
            if fault is not None:
                self.fault = fault
                return
            self.told = self.told or broken_before(record)
            self.head, self.records = record.head, self.records + 1

    def missing(self) -> Fault | None:
        """The fault of a log that ends too early."""
        longest = max(self._wanted, default=0)
        return cut_at(self.head.count + 1, self.head) if self.head.count < longest else None
