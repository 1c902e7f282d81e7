"""Keeps leases alive, lets safety look again at what runs, and rescues what nobody renews."""

from collections.abc import Sequence
from datetime import datetime
from functools import partial

from foundation.clock import Clock
from foundation.errors import QuantumError, Stale
from foundation.ids import Randomness
from foundation.log import get_logger
from services.coordinator import ports_safety as safety
from services.coordinator.app.attachments import (
    Attachment,
    Attachments,
    Beat,
    HeartbeatAck,
    Hello,
    LeaseTimes,
    Order,
    OrderKind,
)
from services.coordinator.app.changes import Changes
from services.coordinator.app.dispatch import GRANT, Dispatch
from services.coordinator.app.family import release_children
from services.coordinator.app.holdings import Held, Holdings
from services.coordinator.app.intake import outcome_of
from services.coordinator.app.outbox import Outbox
from services.coordinator.domain import failure
from services.coordinator.domain.error_report import report_of_loss
from services.coordinator.domain.explain import SAFETY_UNREACHABLE
from services.coordinator.domain.failure import FailureClass, RetryRule
from services.coordinator.domain.fleet import Parked
from services.coordinator.domain.task import Task, TaskState
from services.coordinator.ports import Catalogue, Store, StoreTransaction
from services.coordinator.ports_safety import OutboxEntry, SafetyGate

log = get_logger("coordinator")
PAUSED_WITHOUT_SAFETY_SECONDS = 300.0
RESCUE_PAGE = 100
SHORTEST_PAUSE_SECONDS = 0.02


class Renewal:
    """The clockwork of leases. A loop calls `tick` about once a second; only the clock's own time counts."""

    def __init__(
        self,
        store: Store,
        gate: SafetyGate,
        catalogue: Catalogue,
        changes: Changes,
        attachments: Attachments,
        holdings: Holdings,
        dispatch: Dispatch,
        outbox: Outbox,
        rule: RetryRule,
        times: LeaseTimes,
        *,
        clock: Clock,
        randomness: Randomness,
    ) -> None:
        self._store = store
        self._gate = gate
        self._catalogue = catalogue
        self._changes = changes
        self._attachments = attachments
        self._holdings = holdings
        self._dispatch = dispatch
        self._outbox = outbox
        self._rule = rule
        self._times = times
        self._clock = clock
        self._randomness = randomness
        self._last_tick = clock.boottime()

    # -- runners come and go

    async def attach(self, hello: Hello) -> tuple[Attachment, Sequence[tuple[str, int]]]:
        """Admit a runner; return its attachment and those of its held attempts that are no longer its own.

        A runner reaps before it registers, so what an earlier process of the same name held is lost for certain.
        """
        attachment = self._attachments.attach(hello, now=self._clock.now())
        disowned = [ref for ref in sorted(hello.held) if self._holdings.get(*ref) is None]
        gone, back = [], set[str]()
        for held in self._holdings.of_runner(hello.name):
            ref = (held.task_id, held.fence)
            if ref in hello.held:
                back.add(held.task_id)
                held.incarnation = hello.incarnation
                held.renewed_at = self._clock.boottime()
                if held.cancel_reason is not None:
                    attachment.send(Order(*ref, OrderKind.CANCEL, held.cancel_reason))
            elif held.incarnation != hello.incarnation or not held.spawned:
                # After a restart of ours the incarnation is not known; whoever was welcomed before it is the same one.
                held.unbegun = held.incarnation in (hello.incarnation, "") and hello.returning
                gone.append(held)
        await self._rescue(gone)
        self._dispatch.recall_again(attachment)
        self._changes.stir(frozenset(back))
        log.info(
            f"Runner {hello.name} on {hello.host} is attached, with {len(hello.held)} attempts in hand.",
            action="runner_attached",
            runner=hello.name,
        )
        return attachment, disowned

    def detach(self, attachment: Attachment) -> None:
        """Its stream has ended. Its attempts keep their leases until they run out."""
        self._attachments.detach(attachment)
        log.info(f"Runner {attachment.hello.name} is no longer attached.", action="runner_detached")

    def heartbeat(self, attachment: Attachment, beat: Beat) -> None:
        """Renew what the runner holds and tell it what it does not hold any more."""
        attachment.last_heartbeat_at = self._clock.now()
        attachment.draining = attachment.draining or beat.draining
        attachment.stalled = beat.stalled
        boottime = self._clock.boottime()
        for task_id, fence in beat.held:
            held = self._holdings.get(task_id, fence)
            if held is None or held.runner != attachment.hello.name:
                attachment.send(Order(task_id, fence, OrderKind.DISOWN, "The lease is no longer yours."))
            else:
                held.renewed_at = boottime
                held.waits = beat.waits.get((task_id, fence), "")
        attachment.send(HeartbeatAck(beat.sequence))

    # -- the tick

    async def tick(self) -> None:
        """Amnesty after a sleep, safety's word on what runs, rescue of what was not renewed, parked scopes."""
        self._grant_amnesty_after_sleep()
        await self._ask_safety()
        await self._rescue(self._overdue())
        self._outbox.tick()
        self._dispatch.release_due()

    def _grant_amnesty_after_sleep(self) -> None:
        boottime = self._clock.boottime()
        slept = boottime - self._last_tick
        self._last_tick = boottime
        if slept > self._times.lease.total_seconds() / 2:
            log.warning(
                f"No time was seen for {slept:.0f} s (sleep or a halt): every lease gets a full term.",
                action="lease_amnesty",
            )
            for held in self._holdings.all():
                held.renewed_at = boottime

    async def _ask_safety(self) -> None:
        """Leases that are not spawned yet are renewed, too: one of them may be a probe, and its permit must last."""
        leases = self._holdings.all()
        try:
            renewals, epoch = await self._gate.renew([(held.task_id, held.fence) for held in leases])
        except QuantumError as error:
            self._dispatch.learn_fault(f"safety cannot be asked: {error.message}")
            self._end_grants([held for held in leases if held.spawned])
            return
        self._dispatch.learn_fault("")
        self._dispatch.learn_epoch(epoch)
        granted_until = self._clock.boottime() + GRANT.total_seconds()
        for held, renewal in zip(leases, renewals, strict=True):
            held.granted_until = granted_until
            if held.spawned:
                self._pass_on(held, renewal)

    def _pass_on(self, held: Held, renewal: safety.Renewal) -> None:
        """Have the runner do what safety says of a running attempt; why it is frozen stays known here."""
        was_to_pause = held.paused or held.pause is not None
        held.pause = None
        match renewal.action:
            case "stop":
                self._order(held, OrderKind.STOP, renewal.reason)
            case "pause" if self._frozen_seconds(held) > self._times.pause_max.total_seconds():
                self._order(held, OrderKind.STOP, f"It was frozen for too long: {renewal.reason}")
            case "pause":
                self._pause(held, renewal.code, renewal.reason, renewal.until)
            case _ if was_to_pause:
                self._order(held, OrderKind.CONTINUE, "")

    def _pause(self, held: Held, code: str, reason: str, until: datetime | None) -> None:
        held.pause = Parked(scope="", code=code, reason=reason, until=until)
        if not held.paused:
            self._order(held, OrderKind.PAUSE, reason)

    def _frozen_seconds(self, held: Held) -> float:
        """How long it has been frozen for all that this process has seen of it."""
        boottime = self._clock.boottime()
        held.paused_since = (held.paused_since or boottime) if held.paused else None
        return 0.0 if held.paused_since is None else boottime - held.paused_since

    def _end_grants(self, running: Sequence[Held]) -> None:
        """Without safety an attempt goes on to the end of its grant, then pauses, then ends."""
        boottime = self._clock.boottime()
        for held in running:
            over = boottime - held.granted_until
            if over > PAUSED_WITHOUT_SAFETY_SECONDS:
                self._order(held, OrderKind.STOP, "Safety could not be asked for too long.")
            elif over > 0:
                self._pause(held, SAFETY_UNREACHABLE, "Safety cannot be asked; paused until it can.", None)

    def _order(self, held: Held, kind: OrderKind, reason: str) -> None:
        attachment = self._attachments.get(held.runner)
        if attachment is not None:
            attachment.send(Order(held.task_id, held.fence, kind, reason))

    def end_attempts(self, agent: str, reason: str) -> None:
        """End what is out of an agent, to be started again as its `effects` allow."""
        for held in self._holdings.all():
            if held.agent == agent:
                self._order(held, OrderKind.STOP, reason)

    # -- rescue

    def pause_seconds(self, tick_seconds: float) -> float:
        """How long to wait for the next tick: no longer than until the next lease is given up."""
        oldest = min((held.renewed_at for held in self._holdings.all()), default=None)
        if oldest is None:
            return tick_seconds
        left = oldest + self._times.rescue_after_seconds - self._clock.boottime()
        return min(tick_seconds, max(left, SHORTEST_PAUSE_SECONDS))

    def _overdue(self) -> Sequence[Held]:
        boottime = self._clock.boottime()
        after = self._times.rescue_after_seconds
        return [held for held in self._holdings.all() if boottime - held.renewed_at >= after]

    async def _rescue(self, lost: Sequence[Held]) -> None:
        """Take attempts back in pages; a page that fails is taken one by one, so that no task starves another."""
        for at in range(0, len(lost), RESCUE_PAGE):
            page = lost[at : at + RESCUE_PAGE]
            if not await self._rescue_page(page):
                for held in page:
                    await self._rescue_page([held])

    async def _rescue_page(self, page: Sequence[Held]) -> bool:
        try:
            changed, posted = await self._store.write(partial(self._lose, page))
        except QuantumError as error:
            log.error(f"{len(page)} lost attempts could not be taken back: {error}", action="rescue_failed")
            return False
        self._outbox.posted(posted)
        for held in page:
            self._holdings.remove(held.task_id)
        for task in changed:
            log.warning(f"Task {task.id} ({task.agent}) is {task.state}: {task.reason}", action="task_rescued")
        self._changes.announce(changed)
        return True

    def _lose_one(self, task: Task, fence: int, unbegun: bool, now: datetime) -> Task:
        spec = self._catalogue.agents().get(task.agent)
        if spec is None or not spec.is_service:
            return failure.lose(task, fence, self._rule, unbegun=unbegun, now=now)
        ran = now - (task.started_at or now)
        return failure.lose_service(task, fence, self._rule, ran=ran, chance=self._randomness.uniform(), now=now)

    def _lose(self, page: Sequence[Held], tx: StoreTransaction) -> tuple[list[Task], Sequence[OutboxEntry]]:
        now = self._clock.now()
        current = tx.tasks([held.task_id for held in page])
        pairs, outcomes = [], []
        for held in page:
            task = current.get(held.task_id)
            if task is None:
                continue
            try:
                after = self._lose_one(task, held.fence, held.unbegun, now)
            except Stale:
                continue  # somebody else took it back first, or its result came in
            pairs.append((task, after))
            if task.state is not TaskState.QUEUED and not task.cancel_requested:
                tx.note_failed_attempt(report_of_loss(task, after, now))
            kind = FailureClass.CANCEL if task.cancel_requested else FailureClass.INFRASTRUCTURE
            outcomes.append(outcome_of(task, held.fence, kind, detail=after.reason, catalogue=self._catalogue, now=now))
        tx.save(pairs)
        posted = tx.post(outcomes)
        changed = [after for _, after in pairs]
        changed += release_children(tx, [task for task in changed if task.ended], now=now)
        return changed, posted
