"""The runner: holds leases, has them spawned as slots come free, and reports until it is acknowledged."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from types import MappingProxyType

from clients.attachment_values import (
    AttemptRef,
    Credit,
    EndCause,
    Frozen,
    Heartbeat,
    HeartbeatAck,
    HostState,
    Lease,
    Order,
    OrderKind,
    Result,
    ResultAcks,
    Returned,
    Welcome,
)
from foundation.clock import Clock
from foundation.log import Logger
from services.agent_runner.app.at_work import AtWork
from services.agent_runner.app.attempt_messages import (
    REFUSALS,
    boot_us_of,
    result_of,
    start_order,
    started_of,
    told_of,
    unspawned,
)
from services.agent_runner.app.beats import Beats
from services.agent_runner.app.debts import Debts
from services.agent_runner.app.gathering import Gathering
from services.agent_runner.app.held import Held, Phase, key_of
from services.agent_runner.app.lateness import Lateness
from services.agent_runner.app.outbox import Outbox
from services.agent_runner.app.reading import Reading
from services.agent_runner.app.saying import tell_halt, tell_hold, tell_stragglers, tell_unproved
from services.agent_runner.app.services import Services
from services.agent_runner.app.standstill import Standstill
from services.agent_runner.app.terms import TermsBook
from services.agent_runner.domain.pace import Pace
from services.agent_runner.domain.reach import UNCONFINED, Confinement
from services.agent_runner.ports import ScriptFiles, SecretSource, WardenLink
from services.agent_runner.warden.protocol import (
    End,
    Ended,
    Halted,
    Hold,
    Message,
    Paused,
    Refused,
    Release,
    Renew,
    Shutdown,
    Spawned,
    Withdraw,
)
from services.agent_runner.warden.waiting import PAUSED_MAX

NONE_REFUSED: Mapping[AttemptRef, tuple[EndCause, str]] = MappingProxyType({})


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
        gateway: str,
        nice: int = 0,
        paused_max: int = PAUSED_MAX,
        warden: WardenLink,
        reading: Reading,
        secrets: SecretSource,
        outbox: Outbox,
        scripts: ScriptFiles,
        clock: Clock,
        log: Logger,
        confinement: Confinement = UNCONFINED,
    ) -> None:
        self.slots = slots
        self.terms = terms
        self.enforcement, self.confinement = enforcement, confinement
        self.draining = False
        self.halted = False
        self.attached = self.welcomed = False
        self.host = HostState()
        self._pace = Pace(slots, prefetch)
        self._warden = warden
        self._terms = TermsBook(workspace, gateway, enforcement, nice, warden.tell, confinement)
        self._reading = reading
        self._gathering = Gathering(secrets, ready=self._start, failed=self._fail)
        self._lateness = Lateness(reading, lambda held, ended: self._ended(held, ended, boot_us_of(clock)))
        self._outbox = outbox
        self._clock = clock
        self._log = log
        self.services = Services(self, warden, self._terms, reading, outbox, scripts, clock=clock, log=log)
        self._held: dict[str, Held] = {}
        self._active = AtWork()
        self._standstill = Standstill(self._active, self._gathering, self._pace, warden, slots, paused_max)
        self.debts = Debts(outbox, clock)
        self._beats = Beats()
        self._certain_at = clock.boottime()  # leases that arrive now are no older than this
        self._decided = asyncio.Event()  # the warden has told what became of what was withdrawn
        self._decided.set()

    # -- the coordinator speaks

    def welcome(self, terms: Welcome, hello_sent_at: float) -> None:
        """A stream is up: say again what may have been lost with the one before."""
        self.terms, self.attached, self.welcomed = terms, True, True
        self._certain_at = hello_sent_at
        self._beats.forget()
        self._outbox.clear()
        for ref in terms.disowned:
            if (held := self._held.get(key_of(ref))) is not None:
                self._disown(held)
        boot_us = boot_us_of(self._clock)
        for held in self._held.values():
            if held.phase is Phase.RUNNING:
                self._outbox.events(started_of(held, boot_us))
                self._outbox.events(Frozen(held.ref, held.paused))
                if self.services.holds(held):
                    self.services.say(held, boot_us)
            elif held.result is not None:
                self._outbox.events(held.result)
        self._renew(hello_sent_at, list(self._held))
        self._outbox.host(self.host)
        self._say_credit()

    def detached(self) -> None:
        """The stream has broken; what runs goes on until its deadlines."""
        self.attached = False

    def refs(self) -> Sequence[AttemptRef]:
        """Every attempt in hand, also those whose results wait for the acknowledgement."""
        return [held.ref for held in self._held.values()]

    def take(self, leases: Iterable[Lease], refused: Mapping[AttemptRef, tuple[EndCause, str]] = NONE_REFUSED) -> None:
        """Leases have arrived; the warden starts each as soon as there is room, but those that are `refused`."""
        for lease in leases:
            key = key_of(lease.ref)
            if key in self._held:
                continue
            known = self._terms.look_up(lease.terms)
            held = self._held[key] = Held(key, lease, known, self._certain_at, self._clock.boottime())
            if why := self._refuses(check=lease.terms.check):
                self._hand_back(held, why)
            elif lease.ref in refused:
                self._fail(held, *refused[lease.ref])
            elif held.known.refusal:
                self._fail(held, EndCause.SPAWN_CONFIGURATION, held.known.refusal)
            else:
                self._active.add(held)
                self._gathering.begin(held)

    def _start(self, held: Held) -> None:
        # While its secrets were fetched, the book may have given the number of its terms away.
        held.known = self._terms.look_up(held.lease.terms)
        if held.lease.terms.service is not None:
            self.services.take(held)
        else:
            self._warden.tell(start_order(held, self.terms.lease_seconds))

    def obey(self, orders: Iterable[Order]) -> None:
        """Carry out orders about attempts."""
        for order in orders:
            if (held := self._held.get(key_of(order.ref))) is not None:
                self._obey(held, order)

    def _obey(self, held: Held, order: Order) -> None:
        # Only the warden knows whether it is spawned; what it says then decides between a result and a return.
        match order.kind:
            case OrderKind.RECALL | OrderKind.CANCEL | OrderKind.STOP if self._gathering.drop(held):
                self._hand_back(held, order.reason)
            case OrderKind.DISOWN:
                self._disown(held)
            case _ if self.services.holds(held):
                self.services.obey(held, order.kind, order.reason)
            case _:
                self._warden.tell(told_of(held.key, order))

    def acknowledged(self, acks: ResultAcks) -> None:
        """Results that need not be kept any more."""
        for ref in (*acks.accepted, *acks.refused):
            if (held := self._held.get(key_of(ref))) is not None and held.phase is Phase.ENDED:
                self._forget(held)

    def heartbeat(self) -> None:
        """Name all attempts in hand, and why some are not begun; say again results that were never acknowledged."""
        boottime = self._clock.boottime()
        standing = self._standstill.look(boottime)
        if standing.given_back:
            self._say_credit()
        sequence = self._beats.send(boottime, list(self._held))
        self._outbox.heartbeat(Heartbeat(sequence, self.refs(), self.draining, standing.waits, standing.stalled))
        self.debts.remind(self._held.values(), before=boottime - 2 * self.terms.heartbeat_seconds)

    def renewed(self, ack: HeartbeatAck) -> None:
        """The coordinator has taken a heartbeat: deadlines count from when it was sent."""
        beat = self._beats.acknowledged(ack.sequence)
        self.obey(ack.orders)
        if beat is not None:
            self._certain_at = beat[0]
            self._renew(*beat)

    def _renew(self, sent_at: float, keys: Sequence[str]) -> None:
        active: list[str] = []
        for key in keys:
            if (held := self._held.get(key)) is not None and not held.disowned:
                held.renewed_at = max(held.renewed_at, sent_at)
                if self.services.holds(held):
                    active += self.services.keys(held)
                elif held in self._active:
                    active.append(key)
        if active:
            self._warden.tell(Renew(sent_at, self.terms.lease_seconds, active))

    # -- the warden speaks

    def news(self, messages: Sequence[Message]) -> None:
        """What the warden saw, in order."""
        boot_us = boot_us_of(self._clock)
        for message in messages:
            match message:
                case Halted(stopped):
                    self._halt(stopped)
                case Spawned(key) | Refused(key) | Ended(key) | Paused(key):
                    if (held := self._held.get(key)) is not None:
                        self._take_news(held, message, boot_us)
                    else:
                        self.services.news(key, message, boot_us)
        if not self._decided.is_set() and not self._waiting():
            self._decided.set()

    def _take_news(self, held: Held, message: Spawned | Refused | Ended | Paused, boot_us: int) -> None:
        match message:
            case Spawned():
                held.phase, held.slot, held.pid, held.started_at = Phase.RUNNING, message.slot, message.pid, message.at
                self._outbox.events(started_of(held, boot_us))
            case Refused():
                self.refused(held, message)
            case Paused():
                held.paused = message.paused
                self._outbox.events(Frozen(held.ref, message.paused))
            case Ended() if not self._lateness.takes(held, message):
                self._ended(held, message, boot_us)

    def _halt(self, stopped: bool) -> None:
        # The warden refuses by itself what waits there.
        self.halted = stopped
        tell_halt(self._log, stopped)
        if stopped:
            self.services.halt("everything is stopped: the workspace has a STOP file")
        self._say_credit()

    def refused(self, held: Held, refusal: Refused) -> None:
        """It was not spawned."""
        if cause := REFUSALS.get(refusal.cause):
            self._fail(held, cause, refusal.sentence)
        else:
            self._hand_back(held, refusal.sentence)

    def _fail(self, held: Held, cause: EndCause, sentence: str) -> None:
        self._active.remove(held)
        held.phase = Phase.ENDED
        held.result = unspawned(held.lease, cause, sentence, now=self._clock.now())
        self.debts.report(held)

    def _ended(self, held: Held, ended: Ended, boot_us: int) -> None:
        output, report = self._reading.finish(held, ended)
        tell_stragglers(self._log, held.ref.task_id, ended)
        held.started_at, held.paused = ended.started_at, False
        if not held.lease.terms.check and self._pace.observe(ended.active_seconds):
            self._say_credit()
        self.finish(held, result_of(held, ended, output, report, boot_us=boot_us))
        if not ended.tree_dead:
            self.unproved(held)
        elif ended.slot >= 0:
            self._warden.tell(Release(ended.slot))

    def finish(self, held: Held, result: Result) -> None:
        """Its attempt has ended: told until it is acknowledged, unless nobody wants to know."""
        self._active.remove(held)
        held.phase, held.secrets = Phase.ENDED, {}
        if held.disowned:
            self._forget(held)
        else:
            held.result = result
            self.debts.report(held)
        held.notify()

    def unproved(self, held: Held) -> None:
        """Its processes cannot be proved dead: nothing more is started beside them."""
        tell_unproved(self._log, held)
        self.drain()

    # -- giving back

    def fares(self, host: HostState) -> None:
        """The machine fares like this; while there is a reason to hold, no more starts, and what waits goes back."""
        if bool(self.host.held_reason) != bool(host.held_reason):
            tell_hold(self._log, host)
        if self.host.held_reason or host.held_reason:
            self._warden.tell(Hold(host.held_reason, bool(host.disk_short)))
        self.host = host
        self._say_credit()
        self._outbox.host(host)

    def drain(self, why: str = "the runner drains") -> None:
        """Take no more work; what is not spawned yet goes back, the rest runs to its end, but services have none."""
        self.draining = True
        for held in self._waiting():
            if self._gathering.drop(held):
                self._hand_back(held, why)
        if waiting := self._waiting():
            self._decided.clear()
            self._warden.tell(Withdraw([held.key for held in waiting], why))
        self.services.give_back(why)
        self._say_credit()

    async def drain_and_count(self) -> tuple[int, int]:
        """Drain; returns how many leases went back and how many attempts run to their end."""
        waiting = self._waiting()
        self.drain()
        await self._decided.wait()
        return sum(held.phase is Phase.RETURNED for held in waiting), len(self._active)

    def _waiting(self) -> list[Held]:
        return [held for held in self._active.waiting() if not self.services.holds(held)]

    async def shut_down(self, patience: timedelta) -> bool:
        """Hand back what waits, end what runs, and report it; false when that took too long."""
        self.drain("the runner was stopped")
        self._warden.tell(Shutdown("the runner was stopped"))
        try:
            async with asyncio.timeout(patience.total_seconds()):
                await self._active.idle()
        except TimeoutError:
            return False
        return True

    def _hand_back(self, held: Held, reason: str) -> None:
        """It was never spawned."""
        held.phase = Phase.RETURNED
        self._active.remove(held)
        self._held.pop(held.key, None)
        held.notify()
        if not held.disowned:
            self._outbox.events(Returned(held.ref, reason))

    def _disown(self, held: Held) -> None:
        if held.phase is Phase.ENDED:
            return  # a result that is there already is handed in all the same: the fence decides
        held.disowned, why = True, "its lease is no longer this runner's"
        if self._gathering.drop(held):
            self._hand_back(held, "")
        elif self.services.holds(held):
            self.services.obey(held, OrderKind.DISOWN, why)
        else:
            self._warden.tell(End(held.key, "disowned", why))

    def _forget(self, held: Held) -> None:
        self._held.pop(held.key, None)
        self._reading.remember(held)
        self.debts.settle(held)

    def _say_credit(self) -> None:
        leases_max = 0 if self._refuses(check=False) else self.slots + self._pace.at_hand
        self._outbox.credit(Credit(leases_max, bool(self._refuses(check=True))))

    def _refuses(self, *, check: bool) -> str:
        """Why nothing new is taken. Somebody waits for a merge check: of what a machine lacks, only its disk counts."""
        closed = "the runner takes no work" if self.draining or self.halted else ""
        return closed or (self.host.disk_short if check else self.host.held_reason)

    async def busy(self) -> None:
        """Return when something runs."""
        await self._active.busy()

    def trees(self) -> Sequence[int]:
        """The main process of everything that runs."""
        return [held.pid for held in self._active if held.pid]  # a service may be between two processes

    def view(self) -> Sequence[Held]:
        """Every attempt in hand."""
        return list(self._held.values())
