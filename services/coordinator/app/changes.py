"""Tells whoever is interested, inside this process, which tasks a committed transaction has changed."""

from collections.abc import Callable, Sequence

from services.coordinator.domain.task import Task

Listener = Callable[[Sequence[Task]], None]


class Changes:
    """Announced only after the commit, on the event loop's thread. Listeners are quick and never raise."""

    def __init__(self) -> None:
        self._listeners: list[Listener] = []

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Hear of every later change; call the returned function to stop hearing."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def announce(self, tasks: Sequence[Task]) -> None:
        if tasks:
            for listener in tuple(self._listeners):
                listener(tasks)
