"""What `quantum recover` may let go, start and run again, and what it leaves, with the reason and a line for it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import islice

from cli.output.printing import counted
from cli.session import Connected
from cli.tasks.selection import all_of
from clients.coordinator_values import AgentState, AgentView, TaskFilter, TaskSpec, TaskState, TaskView
from clients.safety_values import BreakerView
from foundation.ids import random_bytes

DEAD_FOR_MAX = timedelta(days=7)
"""A dead task that is older is not run again by itself: what it was for may be over."""
DEAD_MAX = 100
"""Of each agent, the newest; a cause that killed more should be looked at after these."""
LOOKED_AT = 10_000
"""Tasks of an agent that are looked through for those that were run again already."""
_HOLDING = ("open", "half_open", "forced_open")


@dataclass(frozen=True, slots=True, kw_only=True)
class Left:
    """Something that stays as it is: why, and the line that changes it."""

    what: str
    why: str
    line: str


@dataclass(slots=True, kw_only=True)
class Recovery:
    """What is to be let go, started and run again, and what stays."""

    breakers: list[BreakerView] = field(default_factory=list)
    services: list[AgentView] = field(default_factory=list)
    dead: list[TaskView] = field(default_factory=list)
    """Tasks to be run again, the oldest first."""
    left: list[Left] = field(default_factory=list)
    started: list[str] = field(default_factory=list)
    """The services' new tasks, once they are started."""
    again: list[str] = field(default_factory=list)
    """The new tasks of dead ones."""

    @property
    def undo(self) -> str | None:
        """The line that takes back what was done; None: nothing was."""
        lines = [f"quantum breaker force-open {one.scope}" for one in self.breakers]
        if new := [*self.started, *self.again]:
            lines.append(f"quantum cancel {' '.join(new)}")
        return " && ".join(lines) or None


def plan(connected: Connected, agent: str | None, *, now: datetime) -> Recovery:
    """What there is to recover of one agent (a name or an alias; raises NotFound), or of all; nothing is changed."""
    breakers = connected.call(connected.safety.list_breakers(not_closed=True))
    holding = [one for one in breakers if one.state in _HOLDING]
    own = [one for one in holding if one.scope.startswith("agent:")]
    if agent:
        # An alias or a slip is caught here; an unknown name would silently mean nothing.
        view = connected.call(connected.coordinator.get_agent(agent))
        agents = [view]
        found = Recovery(
            breakers=[one for one in own if one.scope == f"agent:{view.name}"],
            services=[view] if _is_at_rest(view) else [],
        )
    else:
        agents = list(connected.call(connected.coordinator.list_agents()))
        found = Recovery(
            breakers=[one for one in own if one.state != "forced_open"],
            services=[view for view in agents if view.state is AgentState.HELD and _is_at_rest(view)],
        )
        found.left += [_by_hand(one) for one in own if one.state == "forced_open"]
    names = {view.name: view for view in agents}
    concerned = {f"agent:{name}" for name in names} | {used for view in agents for used in view.uses} | {"fleet"}
    shared = [one for one in holding if not one.scope.startswith("agent:")]
    found.left += [_shared(one) for one in shared if not agent or one.scope in concerned]
    found.left += [left for left in _held_by_budgets(connected) if not agent or left.what in concerned]
    for name, tasks in _dead_by_agent(connected, agents[0].name if agent else "").items():
        _choose(found, connected, name, names.get(name), tasks, now)
    return found


def carry_out(connected: Connected, found: Recovery, reason: str) -> None:
    """Do it: breakers first, so that what is started next may start."""
    for breaker in found.breakers:
        connected.call(connected.safety.reset_breaker(breaker.scope, reason=reason))
    found.started = [_start(connected, service) for service in found.services]
    if found.dead:
        key = random_bytes(16).hex()
        ids = [task.id for task in found.dead]
        for start in range(0, len(ids), 1_000):
            done = connected.call(
                connected.coordinator.retry(ids[start : start + 1_000], idempotency_key=f"{key}-{start}")
            )
            found.again += [task.id for task in done.tasks]


def _by_hand(one: BreakerView) -> Left:
    name = one.scope.removeprefix("agent:")
    return Left(what=name, why="forced open by hand", line=f"quantum recover --agent {name}")


def _shared(one: BreakerView) -> Left:
    """A breaker of a project or a cloud: several agents failed at it, and only a person knows that it is well again."""
    why = f"{one.state.replace('_', ' ')}, shared by several agents" + (f": {one.reason}" if one.reason else "")
    return Left(what=one.scope, why=why, line=f"quantum breaker reset {one.scope}")


def _held_by_budgets(connected: Connected) -> Iterator[Left]:
    """What an error budget does is evidence of a week, and is not taken back by the way."""
    for one in connected.call(connected.safety.budgets.list()):
        if one.grade in ("one_at_a_time", "spent"):
            why = f"its error budget is {one.grade.replace('_', ' ')}: {one.evidence}"
            yield Left(
                what=one.scope, why=why, line=f"quantum budget reset {one.scope} --reason 'its cause was removed'"
            )


def _dead_by_agent(connected: Connected, agent: str) -> dict[str, list[TaskView]]:
    found: dict[str, list[TaskView]] = {}
    dead = TaskFilter(states=frozenset({TaskState.DEAD}), agent=agent)
    for task in islice(all_of(connected, dead), LOOKED_AT):
        found.setdefault(task.agent, []).append(task)
    return found


def _choose(
    found: Recovery, connected: Connected, name: str, view: AgentView | None, tasks: Sequence[TaskView], now: datetime
) -> None:
    """Which dead tasks of an agent are run again, and why not the others."""
    retry = f"quantum retry --agent {name} --state dead"
    if view is None or view.faults:
        why = "is not there any more" if view is None else "cannot be run as it is"
        found.left.append(
            Left(what=f"{counted(len(tasks), 'dead task')} of {name}", why=f"{name} {why}", line="quantum doctor")
        )
        return
    every = islice(all_of(connected, TaskFilter(agent=name)), LOOKED_AT)
    known = {task.retry_of for task in every if task.retry_of}
    open_ = [task for task in tasks if task.id not in known]
    lost = [task for task in open_ if _took_its_runners(task)]
    rest = [task for task in open_ if not _took_its_runners(task)]
    old = [task for task in rest if task.finished_at is not None and now - task.finished_at > DEAD_FOR_MAX]
    young = [task for task in rest if task not in old]
    found.dead += sorted(young[:DEAD_MAX], key=lambda task: task.id)
    for task in lost:
        what = f"task {task.id} of {name}"
        found.left.append(Left(what=what, why="runner after runner was lost under it", line=f"quantum retry {task.id}"))
    if old:
        what = f"{counted(len(old), 'dead task')} of {name}"
        found.left.append(Left(what=what, why=f"dead for more than {DEAD_FOR_MAX.days} days", line=retry))
    if len(young) > DEAD_MAX:
        what = f"{counted(len(young) - DEAD_MAX, 'dead task')} of {name}"
        found.left.append(Left(what=what, why=f"{DEAD_MAX} at a time", line=f"quantum recover --agent {name}"))


def _took_its_runners(task: TaskView) -> bool:
    """It was started, and nobody saw how it ended."""
    return task.started_at is not None and task.exit_code is None and task.signal is None


def _is_at_rest(agent: AgentView) -> bool:
    """A service of which no task is open."""
    return agent.kind == "service" and not agent.faults and not agent.current_tasks and not agent.queued


def _start(connected: Connected, service: AgentView) -> str:
    """Start it as it ran before; returns the new task."""
    key, last = random_bytes(16).hex(), service.last_task
    if last is not None and last.state.ended:
        return connected.call(connected.coordinator.retry([last.id], idempotency_key=key)).tasks[0].id
    return connected.call(connected.coordinator.submit([TaskSpec(agent=service.name)], idempotency_key=key)).tasks[0].id
