"""The ledger against a plain sum: random calls, retries, crashes on either side of a commit, clocks that jump."""

from __future__ import annotations

import logging
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TypeVar

import pytest

from foundation.errors import Conflict, Exhausted, NotFound, QuantumError, Unauthenticated
from services.safety.adapters.memory import MemoryStore
from services.safety.domain.attempt import AttemptKey, OutcomeKind
from services.safety.domain.spend_caps import AccountKey, accounts_of
from services.safety.domain.spend_ledger import Ledger
from services.safety.domain.spend_records import Stage
from services.safety.ports import Changes
from tests.safety.spending import DOLLAR, GRACE, Purse

T = TypeVar("T")
CAPS = {"attempt": 6, "agent_day": 12, "fleet_day": 20, "fleet_month": 60}
KINDS = {"attempt": "attempt", "agent": "agent_day", "fleet": "fleet_day"}


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> None:
    """Thousands of refusals are no news."""
    caplog.set_level(logging.ERROR, logger="quantum.safety.spend")


class Killed(Exception):
    """The process died here."""


class MortalStore(MemoryStore):
    """A store whose process dies at its next commit, before or after it became durable."""

    def __init__(self) -> None:
        super().__init__()
        self.dies = ""

    async def commit(self, changes: Changes) -> int:
        """Commit, and die if told to."""
        dies, self.dies = self.dies, ""
        if dies == "before":
            raise Killed
        revision = await super().commit(changes)
        if dies == "after":
            raise Killed
        return revision


@dataclass(frozen=True, slots=True)
class Call:
    """One call as the reference knows it; dollars."""

    attempt: AttemptKey
    agent: str
    made_at: datetime
    dollars: int
    stage: Stage
    actual: int = 0
    accounts: tuple[AccountKey, ...] = ()
    """Where it counts."""


class Reference:
    """What must be so: every call in one plain table, every sum taken over all of it."""

    def __init__(self) -> None:
        self.calls: dict[tuple[AttemptKey, str], Call] = {}
        self.latest: datetime | None = None

    def sums(self) -> dict[AccountKey, tuple[int, int]]:
        """Spent and reserved by account."""
        spent: Counter[AccountKey] = Counter()
        reserved: Counter[AccountKey] = Counter()
        for call in self.calls.values():
            for account in call.accounts:
                spent[account] += call.actual if call.stage is not Stage.HELD else 0
                reserved[account] += call.dollars if call.stage is Stage.HELD else 0
        return {account: (spent[account], reserved[account]) for account in spent.keys() | reserved.keys()}


class Machine:
    """Random steps on a ledger and on its reference, which must agree after each."""

    def __init__(self, purse: Purse, store: MortalStore, seed: int) -> None:
        self.purse = purse
        self.store = store
        self.random = random.Random(seed)
        self.reference = Reference()
        self.live: dict[AttemptKey, tuple[str, str]] = {}
        """Attempts that may spend: the agent, and its credential's id."""
        self.over: dict[AttemptKey, datetime] = {}
        self.tasks = 0
        self.names = 0
        self.seen: Counter[str] = Counter()

    @classmethod
    async def make(cls, seed: int) -> Machine:
        """An empty ledger."""
        store = MortalStore()
        return cls(await Purse.open(store, **CAPS), store, seed)

    async def run(self, steps: int) -> None:
        """Take so many steps; each ends with a comparison."""
        moves: list[tuple[int, Callable[[], Awaitable[None]]]] = [
            (10, self.start), (40, self.reserve), (25, self.settle), (8, self.release), (8, self.again),
            (6, self.end), (6, self.sweep), (4, self.wait), (2, self.set_back), (3, self.crash), (6, self.stranger),
        ]  # fmt: skip
        weights = [weight for weight, _ in moves]
        for _ in range(steps):
            (_, move) = self.random.choices(moves, weights)[0]
            if self.random.random() < 0.1:
                self.store.dies = self.random.choice(("before", "after"))
            await move()
            self.store.dies = ""
            self.compare()

    async def survive(self, work: Callable[[], Awaitable[T]]) -> T:
        """Make a request; when the process dies under it, start anew and send the same again, until it is answered."""
        while True:
            try:
                return await work()
            except Killed:
                self.seen["killed"] += 1
                await self.purse.crash()

    # -- moves

    async def start(self) -> None:
        """A new attempt asks to start."""
        self.tasks += 1
        task, agent = f"t{self.tasks}", self.random.choice(("writer", "reader"))
        token = await self.survive(lambda: self.purse.start(task, agent))
        self.seen["started" if token else "start refused"] += 1
        if token:
            self.live[AttemptKey(task, 1)] = (agent, token)

    async def reserve(self) -> None:
        """An attempt wants to call; it must be let if and only if there is room under every cap."""
        if not self.live:
            return
        attempt = self.random.choice(list(self.live))
        agent, token = self.live[attempt]
        self.names += 1
        name, dollars = f"k{self.names}", self.random.randint(1, 3)
        made_at = self.moment()
        accounts = accounts_of(attempt.task, agent, "acme", made_at)
        wanted = Call(attempt, agent, made_at, dollars, Stage.HELD, accounts=accounts)
        fits = self.room(wanted)
        try:
            await self.survive(lambda: self.promise(token, name, dollars))
        except Exhausted:
            assert not fits, f"{wanted} was refused and there is room"
            self.seen["refused"] += 1
            return
        assert fits, f"{wanted} was promised and there is no room"
        self.reference.latest = made_at
        self.reference.calls[attempt, name] = wanted
        self.seen["reserved"] += 1

    async def promise(self, token: str, name: str, dollars: int) -> None:
        """So many dollars by the price of words: half a million tokens out for each."""
        await self.purse.spend.reserve(token, name, "acme", "words", input_tokens=0, output_tokens=dollars * 500_000)

    async def settle(self) -> None:
        """A held call is settled for what it was promised or less."""
        if found := self.held():
            attempt, name = found
            call = self.reference.calls[found]
            actual = self.random.randint(0, call.dollars)
            token = self.live[attempt][1]
            for _ in range(self.random.randint(1, 2)):
                await self.survive(lambda: self.purse.spend.settle(token, name, actual * DOLLAR))
            self.close(found, Stage.SETTLED, actual)
            self.seen["settled"] += 1

    async def release(self) -> None:
        """A held call was not made."""
        if found := self.held():
            attempt, name = found
            token = self.live[attempt][1]
            for _ in range(self.random.randint(1, 2)):
                await self.survive(lambda: self.purse.spend.release(token, name))
            self.close(found, Stage.RELEASED, 0)
            self.seen["released"] += 1

    async def again(self) -> None:
        """A reservation is asked for again, as it was or otherwise."""
        if found := self.held():
            attempt, name = found
            token, dollars = self.live[attempt][1], self.reference.calls[found].dollars
            await self.survive(lambda: self.promise(token, name, dollars))
            with pytest.raises(Conflict):
                await self.promise(token, name, dollars + 1)
            self.seen["sent again"] += 1

    async def end(self) -> None:
        """An attempt ends; its credential is dead at once."""
        if not self.live:
            return
        attempt = self.random.choice(list(self.live))
        _, token = self.live.pop(attempt)
        await self.survive(lambda: self.purse.end(attempt.task, kind=OutcomeKind.NEUTRAL))
        self.over[attempt] = self.moment()
        with pytest.raises(Unauthenticated):
            await self.promise(token, "late", 1)
        self.seen["ended"] += 1

    async def stranger(self) -> None:
        """Another attempt's key, and one that nobody has."""
        if self.live and (found := self.held()):
            token = self.live[self.random.choice([one for one in self.live if one != found[0]] or [found[0]])][1]
            name = found[1] if token != self.live[found[0]][1] else "nobody's"
            with pytest.raises(NotFound):
                await self.purse.spend.settle(token, name, 0)
            self.seen["strange keys"] += 1

    async def sweep(self) -> None:
        """What nobody settled in time is charged in full."""
        await self.survive(lambda: self.purse.admission.renew(list(self.live)))
        now = self.purse.world.clock.now()
        await self.survive(lambda: self.purse.spend.sweep())
        for key, call in self.reference.calls.items():
            ended_at = self.over.get(call.attempt)
            if call.stage is Stage.HELD and ended_at is not None and abs(now - ended_at) >= GRACE:
                self.reference.calls[key] = replace(call, stage=Stage.CHARGED, actual=call.dollars)
                self.seen["charged"] += 1

    async def wait(self) -> None:
        """Time passes, now and then over midnight; the heartbeats go on."""
        self.purse.world.clock.advance(timedelta(seconds=self.random.choice((1, 60, 500, 1000, 20_000, 90_000))))
        await self.survive(lambda: self.purse.admission.renew(list(self.live)))

    async def set_back(self) -> None:
        """Somebody sets the clock back."""
        clock = self.purse.world.clock
        now = clock.now() - timedelta(seconds=self.random.choice((10, 5_000, 100_000)))
        clock.set_now(now)
        last = self.purse.world.state.spend.latest
        if last is not None and last - now > timedelta(hours=24):
            self.reference.latest = None  # the last booking counts as one of a clock that was wrong
            self.seen["clock set back by more than a day"] += 1
        self.seen["clock set back"] += 1

    async def crash(self) -> None:
        """kill -9 between two requests."""
        await self.survive(lambda: self.purse.crash())
        self.seen["killed"] += 1

    # -- the reference

    def moment(self) -> datetime:
        """Now, but never before the last booking, unless that lies more than a day ahead."""
        now = self.purse.world.clock.now()
        latest = Ledger(self.purse.world.state.spend).moment(now)
        assert now <= latest <= now + timedelta(hours=24)
        assert self.reference.latest is None or latest >= self.reference.latest
        return latest

    def room(self, wanted: Call) -> bool:
        """Whether a call fits under every cap, by the plain sum."""
        sums = self.reference.sums()
        for account in wanted.accounts:
            name = f"{account.subject.partition(':')[0]}_{account.per}".replace("_total", "")
            if (cap := CAPS.get(name)) is not None and sum(sums.get(account, (0, 0))) + wanted.dollars > cap:
                return False
        return True

    def held(self) -> tuple[AttemptKey, str] | None:
        """Some call of a live attempt that is open."""
        found = [
            key for key, call in self.reference.calls.items() if call.stage is Stage.HELD and call.attempt in self.live
        ]
        return self.random.choice(found) if found else None

    def close(self, key: tuple[AttemptKey, str], stage: Stage, actual: int) -> None:
        """It is over."""
        self.reference.calls[key] = replace(self.reference.calls[key], stage=stage, actual=actual)

    def compare(self) -> None:
        """Every account is what the plain sum says, and within its cap."""
        book = self.purse.world.state.spend
        sums = self.reference.sums()
        booked = {
            account: (one.spent // DOLLAR, one.reserved // DOLLAR)
            for account, one in book.balances.items()
            if account in sums or one.spent or one.reserved
        }
        assert booked == sums
        for account, (spent, reserved) in sums.items():
            cap = CAPS.get(f"{account.subject.partition(':')[0]}_{account.per}".replace("_total", ""))
            assert cap is None or spent + reserved <= cap, f"{account} is over its cap: {spent} + {reserved} > {cap}"

    async def leaked(self) -> int:
        """How much stays reserved once everything has ended and its time is over."""
        for attempt in list(self.live):
            await self.purse.end(attempt.task, kind=OutcomeKind.NEUTRAL)
        self.purse.world.clock.advance(GRACE + timedelta(days=40))
        await self.purse.spend.sweep()
        await self.purse.crash()
        await self.purse.spend.sweep()
        return sum(one.reserved for one in self.purse.world.state.spend.balances.values())


async def run_machine(runs: int, steps: int) -> Counter[str]:
    """So many ledgers, each with its seed and so many steps."""
    seen: Counter[str] = Counter()
    for seed in range(runs):
        machine = await Machine.make(seed)
        try:
            await machine.run(steps)
            assert await machine.leaked() == 0
        except (AssertionError, QuantumError) as error:
            raise AssertionError(f"seed {seed}, after {dict(machine.seen)}: {error!r}") from error
        seen += machine.seen
    return seen


RARE = ("killed", "refused", "start refused", "charged", "clock set back", "sent again", "released", "strange keys")


async def test_the_ledger_is_the_plain_sum() -> None:
    seen = await run_machine(runs=12, steps=120)
    print(f"1,440 steps: {dict(seen)}")
    assert all(seen[what] for what in RARE)


@pytest.mark.long
@pytest.mark.timeout(300)
async def test_the_ledger_is_the_plain_sum_for_long() -> None:
    seen = await run_machine(runs=400, steps=200)
    print(f"80,000 steps: {dict(seen)}")
    assert all(seen[what] >= 500 for what in RARE)


async def test_a_ledger_without_its_check_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """The control: caps that nobody looks at."""
    monkeypatch.setattr(Ledger, "full", lambda *_: None)
    with pytest.raises(AssertionError, match="there is no room"):
        await run_machine(runs=3, steps=120)
