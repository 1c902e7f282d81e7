"""The figures of the whole system, gathered once for the dashboard, the status page and Prometheus."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime

from clients.coordinator_values import AgentState, AgentView, QueueStats
from clients.safety_budgets_values import BudgetView
from clients.safety_values import BreakerView, ModeStatus
from foundation.errors import QuantumError
from gateway import convert
from gateway.schemas import answers
from gateway.state import caller, gateway, unless_out_of_reach


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What there is to know; safety's part may be out of reach."""

    at: datetime
    stats: QueueStats
    agents: tuple[AgentView, ...]
    mode: ModeStatus | QuantumError
    breakers: tuple[BreakerView, ...] | QuantumError
    budgets: tuple[BudgetView, ...] | QuantumError


def gather() -> Figures:
    """Asks the services, in the name of whoever sent the request. Raises QuantumError when the coordinator is away."""
    return Figures(
        at=gateway().clock.now(),
        stats=caller().coordinator(lambda coordinator, left: coordinator.queue_stats(deadline=left)),
        agents=caller().coordinator(lambda coordinator, left: coordinator.list_agents(deadline=left)),
        mode=unless_out_of_reach(lambda: caller().safety(lambda safety, left: safety.get_mode(deadline=left))),
        breakers=unless_out_of_reach(lambda: caller().safety(lambda safety, left: safety.list_breakers(deadline=left))),
        budgets=unless_out_of_reach(lambda: caller().safety(lambda safety, left: safety.budgets.list(deadline=left))),
    )


def dashboard(figures: Figures) -> answers.Dashboard:
    """The figures as JSON has them."""
    unknown = {
        name: value.message
        for name, value in (("mode", figures.mode), ("breakers", figures.breakers))
        if isinstance(value, QuantumError)
    }
    return answers.Dashboard(
        at=figures.at,
        queue=convert.queue_figures(figures.stats),
        runners=[convert.runner(runner) for runner in figures.stats.runners],
        agents=answers.AgentFigures(
            total=len(figures.agents),
            by_state=dict(Counter(agent.state.value for agent in figures.agents)),
            held=[agent.name for agent in figures.agents if agent.state is AgentState.HELD],
        ),
        breakers=None if isinstance(figures.breakers, QuantumError) else _breakers(figures.breakers),
        mode=None if isinstance(figures.mode, QuantumError) else convert.mode(figures.mode),
        store=answers.Store(bytes=figures.stats.store_bytes),
        disk=answers.Disk(free_bytes=figures.stats.disk_free_bytes),
        unknown=unknown,
    )


def _breakers(breakers: tuple[BreakerView, ...]) -> answers.BreakerFigures:
    return answers.BreakerFigures(
        by_state=dict(Counter(breaker.state for breaker in breakers)),
        not_closed=[breaker.scope for breaker in breakers if breaker.state != "closed"],
    )
