"""Tells whoever is interested, inside this process, which tasks a transaction is about to add or has changed."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from services.coordinator.domain.task import Task
from services.coordinator.ports import StoreTransaction

Listener = Callable[[Sequence[Task]], None]
Stirred = Callable[[frozenset[str]], None]


class Foretold:
    """Tasks that are about to be added. Who foresees them may have them added leased, and look on as they are."""

    def __init__(self, tasks: Sequence[Task], announce: Listener) -> None:
        self.tasks = tasks
        """As they are to be added."""
        self.read_along: Callable[[StoreTransaction], None] = lambda _: None
        """To be called in the transaction that adds them."""
        self.added: asyncio.Future[Sequence[Task]] = asyncio.get_running_loop().create_future()
        """Those that were, once they are durable and announced."""
        self._announce = announce

    def announce(self, present: Sequence[Task]) -> None:
        """These have been added; only after the commit."""
        self._announce(present)
        self.added.set_result(present)


Foreseer = Callable[[Foretold], None]


class Changes:
    """On the event loop's thread. Listeners are quick and never raise."""

    def __init__(self) -> None:
        self._listeners: list[Listener] = []
        self._stirred: list[Stirred] = []
        self._foreseers: list[Foreseer] = []

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Hear of every later change; call the returned function to stop hearing."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def foresee(self, foreseer: Foreseer) -> None:
        """Hear of tasks before they are added, to prepare for them."""
        self._foreseers.append(foreseer)

    def announce(self, tasks: Sequence[Task]) -> None:
        """Only after the commit."""
        if tasks:
            for listener in tuple(self._listeners):
                listener(tasks)

    def subscribe_to_stir(self, listener: Stirred) -> Callable[[], None]:
        """Hear of later calls of `stir`; call the returned function to stop hearing."""
        self._stirred.append(listener)
        return lambda: self._stirred.remove(listener)

    def stir(self, task_ids: frozenset[str]) -> None:
        """None of these has changed, but what could not be had of them just now can be: their runner is back."""
        for listener in tuple(self._stirred):
            listener(task_ids)

    @contextmanager
    def foretold(self, tasks: Sequence[Task]) -> Iterator[Foretold]:
        """Around the commit that adds tasks: what is yielded says how, and announces them once that is durable."""
        foretold = Foretold(tasks, self.announce)
        for foreseer in self._foreseers:
            foreseer(foretold)
        try:
            yield foretold
        finally:
            if not foretold.added.done():
                foretold.added.set_result(())
