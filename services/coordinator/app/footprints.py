"""The footprint of each agent, in memory: learned from the store at the start, and from each commit of ends."""

from collections.abc import Mapping

from services.coordinator.domain.footprint import UNKNOWN_BYTES, footprint_bytes, peaks_from
from services.coordinator.ports import Store, StoreTransaction


class Footprints:
    """What an attempt of an agent is expected to take."""

    def __init__(self) -> None:
        self._bytes: dict[str, int] = {}

    async def load(self, store: Store) -> None:
        """Before the first lease goes out."""
        self.learn(await store.read(_peaks))

    def learn(self, peaks: Mapping[str, str]) -> None:
        """The last known peaks of some agents, as they are kept."""
        for agent, text in peaks.items():
            if text:
                self._bytes[agent] = footprint_bytes(peaks_from(text))

    def of(self, agent: str) -> int:
        """In bytes; a modest default for an agent of which no peak is known."""
        return self._bytes.get(agent, UNKNOWN_BYTES)


def _peaks(tx: StoreTransaction) -> Mapping[str, str]:
    return {agent: history.peaks for agent, history in tx.histories().items()}
