"""Safety with prices and caps that a test sets, and attempts that spend."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import date, timedelta

from foundation.ids import FixedRandomness
from foundation.money import parse_dollars
from foundation.tokens import parse
from services.safety.app.admit import Admission
from services.safety.app.spend import Spend
from services.safety.domain.attempt import OutcomeKind
from services.safety.domain.renewal import RenewalKind
from services.safety.domain.spend_caps import AccountKey, CapName, Per
from services.safety.domain.spend_gate import Tariff
from services.safety.domain.spend_prices import Price, PriceTable
from services.safety.domain.spend_records import Balance, Reservation
from services.safety.ports import SafetyStore
from tests.safety.world import World, ended, key, wants

GRACE = timedelta(minutes=15)
USES = ("cloud:acme",)
DOLLAR = parse_dollars("1")
CALL = Price(provider="acme", model="call", valid_from=date(2025, 1, 1), call_micros=DOLLAR)
WORDS = Price(
    provider="acme", model="words", valid_from=date(2025, 1, 1), input_micros=250_000, output_micros=2_000_000
)
NO_CAPS: dict[CapName, int | None] = {
    CapName("attempt", Per.TOTAL): None,
    CapName("agent", Per.DAY): None,
    CapName("cloud", Per.DAY): None,
    CapName("fleet", Per.DAY): None,
    CapName("fleet", Per.MONTH): None,
}


@dataclass(kw_only=True)
class Purse:
    """A safety in which attempts of agents that use `cloud:acme` spend; `crash` loses its memory."""

    world: World
    tariff: Tariff
    spend: Spend = field(init=False)
    credentials: dict[tuple[str, int], str] = field(default_factory=dict)

    @classmethod
    async def open(cls, store: SafetyStore | None = None, /, **caps: int | None) -> Purse:
        """With caps in whole dollars, `fleet_day=100`; every other default is taken away."""
        named = {CapName(*_named(name)): cap if cap is None else cap * DOLLAR for name, cap in caps.items()}
        tariff = Tariff(prices=PriceTable([CALL, WORDS]), caps={**NO_CAPS, **named})
        purse = cls(world=await World.start(store), tariff=tariff)
        purse._begin()
        return purse

    def _begin(self) -> None:
        self.spend = Spend(self.world.state, lambda: self.tariff, GRACE)

    async def crash(self) -> None:
        """Lose everything that is not in the store, and start again."""
        await self.world.crash()
        self._begin()

    @property
    def admission(self) -> Admission:
        """The verbs of attempts."""
        return Admission(self.world.state, self.world.rules, FixedRandomness(), self.spend)

    async def start(self, task: str, agent: str = "writer", *, fence: int = 1, origin: str = "") -> str:
        """Start an attempt; its token's id, or "" with why not in `refused`."""
        candidate = replace(wants(task, agent, fence=fence, uses=USES), origin=origin)
        answer = await self.admission.admit((), [candidate])
        if not answer.decisions[0].admitted:
            self.refused = answer.decisions[0].foremost
            return ""
        self.credentials[task, fence] = answer.credentials[0]
        return parse(answer.credentials[0]).id

    async def end(self, task: str, *, fence: int = 1, kind: OutcomeKind = OutcomeKind.SUCCESS) -> None:
        """Tell its end."""
        await self.admission.admit([ended(task, kind, "writer", fence=fence, uses=USES)], ())

    async def call(self, token: str, name: str, model: str = "call") -> Reservation:
        """Reserve for one call of a dollar."""
        return await self.spend.reserve(token, name, "acme", model, input_tokens=None, output_tokens=None)

    async def renewed(self, task: str, fence: int = 1) -> RenewalKind:
        """What an attempt hears when it asks whether it may go on."""
        (renewal,) = (await self.admission.renew([key(task, fence)])).renewals
        return renewal.kind

    def balance(self, subject: str = "fleet", window: str = "") -> Balance:
        """What is booked on an account, in whole dollars; a part of one fails."""
        found = self.world.state.spend.balances.get(AccountKey(subject, window))
        if found is None:
            return Balance(0, 0, self.world.clock.now())
        assert found.spent % DOLLAR == 0 and found.reserved % DOLLAR == 0
        return found._replace(spent=found.spent // DOLLAR, reserved=found.reserved // DOLLAR)

    @property
    def booked(self) -> tuple[int, int]:
        """Dollars spent and reserved by the whole fleet."""
        return self.balance()[:2]

    async def set_cap(self, scope: str, dollars: int | None, per: str = "total", *, clear: bool = False) -> None:
        """Set a cap, as a person does."""
        micros = None if dollars is None else dollars * DOLLAR
        await self.spend.set_cap(scope, per, micros, clear=clear, actor="ann", reason="more")


def _named(name: str) -> tuple[str, Per]:
    scope, _, per = name.partition("_")
    return scope, Per(per or "total")
