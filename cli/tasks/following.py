"""Follows one task to its end: its output as it is printed, its state as it changes, and its exit code."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import timedelta
from types import FrameType

import click

from cli.output.live import LiveLine, Output
from cli.output.printing import printable, took
from cli.session import Connected
from clients.coordinator import CoordinatorClient
from clients.coordinator_values import LogChunk, TaskChanges, TaskState, TaskView
from foundation.clock import Clock
from foundation.errors import QuantumError, Unavailable
from foundation.quantities import format_duration

TICK = timedelta(milliseconds=100)
EXIT_CANCELLED = 130
EXIT_DEAD = 78
EXIT_NEEDS_DECISION = 79
EXIT_FAILED = 1
EXIT_BY_SIGNAL = 128

WHY_AFTER_SECONDS = 1.0
WHY_EVERY_SECONDS = 2.0

PATIENCE = timedelta(minutes=10)
"""How long a coordinator may be away before we give up to follow."""
_LOOK_AGAIN_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Break:
    """The output broke off, with `why`; None: it goes on."""

    why: QuantumError | None


Event = LogChunk | TaskChanges | Break
_NOT_STARTED = frozenset({TaskState.QUEUED, TaskState.SCHEDULED, TaskState.BLOCKED})


@dataclass(slots=True)
class _Waiting:
    """Why a task that has not started has not, and when to ask again."""

    next_look: float
    why: str = ""


@dataclass(slots=True)
class Interrupts:
    """Counts Ctrl-C and SIGTERM instead of being broken off by them; the second one breaks off."""

    count: int = 0
    number: int = signal.SIGINT
    _before: dict[int, object] = field(default_factory=dict)

    def __enter__(self) -> Interrupts:
        for number in (signal.SIGINT, signal.SIGTERM):
            self._before[number] = signal.signal(number, self._count)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    def _count(self, number: int, frame: FrameType | None) -> None:
        self.count += 1
        self.number = number
        if self.count > 1:
            raise KeyboardInterrupt


class Follower:
    """Follows tasks over one connection."""

    def __init__(self, connected: Connected, clock: Clock, *, output: Output, line: LiveLine) -> None:
        self._connected = connected
        self._clock = clock
        self._output = output
        self._line = line

    def follow(self, task: TaskView, *, interrupts: Interrupts | None) -> TaskView:
        """Print a task's output until it has ended or waits for a person, and return it as it then is.

        At the first interrupt the task is cancelled, and followed until it is proved dead; at the second,
        KeyboardInterrupt.
        """
        started = self._clock.boottime()
        waiting = _Waiting(next_look=started + WHY_AFTER_SECONDS)
        cancelled = False
        try:
            for event in self._connected.stream(_events(self._connected.coordinator, task.id), tick=TICK):
                if interrupts is not None and interrupts.count and not cancelled:
                    cancelled = True
                    self._cancel(task.id)
                match event:
                    case LogChunk(ended=TaskView() as ended):
                        return ended
                    case LogChunk(data=data):
                        self._line.erase()
                        self._output.write(data)
                    case Break(why=why):
                        self._say_break(why)
                    case TaskChanges(tasks=tasks) if tasks:
                        task = tasks[-1]
                        if task.state is TaskState.NEEDS_DECISION:
                            return task
                now = self._clock.boottime()
                if task.state in _NOT_STARTED and now >= waiting.next_look:
                    self._look_why(task, waiting, now)
                if self._output.at_line_start:
                    self._line.draw(_status(task, now - started, waiting.why))
        finally:
            self._line.erase()
        # The stream of a followed log ends with the ended task; without one, ask.
        return self._connected.call(self._connected.coordinator.get_task(task.id))

    def _look_why(self, task: TaskView, waiting: _Waiting, now: float) -> None:
        """Ask why it does not start; said once where no line is drawn over and over."""
        waiting.next_look = now + WHY_EVERY_SECONDS
        try:
            why = self._connected.call(self._connected.coordinator.explain(task.id))
        except QuantumError:
            return  # the streams themselves say what is wrong with the connection
        if why.sentence != waiting.why and not self._line.shown:
            remedy = f"  → {why.remedy}" if why.remedy else ""
            click.echo(printable(f"{task.agent} waits: {why.sentence}{remedy}"), err=True)
        waiting.why = why.sentence

    def _say_break(self, why: QuantumError | None) -> None:
        self._line.erase()
        if why is None:
            click.echo("The coordinator is back; the output goes on where it broke off.", err=True)
        else:
            waits = f"Waiting for the coordinator, for up to {format_duration(PATIENCE)}; the task goes on."
            click.echo(f"The output broke off ({printable(why.message).removesuffix('.')}). {waits}", err=True)

    def _cancel(self, task_id: str) -> None:
        self._line.erase()
        click.echo("Cancelling; once more leaves at once, and the task goes on being cancelled.", err=True)
        self._connected.call(self._connected.coordinator.cancel([task_id], reason="interrupted in quantum run"))


async def _events(coordinator: CoordinatorClient, task_id: str) -> AsyncGenerator[Event, None]:
    """What a task prints and how it changes, as one stream; ends with the last chunk of its output."""
    queue: asyncio.Queue[Event | QuantumError | None] = asyncio.Queue(maxsize=256)

    async def forward(source: Callable[[], AsyncGenerator[Event, None]], *, last: bool) -> None:
        try:
            async with aclosing(source()) as events:
                async for event in events:
                    await queue.put(event)
        except QuantumError as error:
            await queue.put(error)
        else:
            if last:
                await queue.put(None)

    async def told(why: QuantumError | None) -> None:
        await queue.put(Break(why))

    sources = (
        forward(lambda: coordinator.read_log(task_id, follow=True, patience=PATIENCE, told=told), last=True),
        forward(lambda: _changes(coordinator, task_id), last=False),
    )
    tasks = [asyncio.create_task(source) for source in sources]
    try:
        while (event := await queue.get()) is not None:
            if isinstance(event, QuantumError):
                raise event
            yield event
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


async def _changes(coordinator: CoordinatorClient, task_id: str) -> AsyncGenerator[Event, None]:
    """Its state now, then each change: the watch begins before the look, so that none falls between."""
    looked = False
    async with aclosing(coordinator.watch(ids=[task_id], patience=PATIENCE)) as changes:
        async for change in changes:
            if not looked:
                looked = True
                task = await _look(coordinator, task_id)
                yield TaskChanges(tasks=(task,), position=change.position)
                continue
            yield change


async def _look(coordinator: CoordinatorClient, task_id: str) -> TaskView:
    while True:
        try:
            return await coordinator.get_task(task_id)
        except Unavailable:  # whoever reads the log says so, and gives up in time
            await asyncio.sleep(_LOOK_AGAIN_SECONDS)


def _status(task: TaskView, waited: float, why: str) -> str:
    where = f" on {task.runner}" if task.runner and task.state is TaskState.RUNNING else ""
    state = "being cancelled" if task.cancel_requested else f"{task.state}{where}"
    reason = f": {printable(why)}" if why and task.state in _NOT_STARTED else ""
    return f"{task.agent} {state}, {int(waited)} s{reason}"


def exit_code(task: TaskView) -> int:
    """The agent's own exit code; for a task that has none, one of docs/cli.md."""
    if task.state is TaskState.NEEDS_DECISION:
        return EXIT_NEEDS_DECISION
    if task.state is TaskState.CANCELLED:
        return EXIT_CANCELLED
    if task.state is TaskState.SUCCEEDED:
        return 0
    if task.exit_code:
        return task.exit_code
    if task.signal:
        return EXIT_BY_SIGNAL + task.signal
    return EXIT_DEAD if task.state is TaskState.DEAD else EXIT_FAILED


def last_line(task: TaskView) -> str:
    """How a task ended, in a line for people."""
    how = f", exit {task.exit_code}" if task.exit_code else f", signal {task.signal}" if task.signal else ""
    lasted = f" after {took(task.duration)}" if task.duration is not None else ""
    reason = f": {printable(task.reason)}" if task.reason and task.state is not TaskState.SUCCEEDED else ""
    return f"{task.agent} {task.state.replace('_', ' ')}{how}{lasted} (task {task.id}){reason}"


def terminal_line() -> LiveLine:
    """A live line where a person sees it."""
    return LiveLine(sys.stderr, shown=sys.stderr.isatty())
