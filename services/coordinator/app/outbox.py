"""What safety has yet to hear, as the last committed transaction saw it."""

from collections.abc import Sequence

from services.coordinator.ports import OutboxEntry, StoreTransaction

BATCH = 500


class Outbox:
    """The oldest entries, read in the transaction that changed them and taken over after its commit."""

    def __init__(self) -> None:
        self.entries: Sequence[OutboxEntry] = ()

    @staticmethod
    def peek(tx: StoreTransaction) -> Sequence[OutboxEntry]:
        """The entries as a transaction leaves them; to be handed to `entries` once it is durable."""
        return tx.outbox(limit=BATCH)

    @property
    def full(self) -> bool:
        """There may be more in the store."""
        return len(self.entries) == BATCH
