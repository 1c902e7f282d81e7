"""Real repositories whose merges are checked by a played coordinator."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from clients.merges_values import (
    CheckState,
    Freeness,
    MergeAction,
    MergeCheckPage,
    MergeCheckView,
    MergeEvent,
    MergeFreedomView,
    MergeRequest,
    MergeVerdict,
    StartedCheck,
)
from foundation.errors import Conflict, NotFound, Unavailable
from merge_guard.git import Git
from merge_guard.repository import open_repository
from merge_guard.rollback import roll_back
from merge_guard.values import Action, Arrival, Kind
from tests.cli.fakes import NOW
from tests.merge_guard.building import NO_FILE

REPOSITORY = "0000000000000000000000repo"

A_CHECK = MergeCheckView(
    id="c1",
    repository=REPOSITORY,
    folder="/home/ann/app",
    project="",
    event=MergeEvent.POST_MERGE,
    branch="main",
    old="a" * 40,
    new="b" * 40,
    state=CheckState.RUNNING,
    progress="make smoke on what came, 2 of 5",
    verdict=None,
    action=None,
    sentence="",
    undo="",
    task="t1",
    created_at=NOW,
    ended_at=None,
    only_report_reason="",
    undone_at=None,
    freedom_reason="",
    evidence=None,
)


def ended(verdict: MergeVerdict, action: MergeAction, **other: Any) -> MergeCheckView:
    """A check that came to this."""
    done = replace(A_CHECK, state=CheckState.ENDED, progress="", verdict=verdict, action=action)
    return replace(done, **{"sentence": "What came of it.", "ended_at": NOW + timedelta(seconds=90), **other})


@dataclass
class PlayedMerges:
    """Checks by id; `course` is what one that is watched goes through."""

    checks: dict[str, MergeCheckView] = field(default_factory=dict)
    course: tuple[MergeCheckView, ...] = ()
    asked: list[MergeRequest] = field(default_factory=list)
    approved: list[tuple[str, str]] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    held: str = ""
    holds: dict[str, str] = field(default_factory=dict)
    recording_fails: bool = False
    interrupt: bool = False

    def put(self, *checks: MergeCheckView) -> None:
        """Have checks, the newest first."""
        self.checks |= {check.id: check for check in checks}

    async def start(self, wanted: MergeRequest) -> StartedCheck:
        """Begin the course."""
        self.asked.append(wanted)
        if self.held:
            raise Conflict("merges_frozen", self.held, remedy="quantum merge approve --reason WHY")
        self.put(replace(A_CHECK, event=wanted.event, folder=wanted.folder))
        return StartedCheck(check=self.checks["c1"], known=False)

    async def watch(self, check_id: str) -> AsyncGenerator[MergeCheckView, None]:
        """Go through the course, with Ctrl-C at its beginning if a test wishes."""
        if self.interrupt:
            signal.raise_signal(signal.SIGINT)
        for check in self.course:
            self.put(check)
            yield check

    async def leave(self, check_id: str) -> MergeCheckView:
        """Only report."""
        self.left.append(check_id)
        return replace(self.checks[check_id], only_report_reason="Whoever waited has gone.")

    async def get(self, check_id: str) -> MergeCheckView:
        """One of them."""
        if check_id not in self.checks:
            raise NotFound("unknown_merge_check", f"There is no merge check {check_id}.")
        return self.checks[check_id]

    async def list(
        self, *, repository: str = "", project: str = "", limit: int = 0, cursor: str = ""
    ) -> MergeCheckPage:
        """Those of a repository."""
        found = [check for check in self.checks.values() if repository in ("", check.repository)]
        return MergeCheckPage(checks=tuple(found[:limit]), next="9" if len(found) > limit else None)

    async def freedom(self, repository: str) -> MergeFreedomView:
        """As `holds` says; another repository is not guarded any more."""
        if repository not in self.holds:
            raise NotFound("unknown_repository", f"There is no guarded repository “{repository}”.")
        reason = self.holds[repository]
        return MergeFreedomView(freedom=Freeness.FROZEN if reason else Freeness.FREE, reason=reason)

    async def approve(self, repository: str, *, reason: str) -> datetime:
        """For an hour."""
        self.approved.append((repository, reason))
        return NOW + timedelta(hours=1)

    async def record_undone(self, check_id: str) -> MergeCheckView:
        """Note it."""
        if self.recording_fails:
            raise Unavailable("unreachable", "The coordinator cannot be reached.")
        self.put(replace(self.checks[check_id], undone_at=NOW, undo=""))
        return self.checks[check_id]


@dataclass(frozen=True, slots=True)
class Repo:
    """A repository with a branch `main` of one commit and a branch `feature` that adds one to it."""

    top: Path

    @classmethod
    def make(cls, top: Path) -> Repo:
        """Make it; `main` is checked out."""
        top.mkdir()
        repo = cls(top)
        repo.git("init", "--quiet", "--initial-branch=main")
        repo.commit("file", "one\n")
        repo.git("switch", "--quiet", "--create", "feature")
        repo.commit("other", "two\n")
        repo.git("switch", "--quiet", "main")
        return repo

    def git(self, *arguments: str) -> str:
        """What git says."""
        who = {f"GIT_{one}_{what}": "ann@example.org" for one in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
        environment = {"PATH": os.environ["PATH"], "GIT_CONFIG_GLOBAL": NO_FILE, "GIT_CONFIG_NOSYSTEM": "1", **who}
        done = subprocess.run(
            ["git", *arguments], cwd=self.top, env=environment, capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    def commit(self, name: str, text: str) -> str:
        """Commit a file."""
        (self.top / name).write_text(text)
        self.git("add", name)
        self.git("commit", "--quiet", "--message", name)
        return self.git("rev-parse", "HEAD")

    def guard(self, workspace: Path) -> None:
        """Name it among the guarded ones of a workspace."""
        (workspace / ".quantum" / "repositories.toml").write_text(
            f'[{REPOSITORY}]\nfolder = "{self.top}"\ncommon_dir = "{self.top}/.git"\n'
        )

    def merge_and_roll_back(self) -> MergeCheckView:
        """Merge `feature`, take it back as the guard does, and return the check that says so."""
        old = self.git("rev-parse", "main")
        self.git("merge", "--quiet", "--no-ff", "--no-edit", "feature")
        new = self.git("rev-parse", "main")
        arrival = Arrival(old=old, new=new, kind=Kind.MERGE, branch="main", pulled=False, commits=1)
        repository = open_repository(self.top)
        done = roll_back(Git(self.top), repository, arrival, check_id="c1", now=NOW, confirm=lambda: "")
        assert done.action is Action.ROLLED_BACK, done.sentence
        return ended(
            MergeVerdict.BAD,
            MergeAction.ROLLED_BACK,
            folder=str(self.top),
            old=old,
            new=new,
            sentence=done.sentence,
            undo="quantum merge undo c1",
            evidence={"kept_ref": done.kept_ref},
        )


def _run(on: str, commit: str, colour: str, **other: object) -> dict[str, object]:
    code = {"green": 0, "red": 2}.get(colour)
    run = {"on": on, "commit": commit * 40, "tree": "7" * 40, "colour": colour, "exit_code": code, "seconds": 0.5}
    return {**run, "why": "", "tail": f"{colour} on {on}\n\tmake: *** [smoke] Error\x1b[2J", **other}


EVIDENCE = {
    "command": ["make", "smoke test"],
    "because": "quantum.toml says so",
    "timeout_seconds": 300,
    "policy": "rollback",
    "kind": "merge",
    "pulled": True,
    "commits": 3,
    "reason": "5 of 5 runs red on what came, 5 of 5 green before it",
    "runs": [run for n in range(5) for run in (_run("new", "b", "red", seconds=0.5 + n), _run("old", "a", "green"))],
    "culprit": {
        "commit": "d" * 40,
        "subject": "Break it",
        "author": "Bob",
        "runs": [_run("candidate", "d", "red", tail=_run("new", "b", "red")["tail"])],
    },
    "kept_ref": "refs/quantum/rollback/20260101-b",
    "proposal": "quantum/without-dddd",
}
