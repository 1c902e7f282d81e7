"""The runner: holds leases, has them spawned as slots come free, and reports until it is acknowledged."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from clients.attachment_values import (
    AttemptRef,
    Credit,
    EndCause,
    Frozen,
    Heartbeat,
    HeartbeatAck,
    Lease,
    Order,
    OrderKind,
    ResultAcks,
    Returned,
    Welcome,
)
from foundation.clock import Clock
from foundation.log import Logger
from services.agent_runner.app.attempt_messages import result_of, start_order, started_of, unspawned
from services.agent_runner.app.held import Held, Phase, key_of
from services.agent_runner.app.outbox import Outbox
from services.agent_runner.app.reading import Reading
from services.agent_runner.domain.orders import missing_requirements
from services.agent_runner.domain.pace import Pace
from services.agent_runner.ports import WardenLink
from services.agent_runner.warden.protocol import (
    End,
    Ended,
    Halted,
    Message,
    Pause,
    Paused,
    Refused,
    Release,
    Renew,
    Resume,
    Shutdown,
    Spawned,
)

# With more than these at work, news waits a moment for more: a message costs as much as three of its results,
# and prefetched leases keep the slots busy meanwhile.
_FEW = 4


class Runner:
    """One loop owns it; nothing in it blocks. `terms` are the coordinator's, from its last welcome."""

    def __init__(
        self,
        *,
        slots: int,
        prefetch: int,
        terms: Welcome,
        enforcement: dict[str, str],
        workspace: str,
        warden: WardenLink,
        reading: Reading,
        outbox: Outbox,
        clock: Clock,
        log: Logger,
    ) -> None:
        self.slots = slots
        self.terms = terms
        self.enforcement = enforcement
        self.draining = False
        self.halted = False
        self.attached = False
        self._pace = Pace(slots, prefetch)
        self._workspace = workspace
        self._warden = warden
        self._reading = reading
        self._outbox = outbox
        self._clock = clock
        self._log = log
        self._held: dict[str, Held] = {}
        self._waiting: deque[Held] = deque()
        self._active: dict[Held, None] = {}  # with the warden: STARTING or RUNNING
        self._owed = 0  # results that were not acknowledged
        self._beats: dict[int, tuple[float, list[str]]] = {}
        self._sequence = 0
        self._certain_at = clock.boottime()  # leases that arrive now are no older than this
        self._busy = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._settled = asyncio.Event()
        self._settled.set()

    # -- the coordinator speaks

    def welcome(self, terms: Welcome, hello_sent_at: float) -> None:
        """A stream is up: say again what may have been lost with the one before."""
        self.terms = terms
        self.attached = True
        self._certain_at = hello_sent_at
        self._beats.clear()
        self._outbox.clear()
        for ref in terms.disowned:
            self._disown(ref)
        now, boottime = self._clock.now(), self._clock.boottime()
        for held in self._held.values():
            if held.phase is Phase.RUNNING:
                self._outbox.events(started_of(held, held.started_at, now=now, boottime=boottime))
                self._outbox.events(Frozen(held.ref, held.paused))
            elif held.result is not None:
                self._outbox.events(held.result)
        self._renew(hello_sent_at, list(self._held))
        self._say_credit()

    def detached(self) -> None:
        """The stream has broken; what runs goes on until its deadlines."""
        self.attached = False

    def refs(self) -> Sequence[AttemptRef]:
        """Every attempt in hand, also those whose results wait for the acknowledgement."""
        return [held.ref for held in self._held.values()]

    def take(self, leases: Iterable[Lease]) -> None:
        """Leases have arrived; start what there is room for."""
        for lease in leases:
            held = Held(lease, self._certain_at)
            if self._held.setdefault(key_of(lease.ref), held) is held:
                self._waiting.append(held)
        if self.draining or self.halted:
            self._hand_back_waiting("the runner takes no work")
        self._pump()

    def obey(self, orders: Iterable[Order]) -> None:
        """Carry out orders about attempts."""
        for order in orders:
            held = self._held.get(key_of(order.ref))
            if held is not None:
                self._obey(held, order)
        self._pump()

    def _obey(self, held: Held, order: Order) -> None:
        key = key_of(held.ref)
        match order.kind:
            case OrderKind.DISOWN:
                self._disown(held.ref)
            case OrderKind.RECALL | OrderKind.CANCEL | OrderKind.STOP if held.phase is Phase.WAITING:
                self._hand_back(held, order.reason)
            case OrderKind.CANCEL:
                self._warden.tell(End(key, "cancel", order.reason))
            case OrderKind.STOP:
                self._warden.tell(End(key, "stop", order.reason))
            case OrderKind.PAUSE if held.phase is not Phase.WAITING:
                self._warden.tell(Pause(key))
            case OrderKind.CONTINUE if held.phase is not Phase.WAITING:
                self._warden.tell(Resume(key))

    def acknowledged(self, acks: ResultAcks) -> None:
        """Results that need not be kept any more."""
        for ref in (*acks.accepted, *acks.refused):
            held = self._held.get(key_of(ref))
            if held is not None and held.phase is Phase.ENDED:
                self._forget(held)

    def heartbeat(self) -> None:
        """Name all attempts in hand; also say results again that were never acknowledged."""
        boottime = self._clock.boottime()
        self._sequence += 1
        self._beats[self._sequence] = (boottime, list(self._held))
        self._outbox.heartbeat(Heartbeat(self._sequence, self.refs(), self.draining))
        overdue = boottime - 2 * self.terms.heartbeat_seconds
        for held in self._held.values():
            if held.result is not None and held.reported_at < overdue:
                held.reported_at = boottime
                self._outbox.events(held.result)

    def renewed(self, ack: HeartbeatAck) -> None:
        """The coordinator has taken a heartbeat: deadlines count from when it was sent."""
        sent_at, keys = self._beats.pop(ack.sequence, (0.0, []))
        for earlier in [sequence for sequence in self._beats if sequence < ack.sequence]:
            del self._beats[earlier]
        self.obey(ack.orders)
        if sent_at:
            self._certain_at = sent_at
            self._renew(sent_at, keys)

    def _renew(self, sent_at: float, keys: list[str]) -> None:
        running = []
        for key in keys:
            held = self._held.get(key)
            if held is not None and not held.disowned:
                held.renewed_at = max(held.renewed_at, sent_at)
                if held.phase in (Phase.STARTING, Phase.RUNNING):
                    running.append(key)
        if running:
            self._warden.tell(Renew(sent_at, self.terms.lease_seconds, running))

    # -- starting

    def _pump(self) -> None:
        """Hand the longest waiting leases to the warden while there is room."""
        running = sum(not held.paused for held in self._active) if self._waiting else 0
        while self._waiting and self._has_room(self._waiting[0], running):
            held = self._waiting.popleft()
            if sentence := missing_requirements(held.lease, self.enforcement):
                self._fail(held, EndCause.SPAWN_CONFIGURATION, sentence)
                continue
            held.phase = Phase.STARTING
            self._active[held] = None
            running += 1
            self._warden.tell(start_order(held, self.terms.lease_seconds, self._workspace))
        if self._active:
            self._busy.set()
            self._idle.clear()
        else:
            self._busy.clear()
            self._idle.set()

    def _has_room(self, held: Held, running: int) -> bool:
        if held.lease.alone:
            return running == 0
        lonely = running == 1 and any(other.lease.alone and not other.paused for other in self._active)
        return running < self.slots and not lonely

    # -- the warden speaks

    def news(self, messages: Sequence[Message]) -> None:
        """What the warden saw, in order."""
        now, boottime = self._clock.now(), self._clock.boottime()
        self._fill_slots_of(messages)
        for message in messages:
            match message:
                case Halted(stopped):
                    self._halt(stopped)
                case Spawned(key) | Refused(key) | Ended(key) | Paused(key):
                    held = self._held.get(key)
                    if held is not None:
                        self._take_news(held, message, now, boottime)
        self._pump()

    def _fill_slots_of(self, messages: Sequence[Message]) -> None:
        """Start the next ones before the results are put together: an idle slot costs more than a late report."""
        for message in messages:
            if isinstance(message, Ended) and message.tree_dead and (held := self._held.get(message.key)) is not None:
                self._active.pop(held, None)
        if self._waiting:
            self._pump()
            self._warden.push()

    def _take_news(
        self, held: Held, message: Spawned | Refused | Ended | Paused, now: datetime, boottime: float
    ) -> None:
        match message:
            case Spawned():
                held.phase, held.slot, held.pid, held.started_at = Phase.RUNNING, message.slot, message.pid, message.at
                started = started_of(held, message.at, now=now, boottime=boottime)
                self._outbox.started(started, hold=len(self._active) > _FEW)
            case Refused():
                self._refused(held, message)
            case Paused():
                held.paused = message.paused
                self._outbox.events(Frozen(held.ref, message.paused))
            case Ended():
                self._ended(held, message, now, boottime)

    def _halt(self, stopped: bool) -> None:
        self.halted = stopped
        if stopped:
            self._hand_back_waiting("everything is stopped")
        self._log.info(
            "The STOP file is there: everything ends." if stopped else "The STOP file is gone: work goes on.",
            action="runner_halted" if stopped else "runner_resumed",
        )
        self._say_credit()

    def _refused(self, held: Held, refusal: Refused) -> None:
        match refusal.cause:
            case "configuration":
                self._fail(held, EndCause.SPAWN_CONFIGURATION, refusal.sentence)
            case "resources":
                self._fail(held, EndCause.SPAWN_RESOURCES, refusal.sentence)
            case _:
                self._hand_back(held, refusal.sentence)

    def _fail(self, held: Held, cause: EndCause, sentence: str) -> None:
        self._active.pop(held, None)
        held.phase = Phase.ENDED
        held.result = unspawned(held.lease, cause, sentence, now=self._clock.now())
        self._report(held)

    def _ended(self, held: Held, ended: Ended, now: datetime, boottime: float) -> None:
        output, report = self._reading.finish(held, ended)
        self._active.pop(held, None)
        held.phase = Phase.ENDED
        held.paused = False
        held.result = result_of(held.lease, ended, output, report, self.enforcement, now=now, boottime=boottime)
        if self._pace.observe(ended.active_seconds):
            self._say_credit()
        if ended.tree_dead:
            self._warden.tell(Release(ended.slot))
        else:
            self._drain_for_unproved(held)
        if held.disowned:
            held.result = None
            self._forget(held)
        else:
            self._report(held)
        held.notify()

    def _report(self, held: Held) -> None:
        assert held.result is not None
        self._owed += 1
        self._settled.clear()
        held.reported_at = self._clock.boottime()
        self._outbox.events(held.result, hold=len(self._active) > _FEW)

    def _drain_for_unproved(self, held: Held) -> None:
        self._log.error(
            f"The processes of task {held.ref.task_id} cannot be proved dead; this runner takes no more work.",
            action="tree_not_dead",
            task=held.ref.task_id,
            pid=held.pid,
        )
        self.drain()

    # -- giving back

    def drain(self) -> tuple[int, int]:
        """Take no more work; returns how many leases go back and how many attempts run to their end."""
        self.draining = True
        back = self._hand_back_waiting("the runner drains")
        self._say_credit()
        return back, len(self._active)

    async def shut_down(self, patience: timedelta) -> bool:
        """Hand back what waits, end what runs, and report it; false when that took too long."""
        self.drain()
        self._warden.tell(Shutdown("the runner was stopped"))
        try:
            async with asyncio.timeout(patience.total_seconds()):
                await self.idle()
        except TimeoutError:
            return False
        return True

    async def acknowledged_all(self) -> None:
        """Return when no result waits for its acknowledgement."""
        await self._settled.wait()

    def _hand_back_waiting(self, reason: str) -> int:
        waiting = list(self._waiting)
        for held in waiting:
            self._hand_back(held, reason)
        return len(waiting)

    def _hand_back(self, held: Held, reason: str) -> None:
        """It was never spawned."""
        if held in self._waiting:
            self._waiting.remove(held)
        self._active.pop(held, None)
        self._held.pop(key_of(held.ref), None)
        if not held.disowned:
            self._outbox.events(Returned(held.ref, reason))

    def _disown(self, ref: AttemptRef) -> None:
        held = self._held.get(key_of(ref))
        if held is None:
            return
        if held.phase is Phase.WAITING:
            self._waiting.remove(held)
            del self._held[key_of(ref)]
        elif held.phase is not Phase.ENDED:
            # A result that is there already is handed in all the same: the fence decides.
            held.disowned = True
            self._warden.tell(End(key_of(ref), "disowned", "its lease is no longer this runner's"))

    def _forget(self, held: Held) -> None:
        self._held.pop(key_of(held.ref), None)
        self._reading.remember(held)
        if held.result is not None:
            held.result = None
            self._owed -= 1
            if not self._owed:
                self._settled.set()

    def _say_credit(self) -> None:
        takes = not (self.draining or self.halted)
        self._outbox.credit(Credit(self.slots + self._pace.at_hand if takes else 0))

    async def busy(self) -> None:
        """Return when something runs."""
        await self._busy.wait()

    async def idle(self) -> None:
        """Return when nothing runs."""
        await self._idle.wait()

    def view(self) -> Sequence[Held]:
        """Every attempt in hand."""
        return list(self._held.values())
