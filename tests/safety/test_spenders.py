"""200 spenders at once and room for 100 calls: never one too many, never one promise left over."""

from __future__ import annotations

import asyncio
import logging
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TypeVar

import pytest

from foundation.errors import Exhausted
from foundation.sqlite.database import Database
from services.safety.adapters.sqlite import MIGRATIONS, SqliteStore
from services.safety.domain.attempt import AttemptKey
from services.safety.domain.audit import AuditRecord
from services.safety.domain.book import BreakerChange
from services.safety.domain.spend_ledger import Ledger
from services.safety.domain.spend_records import Stage
from services.safety.ports import Changes, SafetyStore, Snapshot
from tests.safety.spending import DOLLAR, Purse

T = TypeVar("T")
SPENDERS = 200
CALLS = 100


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> None:
    """Thousands of refusals are no news."""
    caplog.set_level(logging.ERROR, logger="quantum.safety.spend")


class Killed(Exception):
    """The process is dead; whatever was on its way in it got no answer."""


class OneLife:
    """The store as one process has it: after its death nothing of that process reaches the store any more."""

    def __init__(self, store: SafetyStore, dies_after: int, *, durable: bool) -> None:
        self._store = store
        self._left = dies_after
        self._durable = durable
        self.dead = False

    async def load(self) -> Snapshot:
        """The state."""
        return await self._store.load()

    async def commit(self, changes: Changes) -> int:
        """Write; die with the last commit of this life, before or after it is durable."""
        if self.dead:
            raise Killed
        self._left -= 1
        self.dead = self._left <= 0
        if self.dead and not self._durable:
            raise Killed
        revision = await self._store.commit(changes)
        if self.dead:
            raise Killed
        return revision

    async def history(self, per_scope: int) -> Mapping[str, tuple[BreakerChange, ...]]:
        """The history."""
        return await self._store.history(per_scope)

    async def audit_after(self, number: int, limit: int) -> Sequence[AuditRecord]:
        """The audit log."""
        return await self._store.audit_after(number, limit)

    async def audit_before(self, number: int | None, limit: int, since: datetime | None) -> Sequence[AuditRecord]:
        """The audit log."""
        return await self._store.audit_before(number, limit, since)


class Crowd:
    """The spenders, what the provider has seen of them, and safety with its deaths."""

    def __init__(self, store: SafetyStore, purse: Purse, seed: int) -> None:
        self.store = store
        self.purse = purse
        self.random = random.Random(seed)
        self.provider: Counter[str] = Counter()
        self.seen: Counter[str] = Counter()
        self.restarting = asyncio.Lock()
        self.moved = asyncio.Event()

    async def live_again(self) -> None:
        """Start safety anew, once for all who have noticed its death."""
        async with self.restarting:
            if isinstance(self.purse.world.store, OneLife) and not self.purse.world.store.dead:
                return
            self.seen["deaths"] += 1
            self.begin_life()
            await self.purse.crash()

    def begin_life(self) -> None:
        """Another process, which will not live for ever."""
        self.purse.world.store = OneLife(self.store, self.random.randint(20, 60), durable=self.random.random() < 0.5)

    async def insist(self, work: Callable[[], Awaitable[T]]) -> T:
        """Send a request until it is answered; now and then the answer is lost and it is sent once more."""
        while True:
            try:
                answer = await work()
            except Killed:
                await self.live_again()
                continue
            if self.random.random() < 0.2:
                self.seen["lost replies"] += 1
                try:
                    return await work()
                except Killed:
                    await self.live_again()
                    continue
            return answer

    async def spend(self, number: int, token: str) -> None:
        """Call as long as there is money; one call in ten is not made after all."""
        call = 0
        while self.purse.booked[0] < CALLS:
            call += 1
            name, moved = f"call-{call}", self.moved
            try:
                await self.insist(lambda name=name: self.purse.call(token, name))  # type: ignore[misc]
            except Exhausted:
                self.seen["refused"] += 1
                await moved.wait()  # somebody holds what is left, and will settle it or give it back
                continue
            if self.random.random() < 0.1:
                done = await self.insist(lambda name=name: self.purse.spend.release(token, name))  # type: ignore[misc]
                assert done.stage is Stage.RELEASED
                self.seen["released"] += 1
                self.tell()
                continue
            self.provider[f"{number} {name}"] += 1
            await self.insist(lambda name=name: self.purse.spend.settle(token, name, DOLLAR))  # type: ignore[misc]
            self.tell()

    def tell(self) -> None:
        """Those who were refused may ask again."""
        told, self.moved = self.moved, asyncio.Event()
        told.set()


async def spend_all(folder: Path, seed: int) -> tuple[Crowd, tuple[int, int]]:
    """Let the crowd spend until nobody can; returns it and what is spent and reserved then."""

    with Database.open(folder / f"{seed}.db", key=b"\x05" * 32, migrations=MIGRATIONS) as database:
        store = SqliteStore(database)
        purse = await Purse.open(store, fleet=CALLS)
        tokens = [await purse.start(f"t{number}") for number in range(SPENDERS)]
        crowd = Crowd(store, purse, seed)
        crowd.begin_life()
        await purse.crash()
        await asyncio.gather(*(crowd.spend(number, token) for number, token in enumerate(tokens)))
        purse.world.store = store
        await purse.crash()
        for number in range(SPENDERS):
            assert not [one for one in purse.world.state.spend.held if one.attempt == AttemptKey(f"t{number}", 1)]
        return crowd, purse.booked


async def test_200_spenders_and_room_for_100_calls(tmp_path: Path) -> None:
    crowd, (spent, reserved) = await spend_all(tmp_path, 1)
    print(f"{sum(crowd.provider.values())} calls, ${spent} spent, ${reserved} reserved; {dict(crowd.seen)}")
    assert (sum(crowd.provider.values()), spent, reserved) == (CALLS, CALLS, 0)
    assert all(crowd.seen[what] for what in ("deaths", "lost replies", "refused", "released"))


@pytest.mark.long
@pytest.mark.timeout(600)
async def test_200_spenders_again_and_again(tmp_path: Path) -> None:
    seen: Counter[str] = Counter()
    for seed in range(20):
        crowd, (spent, reserved) = await spend_all(tmp_path, seed)
        assert (sum(crowd.provider.values()), spent, reserved) == (CALLS, CALLS, 0)
        seen += crowd.seen
    print(f"20 crowds of {SPENDERS}, {CALLS} calls each: overspent 0, left over 0; {dict(seen)}")
    assert seen["deaths"] >= 20


async def test_without_the_check_they_overspend(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The control: nobody looks at what is left."""
    monkeypatch.setattr(Ledger, "full", lambda *_: None)
    crowd, _ = await spend_all(tmp_path, 1)
    print(f"{sum(crowd.provider.values())} calls with room for {CALLS}")
    assert sum(crowd.provider.values()) > CALLS
