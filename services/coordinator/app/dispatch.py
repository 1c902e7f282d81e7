"""Dispatch: which ready task goes to which runner next, once safety has admitted it."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from functools import partial

from foundation.clock import Clock
from foundation.errors import QuantumError, Stale, Unavailable
from foundation.log import get_logger
from foundation.stop_file import StopFile
from services.coordinator.app.ahead import Ahead, Leading, undo
from services.coordinator.app.attachments import Attachment, Attachments, Grant, Order, OrderKind
from services.coordinator.app.changes import Changes
from services.coordinator.app.choosing import Choosing
from services.coordinator.app.figures import Figures
from services.coordinator.app.footprints import Footprints
from services.coordinator.app.holdings import Holdings, held_of
from services.coordinator.app.holds import Holds
from services.coordinator.app.intake import Intake
from services.coordinator.app.leasing import all_held, candidate_of, commit_leases
from services.coordinator.app.outbox import Outbox
from services.coordinator.app.overview import overview
from services.coordinator.app.rooms import GROWN_AFTER_SECONDS, Needs, Rooms
from services.coordinator.domain import task as moves
from services.coordinator.domain.attempt import Returned, unstartable
from services.coordinator.domain.defaults import Defaults
from services.coordinator.domain.fleet import FleetView, Parked
from services.coordinator.domain.placement import Need
from services.coordinator.domain.ready import ReadyBoard
from services.coordinator.domain.task import Task
from services.coordinator.ports import Catalogue, Store
from services.coordinator.ports_safety import Admission, OutboxEntry, SafetyGate

log = get_logger("coordinator")
PAUSED_FACT = "queue_paused"
GRANT = timedelta(seconds=30)
DRAINED = "The runner was drained."


class Dispatch:
    """One round at a time: take the best ready tasks, ask safety once, commit the leases, send them.

    A round costs by the queues that may run and by the batch, never by the tasks that wait.
    """

    def __init__(
        self,
        store: Store,
        gate: SafetyGate,
        catalogue: Catalogue,
        changes: Changes,
        attachments: Attachments,
        holdings: Holdings,
        intake: Intake,
        outbox: Outbox,
        footprints: Footprints,
        stop_file: StopFile,
        *,
        workspace_folder: str,
        defaults: Defaults,
        paused_max: int,
        silent_after: timedelta,
        clock: Clock,
    ) -> None:
        self._store = store
        self._gate = gate
        self._catalogue = catalogue
        self._attachments = attachments
        self._holdings = holdings
        self._footprints = footprints
        self._rooms = Rooms(
            attachments,
            holdings,
            Needs(catalogue, footprints),
            paused_max=paused_max,
            silent_after=silent_after,
            now=clock.now,
        )
        self._intake = intake
        self._outbox = outbox
        self._workspace_folder = workspace_folder
        self._defaults = defaults
        self._clock = clock
        self._board = ReadyBoard()
        self._changes = changes
        self._holds = Holds(stop_file, self._board)
        self._choosing = Choosing(store, catalogue, attachments, holdings, self._rooms, self._holds, self._board)
        self._ahead = Ahead(self._board, self._rooms, self._holds, self._choosing, self.wake)
        self._figures = Figures()
        self._credentials: dict[str, str] = {}  # of the round that is being held
        self._admitted_at = 0  # safety's epoch in that round
        self._wake = asyncio.Event()
        changes.subscribe(self._hear)
        changes.foresee(self._ahead.foresee)

    # -- life

    async def start(self) -> None:
        """Load what the store knows, before the first call is served. Leases get one full term of amnesty."""
        paused = await self._store.read(lambda tx: tx.fact(PAUSED_FACT))
        await self._footprints.load(self._store)
        await self._choosing.start()
        await self._outbox.load(self._store)
        self._holds.queue_paused = paused or ""
        async for task in all_held(self._store):
            self._hold(task, incarnation="")
        self._wake.set()

    def _hold(self, task: Task, *, incarnation: str) -> None:
        boottime = self._clock.boottime()
        granted_until = boottime + GRANT.total_seconds()
        spec = self._catalogue.agents().get(task.agent)
        self._holdings.add(
            held_of(
                task,
                incarnation,
                boottime=boottime,
                granted_until=granted_until,
                service=spec is not None and spec.is_service,
                check=spec is not None and spec.is_at_home,
                footprint_bytes=self._footprints.of(task.agent),
            )
        )

    async def run(self) -> None:
        """Hold rounds for ever; a round that fails is tried again when something changes or at the next tick."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            try:
                await self._round()
            except QuantumError as error:
                log.error(f"A round of dispatch failed: {error}", action="dispatch_failed")

    def wake(self) -> None:
        self._wake.set()

    # -- what changes the picture

    def _hear(self, tasks: Sequence[Task]) -> None:
        for task in tasks:
            is_leading = self._ahead.hear(task)
            self._choosing.hear(task)
            self._holdings.follow_store(task)
            if task.leased and task.cancel_requested and not is_leading:
                self._order(task, OrderKind.CANCEL, task.reason)
            self._figures.observe(task)
        self._wake.set()

    def _order(self, task: Task, kind: OrderKind, reason: str) -> None:
        attachment = self._attachments.get(task.holder)
        if attachment is not None:
            attachment.send(Order(task.id, task.fence, kind, reason))

    def set_queue_paused(self, reason: str) -> None:
        """Hold or release ("") the whole queue; leases that are not spawned yet come back."""
        self._holds.queue_paused = reason
        if reason:
            self._recall("The queue was paused.")
        self._wake.set()

    def learn_epoch(self, epoch: int) -> None:
        """Safety may have changed its mind: ask again for what was parked, recall what was not spawned."""
        if self._holds.learn_epoch(epoch):
            self._recall("Safety's mode or a breaker changed.")
            self._wake.set()

    def learn_fault(self, sentence: str) -> None:
        """Safety cannot be asked ("": it can again)."""
        if bool(sentence) != bool(self._holds.safety_fault):
            said = f"Nothing new starts: {sentence}" if sentence else "Safety answers again."
            log.warning(said, action="safety_unreachable" if sentence else "safety_reachable")
            self._wake.set()
        self._holds.safety_fault = sentence

    def release_due(self) -> None:
        """Ask again for refusals whose time is over, and for all when the STOP file has gone; called every tick."""
        self._holds.release_due(self._clock.now())
        self._holdings.grow(self._clock.boottime(), GROWN_AFTER_SECONDS)
        self._choosing.tidy()
        for runner in self._attachments.drained:
            self.recall_from(runner, DRAINED)  # what it had in hand when it came back
        self._wake.set()

    def recall_from(self, runner: str, reason: str) -> None:
        """Bring back what one runner has not started, and end its services, which start again on another one.

        Not one whose effects are once: a person would have to decide about it, so that person is to end it.
        """
        self._recall(reason, runner)
        attachment = self._attachments.get(runner)
        for held in self._holdings.of_runner(runner) if attachment is not None else ():
            spec = self._catalogue.agents().get(held.agent)
            if attachment is not None and held.service and not held.recalled and spec and spec.effects != "once":
                held.recalled = reason
                attachment.send(Order(held.task_id, held.fence, OrderKind.STOP, reason))

    def recall_again(self, attachment: Attachment) -> None:
        """A runner is there again: what it was told may have been lost with its stream, or said while it was away."""
        runner = attachment.hello.name
        for held in self._holdings.of_runner(runner):
            reason, held.recalled = held.recalled, ""
            if reason and not held.spawned:
                held.recalled = reason
                attachment.send(Order(held.task_id, held.fence, OrderKind.RECALL, reason))
        if runner in self._attachments.drained:
            self.recall_from(runner, DRAINED)

    def _recall(self, reason: str, runner: str = "") -> None:
        for held in self._holdings.unspawned():
            if runner not in ("", held.runner):
                continue
            attachment = self._attachments.get(held.runner)
            if attachment is not None and not held.recalled:
                held.recalled = reason
                attachment.send(Order(held.task_id, held.fence, OrderKind.RECALL, reason))

    # -- a round

    async def _round(self) -> None:
        if self._ahead.leading is None:
            await self._choosing.refill()
        if self._ahead.leading is not None:
            await self._lead(self._ahead.leading)
        else:
            with self._ahead.deciding():
                await self._decide()

    async def _decide(self) -> None:
        """Ask about the best ready tasks and lease those that are admitted."""
        tasks = await self._take()
        # An outcome rides with a decision. Where none is coming, it is told by itself, before it delays the next.
        outcomes = self._outbox.batch()
        told_now = self._outbox.due or self._holds.awaits(outcomes)
        if not tasks and not told_now and (self._board.occupied or not outcomes):
            return
        if not tasks:
            self._ahead.room_is_taken = False
        admission = await self._ask(outcomes, tasks)
        if admission is None:
            self._choosing.put_back(tasks)
            return
        await self._lease(self._sort_out(tasks, admission), outcomes)
        await self._outbox.refill(self._store)
        if tasks or self._outbox.due:
            self._wake.set()

    async def _lead(self, leading: Leading) -> None:
        """Ask about tasks that are being added leased; send what is durable and admitted by then, undo the rest."""
        outcomes = self._outbox.batch()
        admission = await self._ask(outcomes, leading.before)
        there = await leading.there()
        self._ahead.leading = None
        self._wake.set()
        for task in leading.before:
            self._choosing.take_ahead(task)
        if admission is None:
            self._choosing.put_back(leading.before)
        absent = []
        for task in self._sort_out(leading.before, admission) if admission is not None else ():
            self._choosing.settle(task)
            if task.id in there:
                self._grant(there.pop(task.id), leading.report(task))
            else:
                absent.append(task)
        await self._undo(list(there.values()), absent)
        await self._lease([], outcomes)
        await self._outbox.refill(self._store)

    async def _undo(self, leased: Sequence[Task], absent: Sequence[Task]) -> None:
        """End leases that never left (should that fail, they run down like any other), and admissions of nothing."""
        for task in leased:
            self._hold(task, incarnation="")
        if leased or absent:
            work = partial(undo, leased=leased, absent=absent, catalogue=self._catalogue, now=self._clock.now())
            changed, posted = await self._store.write(work)
            self._changes.announce(changed)
            self._outbox.posted(posted)

    async def _take(self) -> list[Task]:
        """Take the best ready tasks for which there is room."""
        if self._holds.everything or (plan := self._choosing.possible()) is None:
            return []
        if (stopped := self._holds.stopped) is not None:
            self._recall(stopped.reason)
            return []
        tasks, more = await self._choosing.take(plan)
        if more:
            self._wake.set()
        return tasks

    async def _ask(self, outcomes: Sequence[OutboxEntry], tasks: Sequence[Task]) -> Admission | None:
        """Ask safety; without an answer nothing starts."""
        agents = self._catalogue.agents()
        candidates = [candidate_of(task, agents[task.agent]) for task in tasks]
        try:
            admission = await self._gate.admit(outcomes, candidates)
        except QuantumError as error:
            self.learn_fault(f"safety cannot be asked: {error.message}")
            return None
        self.learn_fault("")
        if self._holds.hear_ends(outcomes):
            self._wake.set()
        self.learn_epoch(admission.epoch)
        self._intake.retries_halved = admission.retries_halved
        self._admitted_at = admission.epoch
        return admission

    def _sort_out(self, tasks: Sequence[Task], admission: Admission) -> list[Task]:
        """Park the scope of each refusal; return what was admitted."""
        admitted = []
        self._credentials.clear()
        for task, verdict in zip(tasks, admission.verdicts, strict=True):
            if verdict.admitted:
                admitted.append(task)
                if verdict.credential:
                    self._credentials[task.id] = verdict.credential
                continue
            refusal = Parked(scope=verdict.scope, code=verdict.code, reason=verdict.reason, until=verdict.ask_again_at)
            if not self._holds.park(task, refusal):
                self._choosing.put_back([task])
        return admitted

    async def _lease(self, tasks: Sequence[Task], outcomes: Sequence[OutboxEntry]) -> None:
        """Commit the leases and what safety has heard, then send the leases."""
        assigned, rest = self._rooms.assign(tasks)
        self._choosing.put_back(rest)
        pairs = [(task, moves.lease(task, name)) for task, name in assigned]
        up_to = outcomes[-1].sequence if outcomes else 0
        if not pairs and not up_to:
            return
        try:
            reports = await self._store.write(partial(commit_leases, pairs=pairs, up_to=up_to))
        except Stale:
            # One of them changed between the read and the commit (a cancel): read all of them again next round.
            await self._choosing.reread(tasks)
            return
        except QuantumError:
            self._choosing.put_back([before for before, _ in pairs])
            raise
        self._outbox.heard(outcomes)
        for before, after in pairs:
            self._choosing.settle(before)
            self._grant(after, reports.get((after.agent, after.project), ""))

    def _grant(self, task: Task, last_report: str) -> None:
        attachment = self._attachments.get(task.holder)
        self._hold(task, incarnation=attachment.hello.incarnation if attachment else "")
        if attachment is None:
            return  # it went away during the commit: its lease runs out, or comes back when it does
        if task.cancel_requested:
            self._intake.put(attachment, [Returned(task.id, task.fence, task.reason)])
            return
        if task.holder in self._attachments.drained:  # while this was committed
            self._intake.put(attachment, [Returned(task.id, task.fence, DRAINED)])
            return
        try:
            spec = self._catalogue.find(task.agent)
            folder = self._catalogue.project_folder(task.project) if task.project else self._workspace_folder
        except QuantumError as error:
            said = unstartable(task, error.message, self._clock.now(), epoch=self._admitted_at)
            self._intake.put(attachment, [said])
            return
        credential, defaults, epoch = self._credentials.get(task.id, ""), self._defaults, self._admitted_at
        attachment.send(
            Grant(task, spec, folder, defaults=defaults, last_report=last_report, credential=credential, epoch=epoch)
        )

    # -- what others ask

    def follow(self, task: Task, offset: int, follow: bool) -> AsyncIterator[tuple[bytes, int]]:
        """Yield the output of a held attempt as (data, offset after it). Raises Unavailable without its runner."""
        attachment = self._attachments.get(task.holder or task.runner)
        if attachment is None:
            raise Unavailable(
                "runner_gone", f"Runner {task.runner} is not attached; its output is out of reach for now."
            )
        return attachment.follow(task, offset, follow)

    def need_of(self, task: Task) -> Need:
        """What a task asks of its runner."""
        return self._rooms.needs.of_task(task)

    def fleet(self) -> FleetView:
        """A snapshot for people: `why`, the queue's figures, the agents' states."""
        rooms, now = self._rooms.all(), self._clock.now()
        return overview(self._holdings, self._attachments, self._holds, self._figures, rooms, now=now)
