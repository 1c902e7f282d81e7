"""What the warden has to tell its runner: under load it gathers for some milliseconds, for a message costs as much
as several pieces of news."""

from __future__ import annotations

from collections.abc import Callable

from services.agent_runner.warden.attempt import NEVER
from services.agent_runner.warden.protocol import Ended, Message, Paused, Spawned

# With more attempts than these at work the news of one more can wait: its successor has been started already.
_FEW = 4
_GATHER_SECONDS = 0.05
# A start waits longer: when the script is short, its end tells both.
_START_HELD_SECONDS = 0.06


class News:
    """Gathers until `due` (boottime). What is told of one attempt stays in order."""

    def __init__(self, at_work: Callable[[], int]) -> None:
        """`at_work` counts the attempts that run or wait to."""
        self._at_work = at_work
        self._messages: list[Message] = []
        self._starts: dict[str, tuple[Spawned, float]] = {}
        self.due = NEVER

    def tell(self, message: Message) -> None:
        """To be told at once."""
        if isinstance(message, Paused):
            self._let_go(message.key)
        self._messages.append(message)
        self.due = 0.0

    def spawned(self, message: Spawned) -> None:
        """A process exists; with many attempts at work this may wait for its end."""
        due = message.at + _START_HELD_SECONDS if self._at_work() > _FEW else 0.0
        self._starts[message.key] = message, due
        self.due = min(self.due, due)

    def untold(self, key: str) -> bool:
        """Whether nobody has heard of an attempt's process yet."""
        return key in self._starts

    def ended(self, message: Ended, now: float) -> None:
        """An attempt has ended; if its start was not told, this tells both."""
        self._starts.pop(message.key, None)
        self._messages.append(message)
        self.due = min(self.due, now + _GATHER_SECONDS if self._at_work() > _FEW else 0.0)

    def hurry(self) -> None:
        """Hold nothing back."""
        for key in list(self._starts):
            self._let_go(key)
        self.due = 0.0

    def take(self, now: float) -> list[Message]:
        """What is to be told now: nothing before it is due, then all but the starts that may wait longer."""
        if now < self.due:
            return []
        for key in [key for key, (_, due) in self._starts.items() if due <= now]:
            self._let_go(key)
        messages, self._messages = self._messages, []
        self.due = min((due for _, due in self._starts.values()), default=NEVER)
        return messages

    def _let_go(self, key: str) -> None:
        held = self._starts.pop(key, None)
        if held is not None:
            self._messages.append(held[0])
