"""Holds come and go at random over stubborn tasks, and no lease stands at its runner without an answer or a reason."""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from clients.attachment_values import (
    AttemptEvent,
    AttemptRef,
    Events,
    HostState,
    Lease,
    LeaseTerms,
    Order,
    OrderKind,
    Result,
    ResultAcks,
    Returned,
    Welcome,
)
from foundation.clock import SystemClock
from foundation.log import get_logger
from services.agent_runner.adapters.agent_logs import LogFiles
from services.agent_runner.adapters.kept_output import OutputBounds, SlotOutputs
from services.agent_runner.adapters.script_files import LocalScripts
from services.agent_runner.adapters.warden_process import WardenProcess
from services.agent_runner.app import standstill
from services.agent_runner.app.outbox import Outbox
from services.agent_runner.app.reading import Reading
from services.agent_runner.app.runner import Runner
from services.agent_runner.warden.facts import WardenFacts
from services.agent_runner.warden.protocol import Message, Shutdown, Start
from tests.runner.no_secrets import NoSecrets

SLOTS = 3
PATIENCE_SECONDS = 60.0
HELD = HostState("new starts wait: the trial holds them")
SCRIPTS = {"stubborn": "trap '' TERM\nsleep 0.05 & wait $!", "quick": "exit 0", "slow": "sleep 0.03"}


class Trial:
    """A real warden and its runner within this process; the trial is the machine and the coordinator."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clock = SystemClock()
        self.runner: Any = None  # until the warden is ready
        self.outbox = Outbox()
        self.seen: Counter[str] = Counter()
        self.open: set[AttemptRef] = set()
        self.lost = 0
        """How many starts are kept from the warden."""
        self.unanswered = 0
        """How many leases are left open when all others are answered."""
        self._next = 0
        self._all_answered = asyncio.Event()

    async def start(self) -> None:
        """Have both up."""
        for name, text in SCRIPTS.items():
            path = self.folder / f"{name}.sh"
            path.write_text(f"#!/bin/sh\n{text}\n")
            path.chmod(0o755)
        self.warden = await WardenProcess.start(
            self.folder / "runner", self.folder / "STOP", os.urandom(16).hex(), WardenFacts(SLOTS), self._on_news
        )
        log = get_logger("agent_runner")
        logs = LogFiles(self.folder / "logs", self.clock, asyncio.get_running_loop(), bytes_max=10**7, files_max=1)
        bounds = OutputBounds(result=1000, head=1000, tail=1000, line=1000, report=1000)
        outputs = SlotOutputs(self.folder / "runner" / "slots", self.folder / "kept", logs, bounds)
        self.runner = Runner(
            slots=SLOTS,
            prefetch=8,
            terms=Welcome(600.0, 5.0, ()),
            enforcement={},
            workspace=str(self.folder),
            gateway="",
            warden=self,
            reading=Reading(outputs, 1000, log),
            secrets=NoSecrets(),
            outbox=self.outbox,
            scripts=LocalScripts(),
            clock=self.clock,
            log=log,
        )
        self.runner.welcome(Welcome(600.0, 5.0, ()), self.clock.boottime())
        self.listening = asyncio.create_task(self._listen())

    def tell(self, *orders: Message) -> None:
        """See `WardenLink`; some starts may be lost on the way."""
        for order in orders:
            if isinstance(order, Start) and self.lost:
                self.lost -= 1
            else:
                self.warden.tell(order)

    def _on_news(self, messages: Sequence[Message]) -> None:
        if self.runner is not None:
            self.runner.news(messages)

    async def _listen(self) -> None:
        while True:
            for message in await self.outbox.take():
                if isinstance(message, Events):
                    for event in message.events:
                        self._hear(event)
            if len(self.open) <= self.unanswered:
                self._all_answered.set()

    def _hear(self, event: AttemptEvent) -> None:
        self.seen[type(event).__name__.lower()] += 1
        if isinstance(event, Result | Returned):
            self.open.discard(event.ref)
        if isinstance(event, Result):
            self.runner.acknowledged(ResultAcks([event.ref], ()))

    def lease(self, script: str) -> None:
        """Hand one out, whether or not it is asked for: leases cross the runner's word on their way."""
        self._next += 1
        ref = AttemptRef(f"t{self._next}", 7)
        path = str(self.folder / f"{script}.sh")
        terms = LeaseTerms("a", "", path, str(self.folder), grace_seconds=0.1, timeout_seconds=60.0)
        self.open.add(ref)
        self._all_answered.clear()
        self.runner.take([Lease(ref, 1, terms, alone=script == "slow" and self._next % 7 == 0)])

    def order(self, kind: OrderKind, chance: random.Random) -> None:
        """Give it about any that is open."""
        if self.open:
            self.runner.obey([Order(chance.choice(sorted(self.open)), kind, "the trial")])

    async def answered(self) -> None:
        """Return when each lease has come back or ended."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            await self._all_answered.wait()

    async def close(self) -> None:
        """End both."""
        self.listening.cancel()
        self.warden.tell(Shutdown("the trial is over"))
        await self.warden.gone
        self.warden.close()


@pytest.fixture
async def trial() -> AsyncIterator[Trial]:
    folder = Path(tempfile.mkdtemp(prefix="qh", dir="/tmp"))
    trial = Trial(folder)
    await trial.start()
    try:
        yield trial
    finally:
        await trial.close()
        shutil.rmtree(folder, ignore_errors=True)


async def _rounds(trial: Trial, rounds: int, seed: int) -> None:
    """Each: leases, holds and orders at random; then the machine lets go, and every lease must be answered."""
    chance = random.Random(seed)
    acts: list[Callable[[], None]] = [
        lambda: trial.lease(chance.choice(list(SCRIPTS))),
        lambda: trial.lease("stubborn"),
        lambda: trial.runner.fares(HELD),
        lambda: trial.runner.fares(HostState()),
        lambda: trial.order(OrderKind.CANCEL, chance),
        lambda: trial.order(OrderKind.RECALL, chance),
        lambda: trial.order(OrderKind.PAUSE, chance),
        trial.runner.heartbeat,
    ]
    for _ in range(rounds):
        for _ in range(chance.randint(5, 40)):
            chance.choice(acts)()
            for _ in range(chance.choice((0, 0, 1, 5, 300))):
                await asyncio.sleep(0)
        trial.runner.fares(HostState())
        for ref in sorted(trial.open):
            trial.runner.obey([Order(ref, OrderKind.CONTINUE, "")])
        await trial.answered()
        trial.seen["rounds"] += 1
    print(f"seed {seed}: {dict(trial.seen)}")


async def test_every_lease_is_answered_whatever_holds_came_between(trial: Trial) -> None:
    await _rounds(trial, 6, seed=1)
    assert trial.seen["returned"] and trial.seen["result"], "both ends were met"


@pytest.mark.long
@pytest.mark.parametrize("seed", range(4))
async def test_every_lease_is_answered_in_many_rounds(trial: Trial, seed: int) -> None:
    await _rounds(trial, 100, seed=100 + seed)


async def test_control_a_start_that_is_lost_on_its_way_is_seen_and_explained(
    trial: Trial, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(standstill, "OVERDUE_SECONDS", 0.0)
    trial.lost = trial.unanswered = 1
    trial.lease("quick")
    trial.lease("quick")
    await trial.answered()
    [stuck] = trial.open
    standing = trial.runner._standstill.look(trial.clock.boottime())
    assert standing.waits == {stuck: "the warden there has not started it yet"}
    assert standing.stalled
