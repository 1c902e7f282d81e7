"""The cap on open tasks: counted seldom, never exceeded."""

from collections.abc import Callable
from datetime import timedelta

from foundation.errors import Exhausted
from services.coordinator.domain.task import OPEN
from services.coordinator.ports import StoreTransaction

RETRY_AFTER = timedelta(seconds=10)


def count_open(tx: StoreTransaction) -> int:
    """Open tasks, over all agents."""
    return sum(number for (_, state), number in tx.counts().items() if state in OPEN)


class OpenTasksCap:
    """Whoever adds tasks claims room first, in the transaction that adds them.

    Room that was counted can only grow by itself, because only claims use it up; so it is counted again only when it
    seems to be gone. A claim whose transaction is undone costs a count earlier, nothing else. Several coordinators on
    one store share the cap only as exactly as they count; each keeps to it on its own.
    """

    def __init__(self, most: int, refuse: Callable[[], None] = lambda: None) -> None:
        """`refuse` raises when tasks may not be added for another reason than their number."""
        self.most = most
        self._refuse = refuse
        self._room = 0

    def claim(self, tx: StoreTransaction, count: int) -> None:
        """Take room for `count` tasks. Raises Exhausted, code `queue_full`, or what `refuse` raises."""
        self._refuse()
        if count > self._room:
            held = count_open(tx)
            self._room = self.most - held
            if count > self._room:
                raise _full(held, self.most, count)
        self._room -= count


def _full(held: int, most: int, count: int) -> Exhausted:
    asked = "another" if count == 1 else f"{count} more"
    return Exhausted(
        "queue_full",
        f"{held} tasks are open and the cap is {most}: there is no room for {asked}.",
        remedy="Wait, or look at `quantum queue` and `quantum queue clear`; the setting is open_tasks_max.",
        retry_after=RETRY_AFTER,
    )
