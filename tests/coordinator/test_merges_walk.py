"""Random lives of many checks at once: whatever comes in between, each ends once, and only who may moves a branch."""

import random
from collections import Counter
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from foundation.errors import Conflict, QuantumError
from foundation.ids import SystemIds
from services.coordinator.adapters.memory import MemoryStore
from services.coordinator.app import merges_confirm
from services.coordinator.app.cancel import Cancel
from services.coordinator.app.merges_freedom import SafetySays
from services.coordinator.app.selection import Selection
from services.coordinator.domain import failure
from services.coordinator.domain.failure import RetryRule
from services.coordinator.domain.merge_check import FREEZE_WITHIN, QUARANTINE, Action, Event, MergeCheck, Verdict
from services.coordinator.domain.merge_freedom import FREE
from services.coordinator.domain.task import Task, TaskState
from tests.coordinator.fleet import ended, granted, sent, started
from tests.coordinator.merging import A, Merging, report_of

COMMITS = [f"{number:040x}" for number in range(1, 13)]
STEPS = 250
SAYS = SafetySays("NORMAL", FREE)
seen: Counter[str] = Counter()


class Walk:
    """Steps at random; what must hold is looked at after each."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.merging = Merging(folder, MemoryStore())
        self.draw = random.Random(seed)
        self.attempts: dict[str, list[int]] = {}
        self.let_move: set[tuple[str, int]] = set()
        self.left: set[str] = set()
        self.over: dict[str, MergeCheck] = {}
        self.rollbacks: list[datetime] = []
        self.undone: set[str] = set()
        self.lifted: datetime | None = None

    async def begin(self) -> None:
        self.runner = self.merging.runner = await self.merging.fleet.runner("one", capacity=10, checks_max=2)

    async def step(self) -> None:
        steps = [self.ask, self.ask, self.lease, self.confirm, self.confirm, self.end, self.end, self.leave]
        steps += [self.cancel, self.lose, self.sweep, self.tell, self.restart, self.wait, self.bring_back, self.approve]
        await self.draw.choice(steps)()
        await self.look()

    async def ask(self) -> None:
        new = self.draw.choice(COMMITS)
        event = self.draw.choice((Event.POST_MERGE, Event.POST_COMMIT, Event.RECONCILE, Event.POST_REWRITE))
        before = [check for check in await self.merging.checks() if check.new == new]
        found = await self.merging.start(new, event)
        seen["known" if found.known else "started"] += 1
        if not found.known and event is not Event.POST_REWRITE:
            assert new not in self.undone, "a person has brought it back"
            for check in [await self.merging.check(each) for each in before]:
                only_reports = check.event is Event.POST_REWRITE or (check.only_report and event is not Event.RECONCILE)
                assert check.ended or only_reports, "it is being checked already"
                assert not check.was_tested or self.merging.clock.now() - check.created_at >= QUARANTINE

    async def lease(self) -> None:
        await self.merging.fleet.round()
        for task in granted(sent(self.runner)):
            await self.merging.fleet.tell(self.runner, started(task, self.merging.clock.now()))
            self.attempts.setdefault(task.id, []).append(task.fence)

    async def running(self) -> Task | None:
        tasks = [await self.merging.store.read(lambda tx, id=id: tx.task(id)) for id in self.attempts]  # type: ignore[misc]
        found = [task for task in tasks if task is not None and task.state is TaskState.RUNNING]
        return self.draw.choice(found) if found else None

    async def confirm(self) -> None:
        if not self.attempts:
            return
        task_id = self.draw.choice(list(self.attempts))
        if self.draw.random() < 0.6 and (going := await self.running()) is not None:
            task_id = going.id
        fence = self.draw.choice(self.attempts[task_id])
        check = await self.merging.store.read(lambda tx: tx.check_of_task(task_id))
        task = await self.merging.store.read(lambda tx: tx.task(task_id))
        assert check is not None and task is not None
        # The attempt reads for itself, and may find another commit than a hook has seen.
        new = self.draw.choice(COMMITS) if self.draw.random() < 0.2 else check.new
        said = await self.merging.guard.confirm(check.id, (task_id, fence), old=A, new=new)
        may = (
            task.state is TaskState.RUNNING
            and task.fence == fence
            and not task.cancel_requested
            and not check.ended
            and check.id not in self.left
            and check.event is not Event.POST_REWRITE
            and new not in self.undone
        )
        assert said.may_move is may, said
        seen["may" if may else "may not"] += 1
        if may:
            self.let_move.add((task_id, fence))

    async def end(self) -> None:
        task = await self.running()
        if task is None:
            return
        check = await self.merging.store.read(lambda tx: tx.check_of_task(task.id))
        assert check is not None
        kind = self.draw.choice(("good", "flaky", "nothing", "wrong"))
        report = {"good": report_of(check), "flaky": report_of(check, "flaky"), "nothing": "", "wrong": "{"}[kind]
        if (task.id, task.fence) in self.let_move:
            kind, report = "rolled_back", report_of(check, "bad", "rolled_back")
        event = ended(task, self.merging.clock.now(), code=self.draw.choice((0, 0, 1)), report=report)
        await self.merging.fleet.tell(self.runner, event)
        after = await self.merging.check(check)
        assert after.ended
        seen[kind] += 1
        if kind == "rolled_back":
            assert after.action is Action.ROLLED_BACK
            self.rollbacks.append(self.merging.clock.now())
        elif kind in ("nothing", "wrong"):
            assert (after.verdict, after.action) == (Verdict.INCONCLUSIVE, Action.NONE)

    async def leave(self) -> None:
        checks = await self.merging.checks()
        if checks:
            check = self.draw.choice(checks)
            if not check.ended and self.draw.random() < 0.7:
                return
            if not check.ended:
                self.left.add(check.id)
            await self.merging.guard.merges.leave(check.id)
            seen["left"] += 1

    async def cancel(self) -> None:
        if (task := await self.running()) is not None and self.draw.random() < 0.5:
            cancel = Cancel(
                self.merging.store,
                self.merging.fleet.changes,
                ids=SystemIds(self.merging.clock),
                clock=self.merging.clock,
            )
            await cancel(Selection(ids=(task.id,)), "")
            seen["cancelled"] += 1

    async def lose(self) -> None:
        task = await self.running()
        if task is not None:
            after = failure.lose(task, task.fence, RetryRule(), now=self.merging.clock.now())
            after = after._replace(state=TaskState.QUEUED) if after.state is TaskState.SCHEDULED else after
            await self.merging.store.write(lambda tx: tx.save([(task, after)]))
            self.merging.fleet.changes.announce([after])
            seen["lost"] += 1

    async def sweep(self) -> None:
        await self.merging.guard.sweep.step()
        for check in await self.merging.store.read(lambda tx: tx.open_checks()):
            assert not (await self.merging.task(check)).ended

    async def tell(self) -> None:
        self.merging.safety.away = self.draw.random() < 0.5
        await self.merging.guard.tell.step()
        self.merging.safety.away = False

    async def restart(self) -> None:
        self.merging.restart()

    async def wait(self) -> None:
        self.merging.clock.advance(timedelta(minutes=self.draw.choice((1, 1, 5, 20, 50, 600))))

    async def bring_back(self) -> None:
        away = [check for check in await self.merging.checks() if check.undo]
        if away and self.draw.random() < 0.3:
            check = self.draw.choice(away)
            await self.merging.guard.merges.undone(check.id)
            self.undone.add(check.new)
            seen["brought back"] += 1

    async def approve(self) -> None:
        if self.draw.random() < 0.05:
            await self.merging.guard.approve("r", "a walk")
            self.lifted = self.merging.clock.now()
        try:
            found = await self.merging.start("", Event.REQUEST, topic=f"t{self.draw.random()}")
        except Conflict:
            seen["frozen"] += 1
        else:
            seen["asked for"] += 1
            cancel = Cancel(
                self.merging.store,
                self.merging.fleet.changes,
                ids=SystemIds(self.merging.clock),
                clock=self.merging.clock,
            )
            await cancel(Selection(ids=(found.check.task_id,)), "")
            await self.merging.guard.sweep.step()

    async def look(self) -> None:
        now = self.merging.clock.now()
        for check in await self.merging.checks():
            if (before := self.over.get(check.id)) is not None:
                assert _same(check, before), "it ended once"
            if check.ended:
                self.over[check.id] = check
        told = [check_id for _, check_id, _ in self.merging.safety.told]
        assert len(told) == len(set(told)), "each counts once"
        recent = [at for at in self.rollbacks if now - at < FREEZE_WITHIN and (not self.lifted or at > self.lifted)]
        held = await self.merging.store.read(lambda tx: self.merging.guard.freedom.judge(tx, "r", SAYS))
        approved = self.lifted is not None and now - self.lifted < timedelta(hours=1)
        if not approved:
            assert (held.freeness == "frozen") is (len(recent) >= 2)


def _same(check: MergeCheck, before: MergeCheck) -> bool:
    """But for what may come after the end: it is told, and brought back."""
    return (check.verdict, check.action, check.sentence, check.ended_at, check.old, check.new) == (
        before.verdict,
        before.action,
        before.sentence,
        before.ended_at,
        before.old,
        before.new,
    )


async def walk(folder: Path, seed: int) -> None:
    """One life."""
    one = Walk(folder, seed)
    await one.begin()
    try:
        for _ in range(STEPS):
            await one.step()
    except QuantumError as error:
        raise AssertionError(f"seed {seed}: {error!r}") from error


@pytest.mark.parametrize("seed", range(20))
async def test_a_walk(tmp_path: Path, seed: int) -> None:
    await walk(tmp_path, seed)


def test_the_walks_met_everything() -> None:
    print(dict(seen))
    wanted = {"known", "started", "may", "may not", "rolled_back", "nothing", "wrong", "left", "cancelled", "lost"}
    assert wanted | {"brought back", "frozen", "asked for"} <= set(seen)


@pytest.mark.parametrize("protection", ["_lost", "_held", "_brought_back"])
async def test_the_control_without_a_protection_a_walk_fails(
    tmp_path: Path, protection: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(merges_confirm, protection, lambda *_: "")
    for seed in range(20):
        try:
            await walk(tmp_path / str(seed), seed)
        except AssertionError:
            return
    raise AssertionError("no walk has noticed")
