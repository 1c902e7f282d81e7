"""The runners that are attached, and what waits to be sent to each."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import KW_ONLY, dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from foundation.errors import Conflict, Unavailable
from services.coordinator.domain.agent import AgentSpec
from services.coordinator.domain.defaults import Defaults
from services.coordinator.domain.task import Task

FOLLOW_BUFFER_CHUNKS = 64


class OrderKind(StrEnum):
    """What a runner is told about an attempt that it holds."""

    CANCEL = "cancel"
    PAUSE = "pause"
    CONTINUE = "continue"
    STOP = "stop"
    RECALL = "recall"
    DISOWN = "disown"


@dataclass(frozen=True, slots=True)
class Order:
    task_id: str
    fence: int
    kind: OrderKind
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Grant:
    """A lease with all that the runner needs to run the attempt."""

    task: Task
    agent: AgentSpec
    folder: str
    _: KW_ONLY
    defaults: Defaults
    last_report: str = ""
    credential: str = field(default="", repr=False)
    epoch: int = 0
    """Safety's at the admission; comes back with the end."""


@dataclass(frozen=True, slots=True)
class Ack:
    task_id: str
    fence: int
    accepted: bool


@dataclass(frozen=True, slots=True)
class HeartbeatAck:
    sequence: int


@dataclass(frozen=True, slots=True)
class Follow:
    """Start (or `stop`) to send an attempt's output from an offset in bytes."""

    follow_id: int
    task_id: str
    fence: int
    offset: int
    follow: bool
    stop: bool = False


Message = Grant | Order | Ack | HeartbeatAck | Follow


@dataclass(frozen=True, slots=True, kw_only=True)
class Hello:
    """How a runner introduces itself. `held` are the (task, fence) that it still has from before a break."""

    name: str
    host: str
    incarnation: str
    slots: int
    labels: Mapping[str, str]
    version: str
    held: frozenset[tuple[str, int]] = frozenset()
    services_max: int = 0
    memory_bytes: int = 0
    enforcement: Mapping[str, str] = field(default_factory=dict)
    checks_max: int = 0
    """Merge checks beside the tasks; 0: it is not on the repositories' host."""
    returning: bool = False
    """This process was welcomed before: what it does not hold it has not begun."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Beat:
    """A heartbeat: the (task, fence) of all that a runner holds, and why some of it is not begun."""

    sequence: int
    held: Sequence[tuple[str, int]]
    draining: bool = False
    waits: Mapping[tuple[str, int], str] = field(default_factory=dict)
    stalled: str = ""


@dataclass(frozen=True, slots=True)
class HostState:
    """How a runner's machine fares. `held_reason`: why nothing new starts there, "": it does; -1: not known.

    `disk_short` is the part of it that holds merge checks, too.
    """

    held_reason: str = ""
    memory_available_bytes: int = -1
    cpu_share: float = -1.0
    disk_short: str = ""


@dataclass(slots=True, eq=False)
class Attachment:
    """One runner's stream, as the coordinator sees it. `capacity` is how many leases it can hold in all."""

    hello: Hello
    attached_at: datetime
    last_heartbeat_at: datetime
    capacity: int = 0
    no_checks: bool = True
    """It takes no merge check beside them; nothing at all, before it has said what it takes."""
    host: HostState = HostState()
    draining: bool = False
    stalled: str = ""
    """Why nothing that it is given starts, though a slot is free, by its last heartbeat; "": it does."""
    closed: bool = False
    _outgoing: list[Message] = field(default_factory=list)
    _wake: asyncio.Event = field(default_factory=asyncio.Event)
    _follows: dict[int, asyncio.Queue[tuple[bytes, int, bool]]] = field(default_factory=dict)
    _next_follow: int = 1
    _lagging: set[int] = field(default_factory=set)

    def send(self, *messages: Message) -> None:
        """Queue messages; the stream's writer sends all that gathered during its last write."""
        self._outgoing.extend(messages)
        self._wake.set()

    async def outgoing(self) -> Sequence[Message]:
        """Wait for messages and take them all; empty when the attachment was closed."""
        while not self._outgoing and not self.closed:
            self._wake.clear()
            await self._wake.wait()
        messages, self._outgoing = self._outgoing, []
        return messages

    def close(self) -> None:
        """The stream has ended: wake its writer and every reader of a log."""
        self.closed = True
        self._wake.set()
        for queue in self._follows.values():
            queue.put_nowait((b"", 0, True))

    async def follow(self, task: Task, offset: int, follow: bool) -> AsyncIterator[tuple[bytes, int]]:
        """Yield (data, offset after it) of an attempt's output until the runner says that it is all.

        For a reader that is slower than its runner sends it is asked for anew, from where the reader is.
        """
        lags = True
        while lags:
            lags = False
            async with aclosing(self._follow_once(task, offset, follow)) as pieces:
                async for piece in pieces:
                    if piece is None:
                        lags = True
                    else:
                        yield piece
                        offset = piece[1]

    async def _follow_once(
        self, task: Task, offset: int, follow: bool
    ) -> AsyncGenerator[tuple[bytes, int] | None, None]:
        """The same, ended by None when the reader was too slow for what arrived."""
        follow_id = self._next_follow
        self._next_follow += 1
        queue = self._follows[follow_id] = asyncio.Queue[tuple[bytes, int, bool]]()
        self.send(Follow(follow_id, task.id, task.fence, offset, follow))
        try:
            while True:
                data, after, end = await queue.get()
                if data:
                    yield data, after
                if end:
                    if self.closed:
                        raise Unavailable(
                            "runner_gone", f"Runner {self.hello.name} went away; its output is out of reach."
                        )
                    if follow_id in self._lagging:
                        yield None
                    return
        finally:
            del self._follows[follow_id]
            self._lagging.discard(follow_id)
            self.send(Follow(follow_id, task.id, task.fence, 0, False, stop=True))

    def deliver(self, follow_id: int, data: bytes, offset: int, end: bool) -> None:
        """A chunk has arrived. For a reader that is too slow it is dropped, to be asked for again later."""
        queue = self._follows.get(follow_id)
        if queue is None or follow_id in self._lagging:
            return
        if queue.qsize() >= FOLLOW_BUFFER_CHUNKS:
            self._lagging.add(follow_id)
            queue.put_nowait((b"", offset, True))
            return
        queue.put_nowait((data, offset, end))


class Attachments:
    """Who is attached, by name."""

    def __init__(self) -> None:
        self._by_name: dict[str, Attachment] = {}
        self.drained: dict[str, str] = {}
        """Runners that a person has drained, attached or not: who, when and why, by their name."""
        self.changes = 0
        """How often a runner has come or gone."""

    def attach(self, hello: Hello, *, now: datetime) -> Attachment:
        """Admit a runner. The same process coming back replaces its broken stream; a namesake is refused."""
        present = self._by_name.get(hello.name)
        if present is not None:
            if present.hello.incarnation != hello.incarnation:
                raise Conflict(
                    "runner_attached",
                    f"A runner named {hello.name} is attached already, from {present.hello.host}.",
                    remedy="Give this one another name with --name.",
                )
            present.close()
        attachment = Attachment(hello=hello, attached_at=now, last_heartbeat_at=now)
        self._by_name[hello.name] = attachment
        self.changes += 1
        return attachment

    def detach(self, attachment: Attachment) -> None:
        """Forget it, unless a newer stream has taken its place."""
        attachment.close()
        if self._by_name.get(attachment.hello.name) is attachment:
            del self._by_name[attachment.hello.name]
            self.changes += 1

    def get(self, name: str) -> Attachment | None:
        return self._by_name.get(name)

    def all(self) -> Sequence[Attachment]:
        return tuple(self._by_name.values())

    def disk_short(self) -> str:
        """Why no runner begins a merge check: the disk of each that could is short, by its own looks; "" otherwise."""
        able = [each for each in self._by_name.values() if each.hello.checks_max and not each.closed]
        able = [each for each in able if not each.draining and each.hello.name not in self.drained]
        if not able or not all(each.host.disk_short for each in able):
            return ""
        return f"runner {able[0].hello.name} starts no merge check: {able[0].host.disk_short.rstrip('. ')}"


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseTimes:
    """How long a lease lasts, how often it is renewed, and when an attempt that is not renewed is given up."""

    lease: timedelta
    heartbeat: timedelta
    pause_max: timedelta = timedelta(days=1)
    """How long an attempt may stay frozen before it is ended as safety's policy."""

    @property
    def silent_after(self) -> timedelta:
        """When a runner that is not heard gets nothing new: its warden freezes what it has by then."""
        return self.lease * 0.75

    @property
    def rescue_after_seconds(self) -> float:
        """1.75 × lease after the last renewal: the warden has proved the tree dead at 1.5 ×."""
        return self.lease.total_seconds() * 1.75
