"""The warden's loop: orders in, processes watched, deadlines kept, news out; one thread, nothing in it
blocks."""

from __future__ import annotations

import os
import selectors
import signal
import socket
from pathlib import Path

from foundation.clock import Clock
from services.agent_runner.warden.attempt import NEVER, Attempt, Breach
from services.agent_runner.warden.cgroups import Cells
from services.agent_runner.warden.fence import Stage, fence
from services.agent_runner.warden.host import Host
from services.agent_runner.warden.link import Link
from services.agent_runner.warden.news import News
from services.agent_runner.warden.protocol import (
    End,
    Halted,
    Hold,
    Message,
    Pause,
    Ready,
    Refused,
    Release,
    Renew,
    Resume,
    Shutdown,
    Start,
    Terms,
    Withdraw,
)
from services.agent_runner.warden.reaping import REAP_GRACE_SECONDS
from services.agent_runner.warden.slots import Slots
from services.agent_runner.warden.spawn import Prepared, Spawner, SpawnRefused
from services.agent_runner.warden.trees import STOP_GRACE_SECONDS_MAX, Trees
from services.agent_runner.warden.waiting import Queue, Waiting

STOP_LOOK_SECONDS = 0.5
STOP_SENTENCE = "everything is stopped: the workspace has a STOP file"


class Warden:
    """Owns the processes of one runner, and outlives it until the last of them has ended."""

    def __init__(
        self,
        *,
        link: socket.socket,
        host: Host,
        spawner: Spawner,
        slots: Slots,
        cells: Cells,
        at_once: int,
        paused_max: int,
        stop_file: Path,
        clock: Clock,
        helpers: set[int],
    ) -> None:
        """At most `at_once` attempts run at the same time, up to `paused_max` paused ones not counted."""
        self._host = host
        self._spawner = spawner
        self._slots = slots
        self._cells = cells
        self._stop_file = str(stop_file)
        self._clock = clock
        self._queue = Queue(at_once, paused_max)
        self._news = News(lambda: len(self._trees.attempts) - self._trees.beside + len(self._queue))
        self._trees = Trees(host, slots, self._news, clock, helpers)
        self._terms: dict[int, Prepared] = {}
        self._stop_look_at = 0.0
        self._stopped = False
        self._closing = ""  # why no more is started; empty: starts are welcome
        self._held = Hold("")  # the same, of the machine, and not for ever
        self._selector = selectors.DefaultSelector()
        self._link = Link(link, self._selector)
        self._link_fd = link.fileno()
        self._bell = host.listen({signal.SIGCHLD, signal.SIGTERM})
        self._selector.register(self._bell, selectors.EVENT_READ)
        if cells.bell >= 0:
            self._selector.register(cells.bell, selectors.EVENT_READ)

    def run(self, ready: Ready) -> None:
        """Serve until the runner has gone or said goodbye, and every tree has ended."""
        self._news.tell(ready)
        while True:
            self._link.send(self._news.take(self._clock.boottime()))
            if not self._trees.attempts and (not self._link.up or (self._closing and self._all_told())):
                return
            self._turn()

    def _all_told(self) -> bool:
        return self._link.drained and self._news.due == NEVER

    def _turn(self) -> None:
        now = self._clock.boottime()
        pause = max(0.0, min(self._trees.look_at, self._stop_look_at, self._news.due) - now)
        if self._slots.sweeping:
            pause = 0.0
        ready = [key.fd for key, events in self._selector.select(pause) if events & selectors.EVENT_READ]
        now = self._clock.boottime()
        if self._bell in ready:
            if signal.SIGTERM in self._host.heard(self._bell):
                # By the successor of a runner that is gone, which registers no earlier than everything here is dead.
                self._shut_down("its warden was told to end", grace_max=REAP_GRACE_SECONDS)
            self._trees.reap(now)
        if self._cells.bell in ready:
            self._cells.heard()
            self._trees.look_at = 0.0
        if self._link_fd in ready and self._link.up:
            for message in self._link.receive():
                self._obey(message)
        if now >= self._stop_look_at:
            self._look_for_stop(now)
            # Nobody's project folder is kept busy by this process.
            os.chdir("/")
        if now >= self._trees.look_at:
            self._trees.keep_deadlines(now)
        self._slots.sweep()
        if self._queue:
            self._start_waiting(now)

    def _obey(self, message: Message) -> None:
        match message:
            case Start():
                self._queue.put(Waiting(message, self._terms[message.terms]))
            case Terms():
                self._terms[message.number] = self._spawner.prepare(message)
            case Withdraw(keys, sentence):
                self._withdraw(keys, sentence)
            case Hold():
                self._held = message
            case Release(slot):
                self._slots.release(slot)
            case Renew(sent_at, lease, keys):
                for key in keys:
                    self._renew(key, sent_at, lease)
            case End(key, cause, sentence):
                self._end(key, Breach(cause, sentence))
            case Pause(key) | Resume(key):
                if attempt := self._trees.attempts.get(key):
                    attempt.paused = isinstance(message, Pause)
                    self._trees.look_at = 0.0
            case Shutdown(sentence):
                self._shut_down(sentence)
            case _:
                raise ValueError(f"{type(message).__name__} is not an order")

    def _end(self, key: str, breach: Breach) -> None:
        if attempt := self._trees.attempts.get(key):
            self._trees.end(attempt, breach, now=self._clock.boottime())
        else:
            self._withdraw([key], breach.sentence)

    def _renew(self, key: str, sent_at: float, lease: float) -> None:
        held = self._trees.attempts.get(key) or self._queue.find(key)
        if held is None or sent_at < held.renewed_at:
            return
        held.renewed_at, held.lease = sent_at, lease
        if isinstance(held, Attempt) and held.frozen_at:
            self._trees.look_at = 0.0

    def _withdraw(self, keys: list[str], sentence: str) -> None:
        # The runner waits to hear of each of them what has become of it.
        self._news.hurry()
        for key in keys:
            if self._queue.withdraw(key):
                self._news.tell(Refused(key, "withdrawn", sentence))

    def _refuse_waiting(self, sentence: str, cause: str = "mode", *, but_checks: bool = False) -> None:
        for key in self._queue.withdraw_all(but_checks=but_checks):
            self._news.tell(Refused(key, cause, sentence))

    def _shut_down(self, sentence: str, *, grace_max: float = STOP_GRACE_SECONDS_MAX) -> None:
        self._closing = self._closing or sentence
        self._refuse_waiting(self._closing)
        self._trees.end_all(Breach("handed_back", sentence), now=self._clock.boottime(), grace_max=grace_max)

    def _look_for_stop(self, now: float) -> None:
        self._stop_look_at = now + STOP_LOOK_SECONDS
        stopped = os.path.lexists(self._stop_file)
        if stopped:
            self._refuse_waiting(STOP_SENTENCE)
            self._trees.end_all(Breach("mode", STOP_SENTENCE), now=now)
        if stopped != self._stopped:
            self._stopped = stopped
            self._news.tell(Halted(stopped))

    def _start_waiting(self, now: float) -> None:
        """Start what there is room for, unless nothing may start."""
        if not self._link.up:
            # Nobody is there to be told of an end, nor to renew.
            self._queue.withdraw_all()
        if self._closing:
            self._refuse_waiting(self._closing)
        if self._held.sentence:
            self._refuse_waiting(self._held.sentence, "host", but_checks=not self._held.checks)
        if self._trees.unproved:
            # Beside a tree that cannot be ended nothing is started; the runner will take the rest back.
            return
        self._look_for_stop(now)
        try:
            self._start_next(now)
        finally:
            self._spawner.rest()

    def _start_next(self, now: float) -> None:
        refused = True
        while refused:  # its room is for the next one
            refused = False
            for waiting in self._queue.next_up(self._trees.attempts.values()):
                try:
                    self._start(waiting, now)
                except SpawnRefused as refusal:
                    refused = True
                    self._news.tell(Refused(waiting.start.key, refusal.cause, refusal.sentence))

    def _start(self, waiting: Waiting, now: float) -> None:
        start, prepared = waiting.start, waiting.prepared
        if fence(waiting.renewed_at, waiting.lease, now).stage is not Stage.HELD:
            raise SpawnRefused("fence", "its lease had run down before it could be started")
        try:
            slot = self._slots.take()
        except OSError as error:
            raise SpawnRefused("resources", f"no slot could be made: {error}") from error
        try:
            slot.prepare(start.params, start.last_report, start.credential, start.secrets)
            cell = self._cells.cell(slot.index)
            pid, tag = self._spawner.spawn(start, prepared, slot, cell)
        except OSError as error:
            self._slots.retire(slot.index)
            self._cells.retire(slot.index)
            raise SpawnRefused("resources", f"its slot could not be made ready: {error}") from error
        except (SpawnRefused, ValueError) as refusal:
            slot.tidy()
            self._slots.release(slot.index)
            if isinstance(refusal, SpawnRefused):
                raise
            # A zero byte or half a character, which manifests and params may hold and no path or argument may.
            raise SpawnRefused("configuration", f"the system does not take what it is given: {refusal}") from refusal
        now = self._clock.boottime()
        renewed_at, lease = waiting.renewed_at, waiting.lease
        attempt = Attempt(start, prepared.terms, slot, cell, pid, tag, renewed_at=renewed_at, lease=lease, now=now)
        attempt.waiter = prepared.asked is not None and self._spawner.waits
        if cell and start.beside:
            cell.rest()
        self._trees.add(attempt)
