"""The audit log as plain values."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditRecordView:
    """One privileged act in its place in the log. `actor_id` is the token's, empty for safety itself."""

    number: int
    at: datetime
    actor: str
    actor_id: str
    source: str
    act: str
    target: str
    before: str
    after: str
    reason: str
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditPage:
    """Records, newest first; `next` is the cursor of the page behind, None without one."""

    records: tuple[AuditRecordView, ...]
    next: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditFault:
    """The first thing that is wrong; `number` 0 is the checkpoint itself."""

    number: int
    kind: str
    sentence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditVerdict:
    """What a check of the whole log found; `fault` None: nothing was changed. `unconfirmed`: beyond the checkpoint."""

    fault: AuditFault | None
    records: int
    head: str
    unconfirmed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ToldAct:
    """A privileged act that is told to safety, under an id that is the same when it is told again."""

    id: str
    at: datetime
    actor: str
    actor_id: str
    source: str
    act: str
    target: str
    before: str = ""
    after: str = ""
    reason: str = ""
