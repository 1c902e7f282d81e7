"""The words of the merge guard, as values."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path


class Event(StrEnum):
    """Who says that something came: a hook of that name, the reconcile pass, or a person who asks for a merge."""

    POST_MERGE = "post-merge"
    POST_COMMIT = "post-commit"
    POST_REWRITE = "post-rewrite"
    RECONCILE = "reconcile"
    REQUEST = "request"


class Verdict(StrEnum):
    """What a check finds."""

    GOOD = "good"
    BAD = "bad"
    FLAKY = "flaky"
    PRE_EXISTING = "pre_existing"
    INCONCLUSIVE = "inconclusive"
    NOTHING_TO_CHECK = "nothing_to_check"


class Action(StrEnum):
    """What was done about it."""

    NONE = "none"
    ROLLED_BACK = "rolled_back"
    PROPOSED = "proposed"
    REPORTED = "reported"
    REFUSED = "refused"
    MERGED = "merged"


class Policy(StrEnum):
    """What a repository wishes to be done about a merge that is proved bad."""

    ROLLBACK = "rollback"
    PROPOSE = "propose"
    REPORT = "report"


class Kind(StrEnum):
    """How it came, by HEAD's reflog and the parents of `new`."""

    MERGE = "merge"
    FAST_FORWARD = "fast_forward"


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """What came: the tip before and after, as hex object names, read from the repository itself."""

    old: str
    new: str
    kind: Kind
    branch: str
    """Short name; empty: HEAD is detached."""
    pulled: bool
    """It came by `git pull`."""
    commits: int
    """First-parent commits in `old..new`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Nothing:
    """Nothing is to be checked, and why, as a sentence."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SmokeTest:
    """What is run in a checkout's root, taken from the tree before the merge."""

    argv: tuple[str, ...]
    because: str
    timeout_seconds: float
    policy: Policy
    branches: tuple[str, ...] = ()
    """Protected ones; empty: the branch on which it happens."""


class Colour(StrEnum):
    """How one run of a test ended."""

    GREEN = "green"
    RED = "red"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One run of the test on one commit's tree. `why` says why a colour is unknown; `tail` is the output's end."""

    commit: str
    tree: str
    colour: Colour
    exit_code: int | None
    seconds: float
    why: str = ""
    tail: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Culprit:
    """The first bad one of the first-parent commits that came."""

    commit: str
    subject: str
    author: str
    runs: tuple[Run, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What the runs prove, before anything is done about it."""

    verdict: Verdict
    reason: str
    runs: tuple[Run, ...] = ()
    culprit: Culprit | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What was done about a finding."""

    action: Action
    sentence: str
    kept_ref: str = ""
    """`refs/quantum/rollback/…`, which holds what was taken away."""
    proposal: str = ""
    """The branch that was prepared."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Repository:
    """A work tree and its repository; `common_dir` is shared by its linked work trees, `git_dir` is its own."""

    top: Path
    git_dir: Path
    common_dir: Path
