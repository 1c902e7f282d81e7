"""The audit log, as it is asked for and shown."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import Field

from gateway.schemas.base import Output, Query
from gateway.schemas.requests import Moment


class AuditQuery(Query):
    """From when on, and how many."""

    since: Moment | None = Field(default=None, description="Absent: from the beginning.")
    limit: Annotated[int, Field(ge=1, le=1_000)] = 100
    cursor: Annotated[str, Field(max_length=18, pattern=r"^[0-9]*$")] = Field(
        default="", description="`next` of the page before."
    )


class AuditRecord(Output):
    """One privileged act."""

    number: int = Field(description="Its place in the log, from 1, without a gap.")
    at: datetime
    actor: str = Field(description="Name of the token; `safety` for what safety does by itself.")
    actor_id: str | None = Field(description="Id of the token; null: none.")
    source: str = Field(description="Where the call came from.")
    act: str = Field(description="Stable, snake_case.")
    target: str
    before: str | None
    after: str | None
    reason: str | None
    digest: str = Field(description="SHA-256 over the digest before it and its content.")


class AuditPage(Output):
    """Records, newest first."""

    records: list[AuditRecord]
    next: str | None = Field(description="Cursor of the next page; null: there is none.")


class AuditFault(Output):
    """The first thing that is wrong with the log."""

    number: int = Field(description="The first bad record; 0: the checkpoint itself.")
    kind: str
    sentence: str


class AuditVerdict(Output):
    """Whether the log is as it was written."""

    good: bool
    fault: AuditFault | None
    records: int
    head: str = Field(description="Digest of the last record; kept elsewhere, it shows a log replaced as a whole.")
    unconfirmed: int = Field(description="Records beyond the checkpoint, which follows them.")
