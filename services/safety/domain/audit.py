"""The audit log as values: entries, sealed records in a chain, the checkpoint apart, and what is wrong with them."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from foundation.tokens import mask

TEXT_MAX = 2_000
"""Characters of one text of an entry; the rest is cut, and the cut is marked."""
KEY_BYTES = 32
GENESIS = "0" * 64
AUDIT_BROKEN = "audit_broken"
"""The act of the record that safety writes when it finds at its start that the log was changed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """Who acted: name and id of the token, and where the act came from. `token_id` is empty for safety itself."""

    name: str
    token_id: str = ""
    source: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """One privileged act. `told` is the id under which another service told it, empty for safety's own."""

    at: datetime
    actor: Actor
    act: str
    target: str
    before: str = ""
    after: str = ""
    reason: str = ""
    told: str = ""

    def safe(self) -> AuditEntry:
        """The entry as it is kept: no text is longer than the bound, none holds a token."""
        return AuditEntry(
            at=self.at,
            actor=Actor(
                name=_kept(self.actor.name), token_id=_kept(self.actor.token_id), source=_kept(self.actor.source)
            ),
            act=_kept(self.act),
            target=_kept(self.target),
            before=_kept(self.before),
            after=_kept(self.after),
            reason=_kept(self.reason),
            told=self.told,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """The end of the log: the number and the digest of its last record."""

    count: int = 0
    digest: str = GENESIS


NO_RECORDS = Head()


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditRecord:
    """An entry in its place. `digest` is over the one before and the content, `seal` over the digest, under a key."""

    number: int
    entry: AuditEntry
    previous: str
    digest: str
    seal: str

    @property
    def head(self) -> Head:
        """The log's end when this is its last record."""
        return Head(count=self.number, digest=self.digest)


class FaultKind(StrEnum):
    """What can be wrong with the log."""

    MISSING = "missing"
    CHANGED = "changed"
    FORGED = "forged"
    MISPLACED = "misplaced"
    CUT = "cut"
    CHECKPOINT = "checkpoint"
    BROKEN_BEFORE = "broken_before"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """The first thing that is wrong. `number` is the first bad record's, 0 when it is the checkpoint itself."""

    number: int
    kind: FaultKind
    sentence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """What is kept apart from the log: its end, and a MAC over it."""

    head: Head
    mac: str

    def genuine(self, key: bytes) -> bool:
        """Whether the MAC was made with the key."""
        return hmac.compare_digest(self.mac, checkpoint_of(self.head, key).mac)


def chain(head: Head, entries: Iterable[AuditEntry], key: bytes) -> Iterator[AuditRecord]:
    """The records that the entries become behind `head`."""
    for entry in entries:
        record = _seal(head, entry.safe(), key)
        yield record
        head = record.head


def seal_of(digest: str, key: bytes) -> str:
    """The seal of a record, over its digest."""
    return _mac(key, f"record {digest}")


def checkpoint_of(head: Head, key: bytes) -> Checkpoint:
    """The checkpoint that says where the log ends."""
    return Checkpoint(head=head, mac=_mac(key, f"checkpoint {head.count} {head.digest}"))


def fault_in(record: AuditRecord, before: Head, key: bytes) -> Fault | None:
    """What is wrong with the record that stands behind `before`; None when it is as it was written.

    Of a row that was moved, taken out or put in, the first place where the log differs from what was written is named.
    """
    expected = before.count + 1
    if record.number > expected:
        return _fault(expected, FaultKind.MISSING, f"Record {expected} is missing; the next one is {record.number}.")
    if record.number < expected:
        return _fault(record.number, FaultKind.MISPLACED, f"Record {record.number} stands where {expected} belongs.")
    if record.digest != _digest(record.number, record.previous, record.entry):
        return _fault(expected, FaultKind.CHANGED, f"Record {expected} is not what was written: its content differs.")
    if not hmac.compare_digest(record.seal, seal_of(record.digest, key)):
        return _fault(expected, FaultKind.FORGED, f"Record {expected} was not written by safety: its seal is wrong.")
    if record.previous != before.digest:
        return _fault(expected, FaultKind.MISPLACED, f"Record {expected} does not follow the one before it.")
    return None


def cut_at(number: int, end: Head) -> Fault:
    """The fault of a log that ends before the checkpoint says it does; `number` is the first that is not there."""
    return _fault(number, FaultKind.CUT, f"The log was cut: record {number} is missing, it ended with {end.count}.")


def rewritten(head: Head) -> Fault:
    """The fault of a log whose record at the checkpoint is another one."""
    return _fault(head.count, FaultKind.FORGED, f"Record {head.count} is not the one that the checkpoint names.")


def checkpoint_fault(said: str) -> Fault:
    """The fault of a checkpoint that is missing or not ours."""
    return _fault(0, FaultKind.CHECKPOINT, said)


def broken_before(record: AuditRecord) -> Fault | None:
    """The fault that a record tells of: safety found the log broken when it started, and said so."""
    if record.entry.act != AUDIT_BROKEN:
        return None
    number = int(record.entry.target) if record.entry.target.isdigit() else 0
    return _fault(number, FaultKind.BROKEN_BEFORE, f"{record.entry.reason} (found earlier, record {record.number})")


def _seal(head: Head, entry: AuditEntry, key: bytes) -> AuditRecord:
    number = head.count + 1
    digest = _digest(number, head.digest, entry)
    return AuditRecord(number=number, entry=entry, previous=head.digest, digest=digest, seal=seal_of(digest, key))


def _digest(number: int, previous: str, entry: AuditEntry) -> str:
    actor = entry.actor
    content = (
        number,
        entry.at.isoformat(timespec="microseconds"),
        *(actor.name, actor.token_id, actor.source),
        *(entry.act, entry.target, entry.before, entry.after, entry.reason, entry.told),
    )
    canonical = json.dumps([previous, *content], ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def _mac(key: bytes, text: str) -> str:
    return hmac.new(key, f"quantum audit 1 {text}".encode(), hashlib.sha256).hexdigest()


def _kept(text: str) -> str:
    text = mask(text)
    return text if len(text) <= TEXT_MAX else text[: TEXT_MAX - 1] + "…"


def _fault(number: int, kind: FaultKind, sentence: str) -> Fault:
    return Fault(number=number, kind=kind, sentence=sentence)
