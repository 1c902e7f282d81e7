"""Why a task is where it is: one answer at any time, from the same values that dispatch decides by."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from services.coordinator.domain.attempt import ServiceNews
from services.coordinator.domain.fleet import FleetView, Parked, project_scope
from services.coordinator.domain.placement import NOTHING, Need, Refusal, bare, place, refusal
from services.coordinator.domain.ready import agent_of_lane, lane_of
from services.coordinator.domain.task import Task, TaskState

SAFETY_UNREACHABLE = "safety_unreachable"


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """`code` for programs, `sentence` for people; `until` when it may change by itself; `remedy` a line to type."""

    code: str
    sentence: str
    until: datetime | None = None
    remedy: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentFacts:
    """What the catalogue says of a task's agent now. `missing` is why it cannot be run at all, "" when it can."""

    missing: str = ""
    concurrency_max: int | None = None
    need: Need = NOTHING
    """What the task asks of its runner."""
    is_service: bool = False
    service: ServiceNews | None = None
    """What its runner has told of it, where it is a service that has ended since its attempt began."""


def explain(task: Task, view: FleetView, agent: AgentFacts, waits_for: Sequence[Task], *, now: datetime) -> Explanation:
    """Say why `task` is where it is. `waits_for` are its parents that have not succeeded."""
    if task.ended:
        return _ended(task, agent)
    if task.cancel_requested:
        return Explanation(
            code="cancel_requested",
            sentence=f"A cancel was acknowledged; runner {task.holder} is ending its processes.",
        )
    match task.state:
        case TaskState.RUNNING:
            return _running(task, agent.service, now)
        case TaskState.PAUSED:
            return _paused(task, view.pauses.get(task.id))
        case TaskState.NEEDS_DECISION:
            said = task.reason or "Nobody saw how its attempt ended."
            remedy = f"quantum decide {task.id} run_again|failed|succeeded"
            return Explanation(code="needs_decision", sentence=said, remedy=remedy)
        case TaskState.SCHEDULED:
            return _scheduled(task)
        case TaskState.BLOCKED:
            return _blocked(task, waits_for)
        case _:
            return _queued(task, view, agent, now)


def _ended(task: Task, agent: AgentFacts) -> Explanation:
    said = f"It has ended: {task.state}."
    again = "" if task.state is TaskState.SUCCEEDED else f"quantum retry {task.id}"
    if agent.is_service:
        again = f"quantum recover --agent {task.agent}"
    return Explanation(code="ended", sentence=f"{said} {task.reason}".strip(), remedy=again)


def _running(task: Task, service: ServiceNews | None, now: datetime) -> Explanation:
    follow = f"quantum logs --follow {task.id}"
    if service is not None and service.next_start_at is not None:
        left = max((service.next_start_at - now).total_seconds(), 0.0)
        start = _ordinal(service.restarts + 2)
        said = f"It waits {left:.0f} s before its {start} start on {task.holder}: it {service.last_end}."
        return Explanation(code="service_waits", sentence=said, until=service.next_start_at, remedy=follow)
    since = f" since {_clock(task.started_at)}" if task.started_at else ""
    said = f"It runs on {task.holder or task.runner}{since} (attempt {task.attempt})."
    if service is not None:
        healthy = f" It is {service.health}." if service.health else ""
        again = (
            f" This is its {_ordinal(service.restarts + 1)} start: it {service.last_end}." if service.last_end else ""
        )
        said = f"{said}{again}{healthy}"
    return Explanation(code="running", sentence=said, remedy=follow)


def _ordinal(number: int) -> str:
    """2nd, 13th, 21st."""
    if number % 100 in (11, 12, 13):
        return f"{number}th"
    return f"{number}{ {1: 'st', 2: 'nd', 3: 'rd'}.get(number % 10, 'th') }"


def _paused(task: Task, pause: Parked | None) -> Explanation:
    """Why it is frozen by safety's latest word; None: safety lets it go on, or has not been asked since a start."""
    if pause is None:
        said = task.reason or "It goes on as soon as safety, which is asked every second, lets it."
        return Explanation(code="paused", sentence=f"Its processes are frozen. {said}", remedy="quantum status")
    found = _parked(pause)
    return replace(found, sentence=f"Its processes are frozen, and go on where they are: {found.sentence}")


def _scheduled(task: Task) -> Explanation:
    until = task.not_before
    said = f"It is not to start before {_clock(until)}." if until else "Its time has come; it is queued in a moment."
    return Explanation(code="not_before", sentence=f"{said} {task.reason}".strip(), until=until)


def _blocked(task: Task, waits_for: Sequence[Task]) -> Explanation:
    shown = ", ".join(f"{parent.id} ({parent.agent}, {parent.state})" for parent in waits_for[:5])
    more = f" and {len(waits_for) - 5} more" if len(waits_for) > 5 else ""
    said = f"It waits for {shown}{more}." if shown else "The last task that it waited for has just ended."
    remedy = f"quantum why {waits_for[0].id}" if waits_for else ""
    return Explanation(code="blocked", sentence=said, remedy=remedy)


def _queued(task: Task, view: FleetView, agent: AgentFacts, now: datetime) -> Explanation:
    if task.leased:
        return _handed_out(task, view, agent)
    if agent.missing:
        return Explanation(code="agent_missing", sentence=agent.missing, remedy=f"quantum cancel {task.id}")
    return (
        _held_fleet(view)
        or _nowhere(view, agent)
        or _held_agent(task, view, now)
        or _full(task, view, agent)
        or Explanation(code="turn", sentence="Nothing holds it: it starts as soon as those before it have.")
    )


def _handed_out(task: Task, view: FleetView, agent: AgentFacts) -> Explanation:
    """A runner has it, or is about to, and has not begun it: why, as far as anybody knows."""
    name = task.holder
    runner = next((runner for runner in view.runners if runner.name == name and runner.attached_at), None)
    if runner is None:
        said = f"Runner {name} has it and is not attached; unless it comes back soon, the task is queued again."
        return Explanation(code="no_runner", sentence=said, remedy="quantum runner list")
    if task.id not in view.unspawned:
        return Explanation(code="turn", sentence=f"It is on its way to runner {name}.")
    if why := view.unspawned[task.id]:
        return Explanation(code="runner", sentence=f"Runner {name} has it and has not begun it: {bare(why)}.")
    if held := next((room.holds_back(agent.need) for room in view.rooms if room.name == name), ""):
        said = f"Runner {name} has it and takes nothing new: {bare(held)}."
        return Explanation(code="host", sentence=said, remedy="quantum status")
    if not agent.need.beside and runner.running - runner.paused >= runner.slots:
        said = f"All {runner.slots} slots of runner {name} are taken; it has it at hand for the next free one."
        return Explanation(code="capacity", sentence=said)
    return Explanation(code="turn", sentence=f"Runner {name} has it and starts it next.")


def _held_fleet(view: FleetView) -> Explanation | None:
    if view.queue_paused:
        return Explanation(code="queue_paused", sentence=view.queue_paused, remedy="quantum queue resume")
    if view.stopped is not None:
        return _parked(view.stopped)
    if view.safety_fault:
        said = f"Nothing new starts: {view.safety_fault}"
        return Explanation(code=SAFETY_UNREACHABLE, sentence=said, remedy="quantum status")
    return None


LASTING = frozenset({"no_runner", "labels"})
"""Refusals that only another runner, or a person, ends; the others end with what runs now."""
_PLACE_REMEDIES = {"no_runner": "quantum runner list", "labels": "quantum runner list", "host": "quantum status"}


def _nowhere(view: FleetView, agent: AgentFacts) -> Explanation | None:
    """Who is never placed is not held by its agent's breaker first."""
    found = refusal(agent.need, view.rooms)
    return _unplaced(found) if found is not None and found.code in LASTING else None


def _unplaced(found: Refusal) -> Explanation:
    return Explanation(code=found.code, sentence=found.sentence, remedy=_PLACE_REMEDIES.get(found.code, ""))


def _held_agent(task: Task, view: FleetView, now: datetime) -> Explanation | None:
    project = view.held_projects.get(project_scope(task.project))
    for parked in (project, view.parked.get(task.agent)):
        if parked is not None and not (parked.until is not None and parked.until <= now):
            return _parked(parked)
    return None


def _parked(parked: Parked) -> Explanation:
    remedies = {
        "breaker": f"quantum breaker reset {parked.scope}" if parked.scope else "quantum breaker list",
        "budget": "quantum budget",
        SAFETY_UNREACHABLE: "quantum status",
        "mode": "quantum resume",
        "stop_file": "quantum resume",
    }
    # The file and the mode are one thing to whoever asks: everything is stopped.
    code = "mode" if parked.code == "stop_file" else parked.code or "refused"
    return Explanation(code=code, sentence=parked.reason, until=parked.until, remedy=remedies.get(parked.code, ""))


def _full(task: Task, view: FleetView, agent: AgentFacts) -> Explanation | None:
    running = view.running.get(task.agent, 0)
    if agent.concurrency_max is not None and running >= agent.concurrency_max:
        said = f"{running} of at most {agent.concurrency_max} tasks of {task.agent} run already."
        return Explanation(code="agent_concurrency", sentence=said)
    if task.alone and all(room.tasks for room in view.rooms if room.open):
        said = "It was lost with its runner twice, so it waits for a runner that has nothing else to do."
        return Explanation(code="capacity", sentence=said)
    found = refusal(agent.need, view.rooms)
    return _unplaced(found) if found is not None else _kept(task, view, agent.need)


def _kept(task: Task, view: FleetView, need: Need) -> Explanation | None:
    """There is room, and it is kept: whoever is too large for the moment would wait for ever behind smaller ones."""
    lane = lane_of(task)
    if place(need, [room for room in view.rooms if room.is_for(lane, need)]) is not None:
        return None
    kept = next(room for room in view.rooms if not room.is_for(lane, need) and place(need, [room]) is not None)
    large = agent_of_lane(kept.kept_for)
    said = f"Runner {kept.name} is kept for a task of {large}, which waits for more memory than is free there yet."
    return Explanation(code="memory", sentence=said)


def _clock(at: datetime | None) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S} UTC" if at else "an unknown time"
