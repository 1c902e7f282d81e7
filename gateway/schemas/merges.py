"""Merge checks, as hooks and people ask for them and as they are shown."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal, cast

from pydantic import ConfigDict, Field

from gateway.schemas.base import Input, Output, Query
from gateway.schemas.documented import TEXT

_STARTED = "The check; for `Accept: text/plain` two lines: its id, and a sentence."
_ID = r"^[0-9a-z][0-9a-z_-]{0,63}$"

RepositoryId = Annotated[str, Field(pattern=_ID, description="As `quantum hooks install` named it.")]
Folder = Annotated[
    str, Field(pattern=r"^/[^\x00-\x1f\x7f]{0,4095}$", description="The work tree where it happened, absolute.")
]
CommitHint = Annotated[
    str,
    Field(
        pattern=r"^([0-9a-f]{40}|[0-9a-f]{64})?$",
        description="A hint, may be empty: it is read again from the repository.",
    ),
]


class HookCall(Input):
    """What a git hook says of what came."""

    repository: RepositoryId
    folder: Folder
    event: Literal["post-merge", "post-commit", "post-rewrite"] = Field(description="The hook's own name.")
    old: CommitHint = ""
    new: CommitHint = ""
    background: bool = Field(default=False, description="Nobody waits: rolled back only if nothing has moved since.")


class WantedMerge(Input):
    """A merge that a person asks for: made and tested apart from the repository, then the branch is moved."""

    repository: RepositoryId
    folder: Folder
    topic: Annotated[
        str, Field(pattern=r"^[^\x00-\x20\x7f-][^\x00-\x20\x7f]{0,254}$", description="A branch or a commit.")
    ]


class FoundCommits(Input):
    """The commits that a check has found."""

    old: Annotated[str, Field(pattern=r"^([0-9a-f]{40}|[0-9a-f]{64})$", description="Before the merge.")]
    new: Annotated[str, Field(pattern=r"^([0-9a-f]{40}|[0-9a-f]{64})$", description="After it.")]


class Approval(Input):
    """A person's approval of the next merge into a repository."""

    repository: RepositoryId
    reason: Annotated[str, Field(min_length=1, max_length=500, description="Kept, and in the audit log.")]


class CheckPath(Query):
    """The address of a merge check."""

    check_id: Annotated[str, Field(pattern=_ID)]


class CheckQuery(Query):
    """Which checks, and how many."""

    repository: Annotated[str, Field(pattern=_ID)] | None = None
    project: Annotated[str, Field(min_length=1, max_length=100)] | None = None
    limit: Annotated[int, Field(ge=1, le=1_000)] = 100
    cursor: Annotated[str, Field(max_length=2_000)] = Field(default="", description="`next` of the page before.")


class FreedomQuery(Query):
    """Which repository."""

    repository: RepositoryId


class MergeCheck(Output):
    """A check of what a merge brought."""

    id: str
    repository: str
    folder: str
    project: str | None = Field(description="Null: the folder is in no project.")
    event: str | None = Field(description="post-merge, post-commit, post-rewrite, reconcile or request.")
    branch: str | None = Field(description="Null: HEAD is detached, or it is not read yet.")
    old: str | None = Field(description="The commit before; null until it is known.")
    new: str | None = Field(description="The commit after; null until it is known.")
    state: str = Field(description="waiting, running or ended.")
    progress: str | None = Field(description="What is being done, as a sentence; null once it has ended.")
    verdict: str | None = Field(
        description="good, bad, flaky, pre_existing, inconclusive or nothing_to_check; null until it has ended."
    )
    action: str | None = Field(
        description="none, rolled_back, proposed, reported, refused or merged; null until it has ended."
    )
    sentence: str | None = Field(description="What came of it, for people.")
    undo: str | None = Field(description="The line that brings back what was taken away; null: there is nothing.")
    task: str | None = Field(description="The task that does it.")
    created_at: datetime | None
    ended_at: datetime | None
    only_report_reason: str | None = Field(description="Why it changes nothing in the repository; null: it may.")
    undone_at: datetime | None = Field(description="When a person has brought back what it took away.")
    freedom_reason: str | None = Field(
        description="What merges into this repository are held by; null: nothing. Only in GET /merges/<id>."
    )
    evidence: dict[str, Any] | None = Field(
        description="What was run on which commit and how it ended (docs/merge-guard.md). Only in GET /merges/<id>,"
        " once it has ended."
    )


class OneCheck(Output):
    """A merge check."""

    check: MergeCheck


class StartedCheck(Output):
    """The check that was asked for."""

    model_config = cast(ConfigDict, {"strict": True, "openapi_extra": {"description": _STARTED, "content": TEXT}})

    check: MergeCheck
    known: bool = Field(description="It was there already.")


class MergeChecks(Output):
    """A page of merge checks, the newest first."""

    checks: list[MergeCheck]
    next: str | None = Field(description="The cursor of the next page; null: this is the last one.")


class Confirmation(Output):
    """Whether a check may move the branch."""

    may_move: bool
    reason: str = Field(description="Why not; empty when it may.")


class Freedom(Output):
    """Whether merges that a person asks for are free."""

    freedom: Literal["free", "approval", "frozen"]
    reason: str | None = Field(description="Why they are not; null: they are.")


class Approved(Output):
    """An approval."""

    until: datetime | None = Field(description="Until when the next merge may be made.")
