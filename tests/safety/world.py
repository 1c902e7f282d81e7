"""Safety without a wire: a state over a store, a clock that is told to move, and short words for the tests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from foundation.clock import ManualClock
from foundation.ids import FixedRandomness, random_bytes
from services.safety.adapters.memory import MemoryCheckpoint, MemoryStore
from services.safety.app.admit import Admission, Admissions
from services.safety.app.breakers import Breakers
from services.safety.app.budgets import Budgets
from services.safety.app.mode import Modes
from services.safety.app.state import SafetyState
from services.safety.app.tokens import Tokens
from services.safety.domain.attempt import AttemptKey, Candidate, Outcome, OutcomeKind
from services.safety.domain.audit import Head, checkpoint_of
from services.safety.domain.breaker import Breaker, BreakerRules
from services.safety.domain.budget import BudgetRules
from services.safety.domain.mode import StopOrder
from services.safety.ports import SafetyStore

RULES = BreakerRules()
NO_EVIDENCE = BudgetRules(failures_min=10**9)
AUDIT_KEY = b"\x0a" * 32
SUCCESS, FAILURE, NEUTRAL = OutcomeKind.SUCCESS, OutcomeKind.FAILURE, OutcomeKind.NEUTRAL


class FakeStopSignal:
    """A STOP file that is a variable."""

    def __init__(self) -> None:
        self.order: StopOrder | None = None

    def read(self) -> StopOrder | None:
        """The order that stands."""
        return self.order

    def clear(self) -> None:
        """Take it away."""
        self.order = None


def key(task: str, fence: int = 1) -> AttemptKey:
    """An attempt."""
    return AttemptKey(task, fence)


def wants(
    task: str, agent: str = "build", *, fence: int = 1, uses: tuple[str, ...] = (), project: str = ""
) -> Candidate:
    """An attempt that asks to start."""
    return Candidate(attempt=key(task, fence), agent=agent, uses=uses, project=project)


def ended(
    task: str,
    kind: OutcomeKind,
    agent: str = "build",
    *,
    fence: int = 1,
    uses: tuple[str, ...] = (),
    project: str = "",
    epoch: int = 0,
) -> Outcome:
    """An attempt that has ended."""
    detail = "exit 1" if kind is FAILURE else ""
    return Outcome(
        attempt=key(task, fence), agent=agent, project=project, kind=kind, uses=uses, detail=detail, epoch=epoch
    )


@dataclass(kw_only=True)
class World:
    """A running safety; `crash` loses its memory and starts it anew from what is in the store."""

    state: SafetyState
    store: SafetyStore
    clock: ManualClock
    signal: FakeStopSignal
    checkpoint: MemoryCheckpoint
    rules: BreakerRules = RULES
    budget_rules: BudgetRules = NO_EVIDENCE
    numbers: int = field(default=0)

    @classmethod
    async def start(
        cls, store: SafetyStore | None = None, rules: BreakerRules = RULES, budget_rules: BudgetRules = NO_EVIDENCE
    ) -> World:
        """Safety with an empty store, at the beginning of 2026; its budgets act when they are given rules by which."""
        store, clock, signal = store or MemoryStore(), ManualClock(), FakeStopSignal()
        checkpoint = MemoryCheckpoint(checkpoint_of(Head(), AUDIT_KEY))
        state = await SafetyState.load(
            store, signal, clock, audit_key=AUDIT_KEY, checkpoint=checkpoint, budget_rules=budget_rules
        )
        return cls(
            state=state,
            store=store,
            clock=clock,
            signal=signal,
            rules=rules,
            checkpoint=checkpoint,
            budget_rules=budget_rules,
        )

    async def crash(self) -> None:
        """Lose everything that is not in the store, and start again."""
        self.state = await SafetyState.load(
            self.store,
            self.signal,
            self.clock,
            audit_key=AUDIT_KEY,
            checkpoint=self.checkpoint,
            budget_rules=self.budget_rules,
        )

    @property
    def admission(self) -> Admission:
        """The verbs of attempts."""
        return Admission(self.state, self.rules, FixedRandomness())

    @property
    def breakers(self) -> Breakers:
        """The verbs of breakers."""
        return Breakers(self.state, self.store)

    @property
    def budgets(self) -> Budgets:
        """The verbs of error budgets."""
        return Budgets(self.state)

    @property
    def modes(self) -> Modes:
        """The verbs of the mode."""
        return Modes(self.state, self.signal)

    @property
    def tokens(self) -> Tokens:
        """The verbs of tokens; the same state, so an issued token stays, watchers do not."""
        return Tokens(self.state, random_bytes=random_bytes, beat=timedelta(milliseconds=20))

    async def tell(self, *outcomes: Outcome) -> Admissions:
        """Tell ends."""
        return await self.admission.admit(outcomes, ())

    async def ask(self, *candidates: Candidate) -> Sequence[bool]:
        """Ask for starts: one yes or no each."""
        answer = await self.admission.admit((), candidates)
        return [decision.admitted for decision in answer.decisions]

    async def fail(self, times: int, agent: str = "build", uses: tuple[str, ...] = ()) -> None:
        """So many new attempts of an agent start and fail, one after the other; a refused one does not run."""
        for _ in range(times):
            await self.run_once(FAILURE, agent, uses)

    async def run_once(self, kind: OutcomeKind, agent: str = "build", uses: tuple[str, ...] = ()) -> bool:
        """One new attempt starts, if it may, and ends; says whether it was admitted."""
        self.numbers += 1
        task = f"t{self.numbers}"
        (admitted,) = await self.ask(wants(task, agent, uses=uses))
        if admitted:
            await self.tell(ended(task, kind, agent, uses=uses))
        return admitted

    def breaker(self, scope: str = "agent:build") -> Breaker:
        """The breaker as it is in memory."""
        return self.state.breakers.get(scope) or Breaker(scope=scope)
