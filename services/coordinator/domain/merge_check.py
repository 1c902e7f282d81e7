"""What a merge check is, and what may become of it: values in, values out."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from services.coordinator.domain.report_document import read_document
from services.coordinator.domain.task import Task, TaskState

QUARANTINE = timedelta(hours=24)
"""How long a commit that was checked is not checked again."""
FREEZE_WITHIN = timedelta(hours=1)
FREEZE_ROLLBACKS = 2
FLAKY_FOR = timedelta(days=30)
APPROVED_FOR = timedelta(hours=1)
FLAKY_MAX = 200
SENTENCE_MAX = 2_000

_COMMIT = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")
_DIGEST = re.compile(r"[0-9a-f]{64}")


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


class Stage(StrEnum):
    """How far a check is, by its task."""

    WAITING = "waiting"
    RUNNING = "running"
    ENDED = "ended"


@dataclass(frozen=True, slots=True, kw_only=True)
class MergeCheck:
    """One check. It is open until `ended_at`; `task_id` is empty for what was only reported.

    `old` and `new` are hints of whoever asked until the attempt has said what it found. `evidence` is the text of a
    JSON object, empty while it is open and where the check broke off.
    """

    id: str
    repository: str
    folder: str
    event: Event
    created_at: datetime
    project: str = ""
    branch: str = ""
    old: str = ""
    new: str = ""
    topic: str = ""
    background: bool = False
    task_id: str = ""
    verdict: Verdict | None = None
    action: Action | None = None
    sentence: str = ""
    evidence: str = ""
    only_report: str = ""
    """Why it changes nothing in the repository; empty: it may."""
    confirmed_at: datetime | None = None
    """When its attempt was last told that it may move the branch."""
    ended_at: datetime | None = None
    undone_at: datetime | None = None
    told: bool = False
    """Nothing of it is to be told to the error budget any more."""

    @property
    def ended(self) -> bool:
        return self.ended_at is not None

    @property
    def undo(self) -> str:
        """The line that brings back what was taken away; empty: nothing was, or it was brought back."""
        is_away = self.action is Action.ROLLED_BACK and self.undone_at is None
        return f"quantum merge undo {self.id}" if is_away else ""

    @property
    def may_have_put_back(self) -> bool:
        """Whether the branch may stand at `old` because of this check: it says so, or was let and says nothing yet.

        A confirmation alone proves nothing: for a proposal, too, one is asked.
        """
        if self.evidence:
            return self.action is Action.ROLLED_BACK and self.undone_at is None
        return self.confirmed_at is not None and self.event is not Event.REQUEST

    @property
    def was_tested(self) -> bool:
        """Whether its commit need not be tested again for a day."""
        return self.evidence != "" and self.verdict is not Verdict.NOTHING_TO_CHECK


def is_commit(text: str) -> bool:
    """Whether this is the whole name of a commit, 40 or 64 hexadecimal digits."""
    return _COMMIT.fullmatch(text) is not None


def params_of(check: MergeCheck, flaky: Mapping[str, str]) -> str:
    """What the agent is told, as JSON; `flaky`: SHA-256 of a command to the ISO time until which it is known to be."""
    return json.dumps(
        {
            "check": check.id,
            "repository": check.repository,
            "folder": check.folder,
            "event": check.event.value,
            "old": check.old,
            "new": check.new,
            "topic": check.topic,
            "background": check.background,
            "only_report": check.only_report,
            "flaky": dict(flaky),
        },
        ensure_ascii=False,
    )


def stage_of(check: MergeCheck, task: Task | None) -> Stage:
    """How far it is."""
    if check.ended:
        return Stage.ENDED
    runs = task is not None and task.state in (TaskState.RUNNING, TaskState.PAUSED)
    return Stage.RUNNING if runs else Stage.WAITING


def known_among(
    checks: Sequence[MergeCheck], *, event: Event, folder: str, new: str, topic: str, now: datetime
) -> MergeCheck | None:
    """Of a repository's checks that concern a commit, and its open ones, the one that makes another needless.

    A request for a merge is known while one for the same topic in the same work tree is open. Anything else is known
    while its commit is being checked, for a day after it was, and for ever once a person has brought it back. An open
    one that somebody has left makes no other needless for whoever waits.
    """
    for check in checks:
        if event is Event.REQUEST:
            same = check.event is Event.REQUEST and check.folder == folder and check.topic == topic
            if same and not check.ended and not check.only_report:
                return check
        elif check.event is Event.REQUEST and not check.ended:
            continue  # it has not made its commit yet
        elif new and check.new == new and _makes_needless(check, event, now):
            return check
    return None


def _makes_needless(check: MergeCheck, event: Event, now: datetime) -> bool:
    if check.undone_at is not None:
        return True
    if not check.ended:
        # What only reports is no answer to somebody who waits for more. The reconcile pass is nobody who waits.
        if check.event is Event.POST_REWRITE or event is Event.POST_REWRITE:
            return event is Event.POST_REWRITE
        return event is Event.RECONCILE or not check.only_report
    return check.was_tested and now - check.created_at < QUARANTINE


# -- its end


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What an attempt's report says, once it is found to say it."""

    verdict: Verdict
    action: Action
    sentence: str
    branch: str
    old: str
    new: str
    flaky_command: str
    text: str


def read_report(text: str, check: MergeCheck) -> Told | str:
    """What a report says of this check, or what is wrong with it as the end of a sentence."""
    try:
        document = read_document(text)
    except (ValueError, RecursionError):
        return "is not JSON"
    if not isinstance(document, dict) or document.get("type") != "merge-check":
        return "is not one of a merge check"
    data = document.get("data")
    if not isinstance(data, dict):
        return "holds no evidence"
    if data.get("check") != check.id:
        return "is of another check"
    texts = {name: data.get(name, "") for name in ("sentence", "branch", "old", "new", "verdict", "action")}
    if wrong := [name for name, value in texts.items() if not isinstance(value, str)]:
        return f"has no text as its {wrong[0]}"
    if texts["verdict"] not in list(Verdict) or texts["action"] not in list(Action):
        return f"knows a verdict “{texts['verdict'][:40]}” and an action “{texts['action'][:40]}”, which are none"
    if wrong := [name for name in ("old", "new") if texts[name] and not is_commit(texts[name])]:
        return f"names as {wrong[0]} what is no commit"
    verdict, action = Verdict(texts["verdict"]), Action(texts["action"])
    if action is Action.ROLLED_BACK and verdict is not Verdict.BAD:
        return f"tells of a rollback after the verdict {verdict}"
    command = data.get("flaky_command") or ""
    return Told(
        verdict=verdict,
        action=action,
        sentence=texts["sentence"][:SENTENCE_MAX] or f"It is {verdict.replace('_', ' ')}.",
        branch=texts["branch"],
        old=texts["old"],
        new=texts["new"],
        flaky_command=command if isinstance(command, str) and _DIGEST.fullmatch(command) else "",
        text=json.dumps(data, ensure_ascii=False),
    )


def conclude(check: MergeCheck, told: Told, *, now: datetime) -> MergeCheck:
    """The check has ended as its attempt says."""
    counts = check.project != "" and told.verdict in (Verdict.GOOD, Verdict.BAD)
    return replace(
        check,
        verdict=told.verdict,
        action=told.action,
        sentence=told.sentence,
        branch=told.branch or check.branch,
        old=told.old or check.old,
        new=told.new or check.new,
        evidence=told.text,
        ended_at=now,
        told=not counts,
    )


def break_off(check: MergeCheck, why: str, *, now: datetime) -> MergeCheck:
    """The check has ended without a finding; `why` is a sentence."""
    if check.confirmed_at is not None:
        why = f"{why} Its attempt had been let move the branch: `quantum merge doctor` says whether it did."
    return replace(
        check,
        verdict=Verdict.INCONCLUSIVE,
        action=Action.NONE,
        sentence=f"Not checked to the end: {why}"[:SENTENCE_MAX],
        ended_at=now,
        told=True,
    )


def why_ended(task: Task | None) -> str:
    """Why a task has left its check without a finding, as a sentence."""
    if task is None:
        return "its task is gone."
    how = "has ended" if task.state is TaskState.SUCCEEDED else f"is {task.state.value.replace('_', ' ')}"
    said = f"task {task.id} {how}{'. ' + task.reason if task.reason else ' and has left no finding.'}"
    return f"{said} `quantum logs {task.id}` shows what it wrote." if task.attempt else said


def with_flaky(known: Mapping[str, str], command: str, *, now: datetime) -> Mapping[str, str]:
    """Until when which commands are known to be flaky: without those whose time is over, with one more ("": none)."""
    kept = {digest: until for digest, until in known.items() if datetime.fromisoformat(until) > now}
    if command:
        kept[command] = (now + FLAKY_FOR).isoformat()
    return dict(sorted(kept.items(), key=lambda item: item[1])[-FLAKY_MAX:])
