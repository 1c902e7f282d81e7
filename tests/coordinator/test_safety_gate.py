"""Safety over its client, as dispatch and renewal see it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import cast

import pytest

from clients.safety import SafetyClient
from clients.safety_values import Renewal, Renewals
from services.coordinator.adapters import safety_gate
from services.coordinator.adapters.safety_gate import ClientGate


class CountingClient:
    """Answers each attempt with its own task as the reason, and counts how many came at once."""

    def __init__(self) -> None:
        self.calls: list[int] = []

    async def renew(self, attempts: Sequence[tuple[str, int]], *, deadline: timedelta) -> Renewals:
        """Pause them all."""
        self.calls.append(len(attempts))
        renewals = tuple(Renewal(action="pause", code="mode", reason=task) for task, _ in attempts)
        return Renewals(renewals=renewals, mode="FROZEN", epoch=len(self.calls))


@pytest.mark.parametrize(("number", "calls"), [(0, [0]), (3, [3]), (4, [3, 1]), (7, [3, 3, 1])])
async def test_a_large_fleet_is_renewed_in_pages_in_its_order(
    monkeypatch: pytest.MonkeyPatch, number: int, calls: list[int]
) -> None:
    monkeypatch.setattr(safety_gate, "RENEWED_AT_ONCE_MAX", 3)
    client = CountingClient()
    attempts = [(f"t{each}", 1) for each in range(number)]
    renewals, epoch = await ClientGate(cast(SafetyClient, client)).renew(attempts)
    assert client.calls == calls
    assert [renewal.reason for renewal in renewals] == [task for task, _ in attempts]
    assert epoch == len(calls)
