"""What safety has yet to hear: kept in the store with the ends themselves, and at hand here."""

from collections.abc import Sequence

from services.coordinator.ports import Store
from services.coordinator.ports_safety import OutboxEntry

BATCH = 500
AT_HAND_MAX = 10_000


class Outbox:
    """The oldest entries, in order. What does not fit (safety is long away) stays in the store until there is room."""

    def __init__(self) -> None:
        self._at_hand: list[OutboxEntry] = []
        self._more_in_store = False
        self._due = False

    async def load(self, store: Store) -> None:
        """Take what the store has, at the start and whenever some of it did not fit."""
        if not self._at_hand:
            found = await store.read(lambda tx: tx.outbox(limit=AT_HAND_MAX))
            self._at_hand, self._more_in_store = list(found), len(found) == AT_HAND_MAX
            self._due = self._due or bool(found)

    async def refill(self, store: Store) -> None:
        """Load again once all at hand was heard and there is more."""
        if self._more_in_store and not self._at_hand:
            await self.load(store)

    def posted(self, entries: Sequence[OutboxEntry]) -> None:
        """These are durable now."""
        if self._more_in_store or len(self._at_hand) + len(entries) > AT_HAND_MAX:
            self._more_in_store = True
            return
        self._at_hand += entries
        # A failure may change the very next decision; a success can wait for one.
        self._due = self._due or any(entry.counted for entry in entries)

    def tick(self) -> None:
        """Whatever waits is to be told now, decision or not."""
        self._due = bool(self._at_hand)

    @property
    def due(self) -> bool:
        return self._due

    def batch(self) -> Sequence[OutboxEntry]:
        """What to tell safety next."""
        return self._at_hand[:BATCH]

    def heard(self, entries: Sequence[OutboxEntry]) -> None:
        """Safety has heard these, and the store has let them go."""
        del self._at_hand[: len(entries)]
        self._due = len(self._at_hand) >= BATCH
