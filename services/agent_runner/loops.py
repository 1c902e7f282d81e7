"""What goes on all the time: the stream to the coordinator, its heartbeat, and reading behind the scripts."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

from clients.attachment import Attachment
from clients.attachment_values import (
    Follow,
    FromCoordinator,
    HeartbeatAck,
    Hello,
    Leases,
    Orders,
    ResultAcks,
    Welcome,
)
from foundation.clock import Clock
from foundation.errors import Conflict, QuantumError
from foundation.ids import Randomness
from foundation.log import Logger
from services.agent_runner.app.elsewhere import Elsewhere
from services.agent_runner.app.followers import Followers
from services.agent_runner.app.host_watch import HostWatch
from services.agent_runner.app.outbox import Outbox
from services.agent_runner.app.reading import Reading
from services.agent_runner.app.runner import Runner

_BACKOFF_SECONDS = 0.1
_BACKOFF_SECONDS_MAX = 5.0
_READ_SECONDS = 0.25
_READ_SECONDS_WATCHED = 0.05
_LOOK_AT_HOST_SECONDS = 1.0

Dial = Callable[[], AbstractAsyncContextManager[Attachment]]


class Stream:
    """Keeps the runner attached: dials, speaks, and dials again when the stream breaks."""

    def __init__(
        self,
        *,
        dial: Dial,
        hello: Callable[[], Hello],
        runner: Runner,
        followers: Followers,
        outbox: Outbox,
        clock: Clock,
        randomness: Randomness,
        log: Logger,
        elsewhere: Elsewhere | None = None,
        final: tuple[type[QuantumError], ...] = (),
        on_attached: Callable[[], None] = lambda: None,
    ) -> None:
        """`elsewhere` is for a coordinator on another host; errors of the kinds `final` end `keep`,
        which raises them, when they meet it at the door.

        `on_attached` is called at each attachment.
        """
        self._on_attached = on_attached
        self._elsewhere = elsewhere
        self._final = final
        self._dial = dial
        self._hello = hello
        self._runner = runner
        self._followers = followers
        self._outbox = outbox
        self._clock = clock
        self._randomness = randomness
        self._log = log

    async def keep(self) -> None:
        """Attach again and again; a coordinator that is away is waited for with growing, jittered pauses."""
        failures = 0
        while True:
            try:
                attached = await self._attach()
            except QuantumError as error:
                attached = self._runner.attached
                # A stream ends with the credential that opened it, also when that was replaced: only at the door is a
                # refusal one of whoever asks now.
                if isinstance(error, self._final) and not attached:
                    raise
                self._say_why(error, first=attached or not failures)
            self._runner.detached()
            self._followers.stop_all()
            failures = 0 if attached else failures + 1
            longest = min(_BACKOFF_SECONDS * 2**failures, _BACKOFF_SECONDS_MAX)
            await asyncio.sleep(self._randomness.uniform(longest / 2, longest))

    def _say_why(self, error: QuantumError, *, first: bool) -> None:
        if first or isinstance(error, Conflict):
            self._log.warning(f"Not attached: {error.message}", action="runner_not_attached", code=error.code)

    async def _attach(self) -> bool:
        async with self._dial() as attachment:
            sent_at = self._clock.boottime()
            self._runner.welcome(await attachment.open(self._hello()), sent_at)
            self._log.info("Attached to the coordinator.", action="runner_attached")
            self._on_attached()
            parts = [asyncio.create_task(part(attachment)) for part in (self._listen, self._write, self._beat)]
            try:
                done, _ = await asyncio.wait(parts, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for part in parts:
                    part.cancel()
                await asyncio.gather(*parts, return_exceptions=True)
            for ended in sorted(done, key=parts.index):
                ended.result()
        self._log.info("The coordinator has ended the stream.", action="runner_detached")
        return True

    async def _write(self, attachment: Attachment) -> None:
        while True:
            await attachment.send(await self._outbox.take())

    async def _listen(self, attachment: Attachment) -> None:
        async for message in attachment.receive():
            if self._elsewhere is not None and isinstance(message, Leases):
                # What follows may be an order about one of these, so it waits; a script is fetched once.
                self._runner.take(*await self._elsewhere.localise(message.leases, attachment.script))
            else:
                self._take(message)

    async def _beat(self, attachment: Attachment) -> None:
        while True:
            await asyncio.sleep(self._runner.terms.heartbeat_seconds)
            self._runner.heartbeat()

    def _take(self, message: FromCoordinator) -> None:
        match message:
            case Leases(leases):
                self._runner.take(leases)
            case ResultAcks():
                self._runner.acknowledged(message)
            case HeartbeatAck():
                self._runner.renewed(message)
            case Orders(orders, drain):
                if drain:
                    self._runner.drain()
                self._runner.obey(orders)
            case Follow():
                self._followers.order(message)
            case Welcome():
                self._log.warning("The coordinator welcomed this runner twice.", action="second_welcome")


async def read_behind_for_ever(runner: Runner, reading: Reading) -> None:
    """Take in the output of what runs for longer than a moment; sleeps while nothing does."""
    more = False
    while True:
        await runner.busy()
        if not more:
            await asyncio.sleep(_READ_SECONDS_WATCHED if reading.watched else _READ_SECONDS)
        more = await reading.read_behind(runner.view())


async def watch_host_for_ever(watch: HostWatch) -> None:
    """Look at the machine once a second."""
    while True:
        watch.look()
        await asyncio.sleep(_LOOK_AT_HOST_SECONDS)
