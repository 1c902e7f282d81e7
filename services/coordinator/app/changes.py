"""Tells whoever is interested, inside this process, which tasks a transaction is about to add or has changed."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager

from services.coordinator.domain.task import Task

Listener = Callable[[Sequence[Task]], None]
# Told of tasks that are about to be added, and where to wait for those that were.
Foreseer = Callable[[Sequence[Task], Awaitable[Sequence[Task]]], None]


class Changes:
    """On the event loop's thread. Listeners are quick and never raise."""

    def __init__(self) -> None:
        self._listeners: list[Listener] = []
        self._foreseers: list[Foreseer] = []

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Hear of every later change; call the returned function to stop hearing."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def foresee(self, foreseer: Foreseer) -> None:
        """Hear of tasks while their commit is still under way, to prepare for them; nothing else may come of it."""
        self._foreseers.append(foreseer)

    def announce(self, tasks: Sequence[Task]) -> None:
        """Only after the commit."""
        if tasks:
            for listener in tuple(self._listeners):
                listener(tasks)

    @contextmanager
    def foretold(self, tasks: Sequence[Task]) -> Iterator[Listener]:
        """Around the commit that adds tasks; once that is durable, what is yielded announces those that were added."""
        added: asyncio.Future[Sequence[Task]] = asyncio.get_running_loop().create_future()
        for foreseer in self._foreseers:
            foreseer(tasks, added)

        def announce(present: Sequence[Task]) -> None:
            self.announce(present)
            added.set_result(present)

        try:
            yield announce
        finally:
            if not added.done():
                added.set_result(())
