"""The figures in the text format of Prometheus: read on scrape, labelled by few words, never by a task."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST as CONTENT_TYPE
from prometheus_client.registry import Collector

from clients.coordinator_values import AgentState
from foundation.errors import QuantumError
from gateway.figures import Figures

__all__ = ["CONTENT_TYPE", "exposition"]


def exposition(figures: Figures) -> bytes:
    """The document that a scrape gets."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Scrape(figures))
    return generate_latest(registry)


class _Scrape(Collector):
    """The metrics of one scrape."""

    def __init__(self, figures: Figures) -> None:
        self._figures = figures

    def describe(self) -> Iterable[Metric]:
        return ()

    def collect(self) -> Iterator[Metric]:
        yield from self._queue()
        yield from self._runners()
        yield from self._agents()
        yield from self._safety()
        yield from self._budgets()

    def _queue(self) -> Iterator[Metric]:
        stats = self._figures.stats
        tasks = GaugeMetricFamily("quantum_tasks", "Tasks per state.", labels=["state"])
        for state, count in stats.counts.items():
            tasks.add_metric([state.value], count)
        yield tasks
        yield _gauge("quantum_queue_open_tasks", "Tasks that have not ended.", stats.open)
        yield _gauge("quantum_queue_open_tasks_max", "The cap on them.", stats.open_max)
        yield _gauge("quantum_queue_paused", "1: the queue is paused.", int(stats.paused))
        yield _gauge(
            "quantum_throughput_per_minute", "Ended tasks per minute, over 5 minutes.", stats.throughput_per_minute
        )
        if stats.oldest_ready_at is not None:
            age = (self._figures.at - stats.oldest_ready_at).total_seconds()
            yield _gauge("quantum_oldest_ready_seconds", "Age of the oldest task that is ready.", max(0.0, age))
        waits = GaugeMetricFamily("quantum_wait_seconds", "From ready to start.", labels=["quantile"])
        for quantile, value in (("0.5", stats.wait_p50_seconds), ("0.99", stats.wait_p99_seconds)):
            if value is not None:
                waits.add_metric([quantile], value)
        yield waits
        yield _gauge("quantum_store_bytes", "Size of the coordinator's database.", stats.store_bytes)
        yield _gauge("quantum_disk_free_bytes", "Free space beside it.", stats.disk_free_bytes)

    def _runners(self) -> Iterator[Metric]:
        slots = GaugeMetricFamily("quantum_runner_slots", "Tasks that a runner runs at once.", labels=["runner"])
        running = GaugeMetricFamily("quantum_runner_running", "Tasks that it runs now.", labels=["runner"])
        for runner in self._figures.stats.runners:
            slots.add_metric([runner.name], runner.slots)
            running.add_metric([runner.name], runner.running)
        yield slots
        yield running

    def _agents(self) -> Iterator[Metric]:
        states = Counter(agent.state for agent in self._figures.agents)
        agents = GaugeMetricFamily("quantum_agents", "Agents per state.", labels=["state"])
        for state in AgentState:
            agents.add_metric([state.value], states[state])
        yield agents
        rates = GaugeMetricFamily(
            "quantum_agent_success_ratio", "Share of the last 100 counted attempts.", labels=["agent"]
        )
        for agent in self._figures.agents:
            if agent.success_rate is not None:
                rates.add_metric([agent.name], agent.success_rate)
        yield rates

    def _safety(self) -> Iterator[Metric]:
        mode, breakers = self._figures.mode, self._figures.breakers
        if not isinstance(mode, QuantumError):
            current = GaugeMetricFamily("quantum_mode", "1 for the mode that holds.", labels=["mode"])
            current.add_metric([mode.mode], 1)
            yield current
        if not isinstance(breakers, QuantumError):
            states = GaugeMetricFamily("quantum_breakers", "Breakers per state.", labels=["state"])
            for state, count in Counter(breaker.state for breaker in breakers).items():
                states.add_metric([state], count)
            yield states

    def _budgets(self) -> Iterator[Metric]:
        budgets = self._figures.budgets
        if isinstance(budgets, QuantumError):
            return
        left = GaugeMetricFamily(
            "quantum_error_budget_left_ratio", "Share of the budget of seven days that is left.", labels=["scope"]
        )
        burn = GaugeMetricFamily(
            "quantum_error_budget_burn", "How many times too fast a window fails.", labels=["scope", "window"]
        )
        for budget in budgets:
            left.add_metric([budget.scope], budget.left)
            for window in budget.windows:
                if window.burn is not None:
                    burn.add_metric([budget.scope, f"{window.minutes}m"], window.burn)
        grades = GaugeMetricFamily("quantum_error_budgets", "Budgets by what is in force.", labels=["grade"])
        for grade, count in Counter(budget.grade for budget in budgets).items():
            grades.add_metric([grade], count)
        yield from (left, burn, grades)


def _gauge(name: str, documentation: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, documentation, value=value)
