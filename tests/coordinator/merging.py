"""Merge checks on a store and a clock in hand; the test plays git, safety and the attempt."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from foundation.errors import NotFound, Unavailable
from foundation.ids import SystemIds
from foundation.repositories import GuardedRepository
from services.coordinator.app.attachments import Attachment
from services.coordinator.app.explain import Explain
from services.coordinator.app.log import ReadLog
from services.coordinator.app.merges_guard import MergeGuard
from services.coordinator.app.merges_start import Asked, Started
from services.coordinator.domain.agent import AgentSpec
from services.coordinator.domain.merge_check import Event, MergeCheck
from services.coordinator.domain.merge_freedom import FREE, Freedom
from services.coordinator.domain.merge_moves import Move, Note
from services.coordinator.domain.task import Task
from services.coordinator.ports import Store
from services.coordinator.ports_merges import WorkTree
from tests.coordinator.fleet import Fleet, ended, granted, sent, started

A, B, C, D = (letter * 40 for letter in "abcd")
CHECK_AGENT = AgentSpec(
    name="merge-check", script="/agents/merge-check.py", builtin="merge-check.py", timeout=timedelta(hours=1)
)
R = GuardedRepository(id="r", folder=Path("/repo"), common_dir=Path("/repo/.git"), project="HabitQuest")


@dataclass
class PlayedRepositories:
    """Git by hand."""

    by_id: dict[str, GuardedRepository] = field(default_factory=lambda: {"r": R})
    trees: dict[Path, WorkTree] = field(default_factory=lambda: {R.folder: WorkTree(R.common_dir, B, "main")})
    branches: dict[str, str] = field(default_factory=lambda: {"main": A})
    reflog: list[Move] = field(default_factory=list)
    noted: list[Note] = field(default_factory=list)
    away: bool = False

    async def guarded(self) -> Mapping[str, GuardedRepository]:
        return self.by_id

    async def look(self, folder: Path, repository: GuardedRepository) -> WorkTree:
        self._reach()
        if folder not in self.trees:
            raise NotFound("no_folder", f"{folder} is no folder on this host.")
        return self.trees[folder]

    async def work_trees(self, repository: GuardedRepository) -> Mapping[Path, WorkTree]:
        self._reach()
        return {at: tree for at, tree in self.trees.items() if tree.common_dir == repository.common_dir}

    async def tips(self, repository: GuardedRepository, seen: Mapping[str, str]) -> Mapping[str, str]:
        self._reach()
        return dict(self.branches)

    async def moves(self, repository: GuardedRepository, branch: str, *, limit: int) -> Sequence[Move]:
        self._reach()
        return self.reflog[:limit]

    async def notes(self, repository: GuardedRepository) -> Sequence[Note]:
        return list(self.noted)

    async def forget(self, repository: GuardedRepository) -> None:
        self.noted.clear()

    def move(self, to: str, message: str) -> None:
        """The branch moves, and git writes it down."""
        self.branches["main"] = to
        self.trees[R.folder] = WorkTree(R.common_dir, to, "main")
        self.reflog.insert(0, Move(to, message))

    def _reach(self) -> None:
        if self.away:
            raise Unavailable("git_failed", "git does not answer.")


@dataclass
class PlayedSafety:
    """What safety says of merges, and what it was told; it counts each check once."""

    now: str = "NORMAL"
    standing: Freedom = FREE
    away: bool = False
    told: list[tuple[str, str, bool]] = field(default_factory=list)

    async def mode(self) -> str:
        self._reach()
        return self.now

    async def budgets(self, project: str) -> Freedom:
        self._reach()
        return self.standing

    async def record(self, project: str, check_id: str, *, bad: bool) -> None:
        self._reach()
        self.told.append((project, check_id, bad))

    def _reach(self) -> None:
        if self.away:
            raise Unavailable("safety_away", "Safety does not answer.")


class Merging:
    """A coordinator with one runner, which has two places for checks."""

    def __init__(self, folder: Path, store: Store) -> None:
        self.fleet = Fleet(folder, store)
        self.fleet.catalogue.specs["merge-check"] = CHECK_AGENT
        self.store, self.clock = store, self.fleet.clock
        self.repositories, self.safety = PlayedRepositories(), PlayedSafety()
        self.runner: Attachment | None = None
        self.disk_short = ""
        self.restart()

    def restart(self) -> None:
        """A new coordinator's part on the same store: nothing but the store is remembered."""
        fleet = self.fleet
        explain = Explain(self.store, fleet.catalogue, fleet.dispatch, fleet.services, clock=self.clock)
        self.read_log = ReadLog(self.store, fleet.changes, fleet.dispatch)
        self.guard = MergeGuard(
            self.store,
            fleet.catalogue,
            fleet.changes,
            self.repositories,
            self.safety,
            explain,
            self.read_log,
            fleet.attachments,
            disk_short=lambda: self.disk_short,
            ids=SystemIds(self.clock),
            clock=self.clock,
        )

    async def start(self, new: str = B, event: Event = Event.POST_MERGE, **changes: Any) -> Started:
        """Ask for a check."""
        values: dict[str, Any] = {"repository": "r", "folder": "/repo", "event": event, "old": A, "new": new}
        self.clock.advance(timedelta(milliseconds=1))
        return await self.guard.start(Asked(**values | changes), "hooks")

    async def check(self, check: MergeCheck | Started | str) -> MergeCheck:
        """A check as it stands."""
        id_ = check if isinstance(check, str) else check.check.id if isinstance(check, Started) else check.id
        found = await self.store.read(lambda tx: tx.check(id_))
        assert found is not None
        return found

    async def checks(self) -> list[MergeCheck]:
        """All, oldest first."""
        found = await self.store.read(lambda tx: tx.checks_page(repository="", project="", before_id="", limit=999))
        return list(found)[::-1]

    async def task(self, check: MergeCheck) -> Task:
        """The task of a check."""
        found = await self.store.read(lambda tx: tx.task(check.task_id))
        assert found is not None
        return found

    async def begin(self, check: MergeCheck) -> Task:
        """Its attempt runs; as the runner was told of it."""
        if self.runner is None:
            self.runner = await self.fleet.runner("one", capacity=10, checks_max=2)
        await self.fleet.round()
        found = [task for task in granted(sent(self.runner)) if task.id == check.task_id]
        assert found, f"check {check.id} was not leased"
        await self.fleet.tell(self.runner, started(found[0], self.clock.now()))
        return await self.task(check)

    async def end(self, check: MergeCheck, report: str, *, code: int = 0) -> MergeCheck:
        """Its attempt ends with this report."""
        task = await self.task(check)
        assert self.runner is not None
        await self.fleet.tell(self.runner, ended(task, self.clock.now(), code=code, report=report))
        return await self.check(check)

    async def run(self, check: MergeCheck, verdict: str = "good", action: str = "none", **data: Any) -> MergeCheck:
        """From its lease to its end."""
        await self.begin(check)
        return await self.end(check, report_of(check, verdict, action, **data))

    async def rolled_back(self, new: str) -> MergeCheck:
        """A check that has taken its merge back."""
        return await self.run((await self.start(new)).check, "bad", "rolled_back", new=new)


def report_of(check: MergeCheck, verdict: str = "good", action: str = "none", **data: Any) -> str:
    """What the agent writes."""
    evidence = {"check": check.id, "old": A, "new": check.new, "branch": "main", "sentence": "So it is."}
    evidence |= {"verdict": verdict, "action": action, **data}
    return json.dumps({"type": "merge-check", "project": "HabitQuest", "summary": "", "data": evidence})
