"""The task that does a merge check: made for a check alone, never by hand."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from foundation.errors import Invalid, Unavailable
from services.coordinator.domain.agent import CHECK_AGENT, AgentSpec
from services.coordinator.domain.merge_check import MergeCheck, params_of
from services.coordinator.domain.task import Effects, Task, TaskState, accept, first_fence
from services.coordinator.ports import Catalogue

PRIORITY = 9
"""Somebody waits for it."""


def refuse_by_hand(spec: AgentSpec) -> None:
    """Raises Invalid for the agent of merge checks: without a check of its own its task would have nothing to do."""
    if spec.is_check:
        raise Invalid(
            "merge_check_by_hand",
            f"“{CHECK_AGENT}” runs for merges alone and is not submitted by hand.",
            remedy="`quantum merge <branch>` merges with a check; `quantum merge list` shows the checks.",
        )


def is_check(catalogue: Catalogue, agent: str) -> bool:
    """Whether the tasks of an agent do merge checks: they are over with their check, and are not made again."""
    spec = catalogue.agents().get(agent)
    return spec is not None and spec.is_check


@dataclass(frozen=True, slots=True)
class CheckTasks:
    """Makes them as the built-in agent's manifest says."""

    catalogue: Catalogue

    def of(self, check: MergeCheck, flaky: Mapping[str, str], submitted_by: str, *, now: datetime) -> Task:
        """The queued task of a check. It belongs to no project, whose breaker would otherwise hold its own cure.

        `flaky`: until when which commands are known to be so. Raises Unavailable while the agent is not there.
        """
        spec = self.catalogue.agents().get(CHECK_AGENT)
        if spec is None or not spec.is_check or not spec.script:
            raise Unavailable("no_check_agent", _why_not(spec), remedy=f"`quantum agents {CHECK_AGENT}` shows it.")
        task = Task(
            id=check.task_id,
            agent=spec.name,
            state=TaskState.QUEUED,
            created_at=now,
            ready_at=now,
            fence=first_fence(now),
            params=params_of(check, flaky),
            priority=PRIORITY,
            effects=Effects.IDEMPOTENT,
            timeout=spec.timeout,
            submitted_by=submitted_by,
        )
        return accept(task, unmet_parents=False, now=now)


def _why_not(spec: AgentSpec | None) -> str:
    if spec is None:
        return f"Merges cannot be checked: the built-in agent “{CHECK_AGENT}” is not there."
    if not spec.is_check:
        return f"Merges cannot be checked: {spec.source} stands in for the built-in agent “{CHECK_AGENT}”; rename it."
    return f"Merges cannot be checked: the agent “{CHECK_AGENT}” has faults: {' '.join(spec.faults)}"
