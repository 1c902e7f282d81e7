"""Looks again and again whether a protected branch has moved without a check, and has that checked or told."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path

from foundation.clock import Clock
from foundation.errors import QuantumError, Unavailable
from foundation.ids import Ids
from foundation.log import get_logger
from foundation.repositories import GuardedRepository
from services.coordinator.app import merges_facts as facts
from services.coordinator.app.merges_alerts import tell_of_thaw
from services.coordinator.app.merges_start import ABOUT_MAX, Asked, StartCheck
from services.coordinator.domain.merge_check import Action, Event, MergeCheck, Verdict
from services.coordinator.domain.merge_moves import How, Judgement, Note, judge
from services.coordinator.ports import Store, StoreTransaction
from services.coordinator.ports_merges import Repositories

REFLOG_MAX = 500
BRANCHES_MAX = 200
CALLER = "coordinator"
_log = get_logger("coordinator")


class Reconcile:
    """A repository that is seen for the first time is only remembered. What cannot be looked at now is next time."""

    def __init__(self, store: Store, repositories: Repositories, start: StartCheck, *, ids: Ids, clock: Clock) -> None:
        self._store = store
        self._repositories = repositories
        self._start = start
        self._ids = ids
        self._clock = clock
        self._faults: dict[str, str] = {}

    async def step(self) -> None:
        """One look at every guarded repository."""
        for repository in (await self._repositories.guarded()).values():
            try:
                await self._thaw(repository)
                await self._notes(repository)
                await self._tips(repository)
            except QuantumError as error:
                self._tell_fault(repository, error)
            else:
                self._faults.pop(repository.id, None)

    def _tell_fault(self, repository: GuardedRepository, error: QuantumError) -> None:
        """By its code, for a sentence may hold figures that change."""
        if self._faults.get(repository.id) != error.code:
            self._faults[repository.id] = error.code
            said = f"Repository {repository.id} is not watched just now: {error.message}"
            _log.warning(said, action="merge_not_watched")

    async def _thaw(self, repository: GuardedRepository) -> None:
        if await self._store.read(lambda tx: facts.freeze_was_told(tx, repository.id)):
            await self._store.write(partial(tell_of_thaw, repository=repository.id, now=self._clock.now()))

    # -- what hooks have noted

    async def _notes(self, repository: GuardedRepository) -> None:
        notes = await self._repositories.notes(repository)
        trees = await self._repositories.work_trees(repository) if notes else {}
        for note in dict.fromkeys(notes):
            at = (folder for folder, tree in trees.items() if tree.head == note.new)
            await self._take(repository, next(at, repository.folder), note)
        if notes:
            await self._repositories.forget(repository)

    async def _take(self, repository: GuardedRepository, folder: Path, note: Note) -> None:
        if note.event == Event.POST_REWRITE:
            return  # the branch has moved, and is told for that
        try:
            await self._check(repository, folder, note.old, note.new)
        except Unavailable:
            raise
        except QuantumError as error:
            _log.warning(f"What a hook had noted is not checked: {error.message}", action="merge_note_dropped")

    async def _check(self, repository: GuardedRepository, folder: Path, old: str, new: str) -> None:
        asked = Asked(
            repository=repository.id,
            folder=str(folder),
            event=Event.RECONCILE,
            old=old,
            new=new,
            background=True,
        )
        started = await self._start(asked, CALLER)
        if not started.known:
            said = f"What came into {repository.id} had not been checked; check {started.check.id} does it now."
            _log.info(said, action="merge_reconciled", check=started.check.id)

    # -- where the branches are

    async def _tips(self, repository: GuardedRepository) -> None:
        known = await self._store.read(lambda tx: facts.tips(tx, repository.id))
        tips = await self._repositories.tips(repository, known or {})
        seen = dict(known or tips)
        try:
            for branch, tip in tips.items() if known is not None else ():
                if seen.get(branch, tip) != tip:
                    await self._moved(repository, branch, seen, tip)
                seen.pop(branch, None)
                seen[branch] = tip
        finally:
            if seen != known:
                kept = dict(list(seen.items())[-BRANCHES_MAX:])
                await self._store.write(partial(facts.remember_tips, repository=repository.id, seen=kept))

    async def _moved(self, repository: GuardedRepository, branch: str, seen: Mapping[str, str], tip: str) -> None:
        old = seen[branch]
        if await self._store.read(lambda tx: _is_known(tx, repository.id, tip)):
            return
        moves = await self._repositories.moves(repository, branch, limit=REFLOG_MAX)
        judged = judge(moves, old, tip)
        if judged.how is How.NOTHING:
            return
        if judged.how is How.ARRIVED and judged.new == tip:
            trees = await self._repositories.work_trees(repository)
            at = next((folder for folder, tree in trees.items() if tree.branch == branch), None)
            if at is not None:
                await self._check(repository, at, judged.old, judged.new)
                return
        if judged.how is How.ARRIVED and await self._store.read(lambda tx: _is_known(tx, repository.id, judged.new)):
            return
        report = self._report(repository, branch, judged)
        after = {**seen, branch: tip}
        await self._store.write(lambda tx: _tell(tx, report, after))
        _log.warning(f"{repository.id}: {report.sentence}", action="merge_unchecked", check=report.id)

    def _report(self, repository: GuardedRepository, branch: str, judged: Judgement) -> MergeCheck:
        now = self._clock.now()
        way = f"by “{judged.why[:200]}”" if judged.why else "in a way that its reflog does not tell"
        said = f"Branch {branch} went from {judged.old[:12]} to {judged.new[:12]} {way}, without a check."
        return MergeCheck(
            id=self._ids.new(),
            repository=repository.id,
            folder=str(repository.folder),
            project=repository.project,
            event=Event.RECONCILE,
            branch=branch,
            old=judged.old,
            new=judged.new,
            background=True,
            verdict=Verdict.NOTHING_TO_CHECK,
            action=Action.REPORTED,
            sentence=said,
            created_at=now,
            ended_at=now,
            told=True,
        )


def _is_known(tx: StoreTransaction, repository: str, commit: str) -> bool:
    """Whether a branch came to a commit by what a check has looked at, or looks at, or by what one did itself."""
    return any(
        (check.new == commit and check.verdict is not Verdict.NOTHING_TO_CHECK)
        or (check.old == commit and check.may_have_put_back)
        for check in tx.checks_about(repository, commit, limit=ABOUT_MAX)
    )


def _tell(tx: StoreTransaction, report: MergeCheck, seen: Mapping[str, str]) -> None:
    tx.insert_check(report)
    facts.remember_tips(tx, report.repository, seen)
