"""200 spenders over gRPC, room for 100 calls, and safety killed under them again and again."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import pytest

from clients.safety import SafetyClient
from clients.safety_spend_values import SpendView
from clients.safety_values import Candidate
from foundation.errors import Exhausted, TimedOut, Unavailable
from foundation.money import parse_dollars
from tests.acceptance.deployment import Deployment, deployed
from tests.waiting import chance_moment

T = TypeVar("T")
SPENDERS, CALLS, KILLS = 200, 100, 5
DOLLAR = parse_dollars("1")
PRICES = '[[price]]\nprovider = "acme"\nmodel = "words-1"\nvalid_from = 2020-01-01\ncall = "1"\n'
FREE = (("attempt", "total"), ("agent", "day"), ("cloud", "day"), ("fleet", "day"), ("fleet", "month"))
CAPS = "".join(
    f'[[cap]]\nscope = "{scope}"\nper = "{per}"\ndollars = "{dollars}"\n'
    for scope, per, dollars in (*((*name, "none") for name in FREE), ("fleet", "total", str(CALLS)))
)


class Crowd:
    """The spenders, and what the provider has seen of them."""

    def __init__(self, system: Deployment) -> None:
        self.system = system
        self.provider: Counter[str] = Counter()
        self.seen: Counter[str] = Counter()

    async def admitted(self) -> list[str]:
        """A credential for each."""
        token = self.system.credential("coordinator")
        candidates = [
            Candidate(task_id=f"t{number}", fence=1, agent="poet", uses=("cloud:acme",)) for number in range(SPENDERS)
        ]
        async with SafetyClient.dial(self.system.workspace.socket("safety"), token=lambda: token) as safety:
            return [verdict.credential for verdict in (await safety.admit([], candidates)).verdicts]

    async def insist(self, work: Callable[[], Awaitable[T]]) -> T:
        """Send a request until it is answered, as curl does."""
        while True:
            try:
                return await work()
            except (Unavailable, TimedOut):
                self.seen["unanswered"] += 1
                await chance_moment(random.Random(), 0.05)

    async def spend(self, number: int, credential: str) -> None:
        """Call until the cap is reached."""
        async with SafetyClient.dial(self.system.workspace.socket("safety"), token=lambda: credential) as safety:
            for call in range(CALLS):
                name = f"call-{call}"
                try:
                    await self.insist(lambda name=name: safety.spend.reserve(name, "acme", "words-1"))  # type: ignore[misc]
                except Exhausted:
                    self.seen["refused"] += 1
                    return
                self.provider[f"{number} {name}"] += 1
                await self.insist(lambda name=name: safety.spend.settle(name, DOLLAR))  # type: ignore[misc]

    async def look(self) -> SpendView:
        """The ledger."""
        async with self.system.safety() as safety:
            return await safety.spend.get()

    async def kill(self) -> None:
        """Safety dies in the middle of it, and is started anew."""
        chance = random.Random(7)
        for _ in range(KILLS):
            made = sum(self.provider.values())
            while sum(self.provider.values()) < min(made + CALLS // (KILLS + 2), CALLS):
                await chance_moment(chance, 0.01)
            self.system.kill("safety")
            self.seen["killed"] += 1
            await self.system.up("safety")


@pytest.mark.long
async def test_200_spenders_over_the_wire(tmp_path: Path) -> None:
    async with deployed(tmp_path) as system:
        config = system.workspace.config_file.parent
        (config / "prices.toml").write_text(PRICES)
        (config / "spend.toml").write_text(CAPS)
        await system.up("safety")
        crowd = Crowd(system)
        credentials = await crowd.admitted()
        assert len(set(credentials)) == SPENDERS
        spending = [crowd.spend(number, credential) for number, credential in enumerate(credentials)]
        await asyncio.gather(crowd.kill(), *spending)
        view = await crowd.look()
    account = next(one for one in view.accounts if (one.scope, one.per) == ("fleet", "total"))
    print(f"{sum(crowd.provider.values())} calls; {account}; {dict(crowd.seen)}")
    assert sum(crowd.provider.values()) == CALLS
    assert (account.spent_micros, account.reserved_micros) == (CALLS * DOLLAR, 0)
    assert not view.open
    assert crowd.seen["killed"] == KILLS and crowd.seen["unanswered"]
