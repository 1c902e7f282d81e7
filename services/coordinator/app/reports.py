"""Lists the latest report per project and type."""

from collections.abc import Sequence

from services.coordinator.ports import Report, Store


async def list_reports(store: Store, *, type: str, project: str) -> Sequence[Report]:
    """Newest first; "" means every type and every project."""
    return await store.read(lambda tx: tx.reports(type=type, project=project))
