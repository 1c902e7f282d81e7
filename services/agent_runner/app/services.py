"""Keeps services alive: one endless attempt each, with a start of its own for every process in it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable
from contextlib import suppress
from typing import Protocol

from clients.attachment_values import EndCause, Frozen, OrderKind, Result, Welcome
from clients.wire_values import micros_of
from foundation.clock import Clock
from foundation.log import Logger
from services.agent_runner.app.attempt_messages import boot_us_of, result_of, start_order, started_of
from services.agent_runner.app.health import Health
from services.agent_runner.app.held import Held, Phase
from services.agent_runner.app.lateness import Lateness
from services.agent_runner.app.outbox import Outbox
from services.agent_runner.app.reading import Reading
from services.agent_runner.app.saying import tell_stragglers
from services.agent_runner.app.service import NEVER, Service, how_it_ended, last_lines
from services.agent_runner.app.terms import TermsBook
from services.agent_runner.domain.service import (
    EXITS_OF_CONFIGURATION,
    UNHEALTHY_MAX,
    After,
    Ends,
    after_end,
    after_refusal,
    held_sentence,
)
from services.agent_runner.ports import ScriptFiles, WardenLink
from services.agent_runner.warden.protocol import (
    End,
    Ended,
    Message,
    Pause,
    Paused,
    Refused,
    Release,
    Resume,
    Spawned,
)

LOOK_SECONDS = 2.0
_ENDED_BY_US = {
    "cancel": EndCause.CANCEL,
    "stop": EndCause.POLICY,
    "mode": EndCause.POLICY,
    "fence": EndCause.FENCE,
    "disowned": EndCause.FENCE,
    "handed_back": EndCause.HANDED_BACK,
}
_REFUSED_BY_US = {"mode": EndCause.POLICY, "fence": EndCause.FENCE, "withdrawn": EndCause.HANDED_BACK}
_ORDERED = {OrderKind.CANCEL: "cancel", OrderKind.STOP: "stop", OrderKind.DISOWN: "disowned"}


class Attempts(Protocol):
    """What the runner does with the attempts of services as with all others. `terms` are from its last welcome."""

    terms: Welcome

    def finish(self, held: Held, result: Result) -> None:
        """Its attempt has ended."""

    def refused(self, held: Held, refusal: Refused) -> None:
        """Its first process was not started: nothing has happened."""

    def unproved(self, held: Held) -> None:
        """Its processes cannot be proved dead."""


class Services:
    """One loop owns it, the runner's."""

    def __init__(
        self,
        attempts: Attempts,
        warden: WardenLink,
        terms: TermsBook,
        reading: Reading,
        outbox: Outbox,
        scripts: ScriptFiles,
        *,
        clock: Clock,
        log: Logger,
    ) -> None:
        self._attempts = attempts
        self._warden = warden
        self._terms = terms
        self._reading = reading
        self._lateness = Lateness(reading, self._ended_late)
        self._outbox = outbox
        self._scripts = scripts
        self._clock = clock
        self._log = log
        self._of: dict[Held, Service] = {}
        self._by_key: dict[str, Service] = {}
        self._health = Health(warden, terms, reading, lambda: attempts.terms.lease_seconds)
        self._wake = asyncio.Event()

    # -- from the coordinator, by the runner

    def take(self, held: Held) -> None:
        """A lease of a service has arrived: its first process is asked for."""
        assert held.lease.terms.service is not None, "it is a service"
        service = self._of[held] = Service(held, held.lease.terms.service)
        self._start(service)

    def holds(self, held: Held) -> bool:
        """Whether this attempt is a service's that goes on."""
        return held in self._of

    def keys(self, held: Held) -> Iterable[str]:
        """What the warden holds of it, for renewals."""
        return self._of[held].keys()

    def say(self, held: Held, boot_us: int) -> None:
        """Say again how it stands, on a new stream."""
        service = self._of[held]
        if service.begun:
            self._outbox.events(service.news(boot_us))

    def obey(self, held: Held, kind: OrderKind, reason: str) -> None:
        """Carry out an order, in whatever state it is."""
        service = self._of[held]
        match kind:
            case OrderKind.RECALL:
                # Only what was not started goes back; between two processes it has been.
                if not service.begun:
                    self._end(service, "withdrawn", reason)
            case OrderKind.PAUSE:
                self._pause(service, True)
            case OrderKind.CONTINUE:
                self._pause(service, False)
            case _:
                self._end(service, _ORDERED[kind], reason)

    def give_back(self, sentence: str) -> None:
        """The runner takes no more work: a service never ends by itself, so it is ended and goes elsewhere."""
        for service in list(self._of.values()):
            self._end(service, "handed_back", sentence)

    def halt(self, sentence: str) -> None:
        """Everything is stopped; the warden sees to the processes that there are."""
        for service in list(self._of.values()):
            if service.begun and not service.key:
                self._finish(service, EndCause.POLICY, sentence)

    def _end(self, service: Service, cause: str, sentence: str) -> None:
        if service.ending is None:
            known = _ENDED_BY_US.get(cause, EndCause.HANDED_BACK)
            service.ending = (known, sentence)
        if service.key:
            # Not spawned yet, it is withdrawn; what the warden says of it decides.
            self._warden.tell(End(service.key, cause, sentence))
        else:
            self._finish(service, *service.ending)

    def _pause(self, service: Service, paused: bool) -> None:
        service.paused = paused
        if service.up:
            self._warden.tell(Pause(service.key) if paused else Resume(service.key))
        elif not service.key and service.held.paused != paused:
            # Between two processes there is nothing to freeze: it just does not start.
            service.held.paused = paused
            self._outbox.events(Frozen(service.held.ref, paused))
            self._wake.set()

    # -- from the warden

    def news(self, key: str, message: Message, boot_us: int) -> None:
        """What the warden says of a process of a service, or of a question to it."""
        service = self._by_key.get(key)
        if service is None:
            return
        if key != service.key:
            self._answered(service, key, message, boot_us)
            return
        match message:
            case Spawned():
                self._spawned(service, message, boot_us)
            case Paused():
                service.held.paused = message.paused
                self._outbox.events(Frozen(service.held.ref, message.paused))
            case Refused():
                self._refused(service, message, boot_us)
            case Ended():
                self._note_start(service, message, boot_us)
                if not self._lateness.takes(service.held, message):
                    self._ended(service, message, boot_us)

    def _ended_late(self, held: Held, ended: Ended) -> None:
        self._ended(self._of[held], ended, boot_us_of(self._clock))

    def _spawned(self, service: Service, spawned: Spawned, boot_us: int) -> None:
        held, now = service.held, spawned.at
        held.pid = spawned.pid
        self._reading.go_on(held, spawned.slot)
        self._is_up(service, now, boot_us)
        if not service.paused and held.paused:
            held.paused = False
            self._outbox.events(Frozen(held.ref, False))
        if service.paused:
            self._warden.tell(Pause(service.key))

    def _is_up(self, service: Service, at: float, boot_us: int) -> None:
        held = service.held
        service.up = True
        service.calm_at = at + service.rule.window_seconds if service.ends.within else NEVER
        service.look_at = at + LOOK_SECONDS
        service.probe.due_at = at + service.rule.health_seconds if service.rule.health_seconds else NEVER
        service.probe.unhealthy, service.probe.health = 0, ""
        if held.phase is Phase.WAITING:
            held.phase, held.started_at = Phase.RUNNING, at
            self._outbox.events(started_of(held, boot_us))
        if service.number > 1:
            self._outbox.events(service.news(boot_us))
        self._wake.set()

    def _note_start(self, service: Service, ended: Ended, boot_us: int) -> None:
        """It was so short that its start is told with its end."""
        if not service.up:
            self._is_up(service, ended.started_at, boot_us)
            if ended.slot >= 0:
                self._reading.go_on(service.held, ended.slot)

    def _ended(self, service: Service, ended: Ended, boot_us: int) -> None:
        held = service.held
        self._forget_process(service)
        tell_stragglers(self._log, held.ref.task_id, ended)
        output, report = self._reading.finish(held, ended)
        service.last = result_of(held, ended, output, report, boot_us=boot_us)
        service.cpu_us += service.last.cpu_us
        service.active_us += service.last.duration_us
        service.last_end, service.last_lines = how_it_ended(ended), last_lines(output.tail())
        held.slot = -1
        held.notify()
        if not ended.tree_dead:
            said = "held: its processes cannot be proved dead, and there must never be two of it"
            self._finish(service, EndCause.SERVICE_HELD, said)
            self._attempts.unproved(held)
            return
        if ended.slot >= 0:
            self._warden.tell(Release(ended.slot))
        if service.ending is not None:
            self._finish(service, *service.ending)
        elif ended.cause in _ENDED_BY_US:
            self._finish(service, _ENDED_BY_US[ended.cause], ended.sentence)
        elif ended.cause == "changed":
            self._start_anew(service)
        elif why := _misconfigured(ended):
            self._finish(service, EndCause.SERVICE_HELD, f"held: it {service.last_end}: {why}")
        else:
            self._after_end(service, ended, boot_us)

    def _after_end(self, service: Service, ended: Ended, boot_us: int) -> None:
        ran, now = ended.active_seconds, self._clock.boottime()
        after = after_end(service.ends, service.rule, ran_seconds=ran, now=now)
        service.escalated = after.escalated
        if after.held:
            said = held_sentence(after.ends, service.rule, service.last_end)
            self._finish(service, EndCause.SERVICE_HELD, said)
        else:
            self._wait(service, after, now, boot_us)

    def _wait(self, service: Service, after: After, now: float, boot_us: int) -> None:
        service.ends, service.next_start_at = after.ends, now + after.pause_seconds
        service.look_at = now + LOOK_SECONDS
        self._outbox.events(service.news(boot_us))
        self._wake.set()

    def _refused(self, service: Service, refusal: Refused, boot_us: int) -> None:
        self._forget_process(service)
        if not service.begun:
            del self._of[service.held]
            self._attempts.refused(service.held, refusal)
        elif service.ending is not None:
            self._finish(service, *service.ending)
        elif refusal.cause == "configuration":
            self._finish(service, EndCause.SERVICE_HELD, f"held: it cannot be started again: {refusal.sentence}")
        elif refusal.cause in ("resources", "host"):
            service.last_end = f"could not be started: {refusal.sentence}"
            after = after_refusal(service.ends, service.rule, held=refusal.cause == "host")
            self._wait(service, after, self._clock.boottime(), boot_us)
        else:
            self._finish(service, _REFUSED_BY_US[refusal.cause], refusal.sentence)

    def _forget_process(self, service: Service) -> None:
        self._by_key.pop(service.key, None)
        service.key, service.up, service.held.pid = "", False, 0
        self._health.leave(service)
        service.calm_at = NEVER

    def _answered(self, service: Service, key: str, message: Message, boot_us: int) -> None:
        before = service.probe.health
        if isinstance(message, Ended | Refused):
            self._by_key.pop(key, None)
        fault = self._health.heard(service, key, message, now=self._clock.boottime())
        if isinstance(message, Ended) and not message.tree_dead:
            self._attempts.unproved(service.held)
        elif fault and service.probe.unhealthy >= UNHEALTHY_MAX:
            said = f"it was unhealthy {UNHEALTHY_MAX} times in a row, the last time its --health {fault}"
            self._warden.tell(End(service.key, "health", said))
        if service.probe.health != before:
            self._outbox.events(service.news(boot_us))

    # -- by itself

    async def keep_alive(self) -> None:
        """Start, ask and look when it is time, for ever; sleeps while there are no services."""
        while True:
            self._wake.clear()
            pause = self.tick()
            with suppress(TimeoutError):
                async with asyncio.timeout(None if pause == NEVER else pause):
                    await self._wake.wait()

    def tick(self) -> float:
        """Do what is due; returns the seconds until something may be."""
        now = self._clock.boottime()
        for service in list(self._of.values()):
            if service.due_at() <= now:
                self._do_due(service, now)
        due = min((service.due_at() for service in self._of.values()), default=NEVER)
        return due if due == NEVER else max(due - self._clock.boottime(), 0.0)

    def _do_due(self, service: Service, now: float) -> None:
        if service.look_at <= now:
            self._look_at_script(service, now)
        if service.up:
            if service.calm_at <= now:
                service.calm_at, service.escalated = NEVER, False
                self._outbox.events(service.news(boot_us_of(self._clock)))
            if service.probe.due_at <= now and service.ending is None:
                self._ask(service, now)
        elif not service.key and service.next_start_at <= now and not service.paused:
            self._start(service)

    def _ask(self, service: Service, now: float) -> None:
        if service.held.paused:
            service.probe.due_at = now + service.rule.health_seconds  # what is frozen cannot answer
        else:
            self._by_key[self._health.ask(service)] = service

    def _look_at_script(self, service: Service, now: float) -> None:
        """A script that has changed, and does so no more, is started anew; that is no end of its own."""
        service.look_at = now + LOOK_SECONDS
        found = self._scripts.stamp(service.held.lease.terms.script)
        settled, service.seen_stamp = found == service.seen_stamp, found
        if found is None or found == service.stamp or not settled or service.ending is not None:
            return
        if service.up:
            self._warden.tell(End(service.key, "changed", "its script has changed"))
        elif not service.key:
            self._start_anew(service)

    def _start_anew(self, service: Service) -> None:
        service.ends, service.escalated = Ends(), False
        service.last_end = "was started anew, because its script has changed"
        service.next_start_at = self._clock.boottime()
        self._wake.set()

    def _start(self, service: Service) -> None:
        held = service.held
        service.number += 1
        service.key = f"{held.key}#{service.number}"
        self._by_key[service.key] = service
        service.next_start_at = NEVER
        service.stamp = service.seen_stamp = self._scripts.stamp(held.lease.terms.script)
        # The book may have given the number of its terms away meanwhile.
        held.known = self._terms.look_up(held.lease.terms)
        start = start_order(held, self._attempts.terms.lease_seconds)
        self._warden.tell(start._replace(key=service.key, beside=True))

    def _finish(self, service: Service, cause: EndCause, sentence: str) -> None:
        self._forget_process(service)
        del self._of[service.held]
        service.held.paused = False
        result = service.result(cause, sentence, micros_of(self._clock.now()), boot_us_of(self._clock))
        if cause is EndCause.SERVICE_HELD:
            said = f"Service {service.held.lease.terms.agent} is {sentence}."
            self._log.error(said, action="service_held", task=service.held.ref.task_id)
        self._attempts.finish(service.held, result)


def _misconfigured(ended: Ended) -> str:
    """Why starting it again cannot help; empty: it may."""
    if ended.cause != "exit" or ended.status == -1 or not os.WIFEXITED(ended.status):
        return ""
    return EXITS_OF_CONFIGURATION.get(os.WEXITSTATUS(ended.status), "")
