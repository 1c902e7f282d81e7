"""The warden's loop: orders in, processes watched, deadlines kept, news out; one thread, nothing in it
blocks."""

from __future__ import annotations

import os
import selectors
import signal
import socket
from pathlib import Path

from foundation.clock import Clock
from services.agent_runner.warden.attempt import Attempt, Breach
from services.agent_runner.warden.fence import Stage, fence
from services.agent_runner.warden.host import Host
from services.agent_runner.warden.link import Link
from services.agent_runner.warden.protocol import (
    End,
    Halted,
    Message,
    Pause,
    Ready,
    Refused,
    Release,
    Renew,
    Resume,
    Shutdown,
    Spawned,
    Start,
)
from services.agent_runner.warden.slots import Slots
from services.agent_runner.warden.spawn import Spawner, SpawnRefused
from services.agent_runner.warden.trees import Trees

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
        stop_file: Path,
        clock: Clock,
    ) -> None:
        self._spawner = spawner
        self._slots = slots
        self._stop_file = str(stop_file)
        self._clock = clock
        self._news: list[Message] = []
        self._trees = Trees(host, self._news)
        self._stop_look_at = 0.0
        self._stopped = False
        self._closing = ""  # why no more is started; empty: starts are welcome
        self._selector = selectors.DefaultSelector()
        self._link = Link(link, self._selector)
        self._link_fd = link.fileno()
        self._wake = _wake_on_signals()
        self._selector.register(self._wake, selectors.EVENT_READ)
        signal.signal(signal.SIGTERM, lambda *_: self._shut_down("its warden was told to end"))

    def run(self, ready: Ready) -> None:
        """Serve until the runner has gone or said goodbye, and every tree has ended."""
        self._news.append(ready)
        while True:
            self._link.send(self._news)
            self._news.clear()
            if not self._trees.attempts and (not self._link.up or (self._closing and self._link.drained)):
                return
            self._turn()

    def _turn(self) -> None:
        now = self._clock.boottime()
        pause = max(0.0, min(self._trees.look_at, self._stop_look_at) - now)
        ready = [key.fd for key, events in self._selector.select(pause) if events & selectors.EVENT_READ]
        now = self._clock.boottime()
        if self._wake.fileno() in ready:
            self._wake.recv(4096)
            self._trees.reap(now)
        if self._link_fd in ready and self._link.up:
            self._obey_all(self._link.receive())
        if now >= self._stop_look_at:
            self._look_for_stop(now)
        if now >= self._trees.look_at:
            self._trees.keep_deadlines(now)

    def _obey_all(self, messages: list[Message]) -> None:
        if any(isinstance(message, Start) for message in messages):
            self._look_for_stop(self._clock.boottime())
        for message in messages:
            self._obey(message)
        # Nobody's project folder is kept busy by this process.
        os.chdir("/")

    def _obey(self, message: Message) -> None:
        match message:
            case Start():
                self._start_or_refuse(message)
            case Release(slot):
                self._slots.release(slot)
            case Renew(sent_at, lease, keys):
                for key in keys:
                    self._renew(key, sent_at, lease)
            case End(key, cause, sentence):
                if attempt := self._trees.attempts.get(key):
                    self._trees.end(attempt, Breach(cause, sentence), now=self._clock.boottime())
            case Pause(key) | Resume(key):
                if attempt := self._trees.attempts.get(key):
                    attempt.paused = isinstance(message, Pause)
                    self._trees.look_at = 0.0
            case Shutdown(sentence):
                self._shut_down(sentence)
            case _:
                raise ValueError(f"{type(message).__name__} is not an order")

    def _renew(self, key: str, sent_at: float, lease: float) -> None:
        attempt = self._trees.attempts.get(key)
        if attempt is None or sent_at < attempt.renewed_at:
            return
        attempt.renewed_at, attempt.lease = sent_at, lease
        if attempt.frozen_at:
            self._trees.look_at = 0.0

    def _shut_down(self, sentence: str) -> None:
        self._closing = self._closing or sentence
        self._trees.end_all(Breach("handed_back", sentence), now=self._clock.boottime())

    def _look_for_stop(self, now: float) -> None:
        self._stop_look_at = now + STOP_LOOK_SECONDS
        stopped = os.path.lexists(self._stop_file)
        if stopped:
            self._trees.end_all(Breach("mode", STOP_SENTENCE), now=now)
        if stopped != self._stopped:
            self._stopped = stopped
            self._news.append(Halted(stopped))

    def _start_or_refuse(self, start: Start) -> None:
        try:
            self._start(start)
        except SpawnRefused as refusal:
            self._news.append(Refused(start.key, refusal.cause, refusal.sentence))

    def _start(self, start: Start) -> None:
        if self._stopped or self._closing:
            raise SpawnRefused("mode", STOP_SENTENCE if self._stopped else self._closing)
        if fence(start.leased_at, start.lease, self._clock.boottime()).stage is not Stage.HELD:
            raise SpawnRefused("fence", "its lease had run down before it could be started")
        try:
            slot = self._slots.take()
        except OSError as error:
            raise SpawnRefused("resources", f"no slot could be made: {error}") from error
        try:
            slot.prepare(start.params, start.last_report)
            pid, tag = self._spawner.spawn(start, slot)
        except OSError as error:
            self._slots.retire(slot.index)
            raise SpawnRefused("resources", f"its slot could not be made ready: {error}") from error
        except SpawnRefused:
            slot.tidy()
            self._slots.release(slot.index)
            raise
        now = self._clock.boottime()
        self._trees.add(Attempt(start, slot, pid, tag, now=now))
        self._news.append(Spawned(start.key, pid, now, slot.index))


def _wake_on_signals() -> socket.socket:
    """SIGCHLD arrives as a byte that the selector sees."""
    reading, writing = socket.socketpair()
    reading.setblocking(False)
    writing.setblocking(False)
    signal.set_wakeup_fd(writing.detach(), warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    return reading
