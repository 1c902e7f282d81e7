"""What the client of merge checks asks for and gets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class MergeEvent(StrEnum):
    """Who says that something came: a hook of that name, the reconcile pass, or a person who asks for a merge."""

    POST_MERGE = "post-merge"
    POST_COMMIT = "post-commit"
    POST_REWRITE = "post-rewrite"
    RECONCILE = "reconcile"
    REQUEST = "request"


class CheckState(StrEnum):
    """How far a check is."""

    WAITING = "waiting"
    RUNNING = "running"
    ENDED = "ended"


class MergeVerdict(StrEnum):
    """What a check found."""

    GOOD = "good"
    BAD = "bad"
    FLAKY = "flaky"
    PRE_EXISTING = "pre_existing"
    INCONCLUSIVE = "inconclusive"
    NOTHING_TO_CHECK = "nothing_to_check"


class MergeAction(StrEnum):
    """What was done about it."""

    NONE = "none"
    ROLLED_BACK = "rolled_back"
    PROPOSED = "proposed"
    REPORTED = "reported"
    REFUSED = "refused"
    MERGED = "merged"


class Freeness(StrEnum):
    """Whether something may be merged into a repository by `quantum merge`."""

    FREE = "free"
    APPROVAL = "approval"
    FROZEN = "frozen"


@dataclass(frozen=True, slots=True, kw_only=True)
class MergeCheckView:
    """A merge check as it stands; `coordinator/v1/merges.proto` says what each field is.

    `verdict` and `action` are None until it has ended. `evidence` is the JSON object of docs/merge-guard.md, None in
    lists and until it has ended. `freedom_reason` and `progress` are empty in lists, too.
    """

    id: str
    repository: str
    folder: str
    project: str
    event: MergeEvent | None
    branch: str
    old: str
    new: str
    state: CheckState
    progress: str
    verdict: MergeVerdict | None
    action: MergeAction | None
    sentence: str
    undo: str
    task: str
    created_at: datetime | None
    ended_at: datetime | None
    only_report_reason: str
    undone_at: datetime | None
    freedom_reason: str
    evidence: Mapping[str, object] | None

    @property
    def ended(self) -> bool:
        """Whether nothing more comes."""
        return self.state is CheckState.ENDED


@dataclass(frozen=True, slots=True, kw_only=True)
class MergeRequest:
    """What is to be checked. `old` and `new` are hints and may be empty; `topic` is for `MergeEvent.REQUEST` alone."""

    repository: str
    folder: str
    event: MergeEvent
    old: str = ""
    new: str = ""
    topic: str = ""
    background: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class StartedCheck:
    """The check that was asked for; `known`: it was there already."""

    check: MergeCheckView
    known: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class MergeCheckPage:
    """Checks, the newest first; `next` is the cursor of the page behind this one, None at the end."""

    checks: tuple[MergeCheckView, ...]
    next: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Confirmation:
    """Whether a check may move the branch; `reason` says why not."""

    may_move: bool
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MergeFreedomView:
    """Whether merges into a repository are free; `reason` says why they are not."""

    freedom: Freeness
    reason: str
