"""What runs: whether each service answers, what its machine can do, and what waits there for a person."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import wraps
from pathlib import Path

from cli.doctor.findings import Finding, fail, ok, quoted, unseen, warn
from cli.doctor.findings import aside as moved_aside
from cli.doctor.subject import Subject
from cli.output.printing import counted
from cli.session import Connected
from clients.coordinator_values import AgentState, TaskFilter, TaskState
from foundation.errors import Unavailable

BY_MANIFEST = "its manifest"
Asking = Callable[[Subject, Connected], Iterator[Finding]]
Check = Callable[[Subject], Iterator[Finding]]


def asking(service: str, part: str) -> Callable[[Asking], Check]:
    """A check that asks a service; while that does not serve, its part is unseen, and `services` says so."""

    def of(ask: Asking) -> Check:
        @wraps(ask)
        def check(subject: Subject) -> Iterator[Finding]:
            if subject.connected is None or not subject.serving.get(service):
                return iter([unseen(part, "services")])
            return ask(subject, subject.connected)

        return check

    return of


def services(subject: Subject) -> Iterator[Finding]:
    """Each process, and whether it serves."""
    part, running = "services", subject.running
    if running is None:
        yield warn(part, "Nothing runs.", subject.up)
        return
    if subject.connected is None:
        yield unseen(part, "keychain")
        return
    away = [name for name, serving in subject.serving.items() if not serving]
    for name in away:
        words = subject.here.logs / f"{name}.out"
        yield fail(part, f"{name} does not serve; its last words are in {words}.", subject.restart)
    runners = [name for name in subject.serving if name.startswith("runner-")]
    if not runners:
        yield fail(part, "No runner runs, so that no task does.", subject.restart)
    if not away and runners:
        yield ok(part, f"{', '.join(subject.serving)} serve")


def units(subject: Subject) -> Iterator[Finding]:
    """Those of the operating system, where they are installed."""
    from cli.service.acting import manager_of, standing
    from cli.service.gone import CURE, gone
    from cli.service.ports import NO_MANAGER

    part = "service units"
    left = gone(subject.here, subject.session.environ)
    for one in left:
        yield warn(part, one.said, CURE)
    if not subject.installed:
        if not left:
            yield ok(part, "none are installed; `quantum service install` has everything start at login")
        return
    try:
        every = standing(subject.here, subject.session.environ)
    except Unavailable as error:
        if error.code != NO_MANAGER:
            raise
        yield fail(part, f"They are installed, and nobody starts them. {error.message}.", "quantum service uninstall")
        return
    wrong = [one for one in every if one.state not in ("active", "starting")]
    if wrong and subject.running is not None and not subject.running.units:
        yield warn(
            part, "They are installed, and everything runs by `quantum up`.", "quantum down && quantum service start"
        )
        return
    for bad in wrong:
        yield fail(part, f"{bad.unit} is {bad.state}. {bad.says}".strip(), "quantum service start")
    advice = manager_of(subject.here, subject.session.environ).advice()
    if not wrong and advice and advice.line:
        yield warn(part, f"{len(every)} are loaded. {advice.says}", advice.line)
    elif not wrong and not left:
        yield ok(part, f"{len(every)} are loaded")


def gateway(subject: Subject) -> Iterator[Finding]:
    """What it says of itself over HTTP."""
    part, running = "gateway", subject.running
    if running is None or not all(subject.serving.values()) or subject.connected is None:
        yield unseen(part, "services")
        return
    word = running.gateway.health(subject.here)
    if word == "ok":
        yield ok(part, f"{running.gateway.url}/ says ok")
    else:
        yield fail(part, f"{running.gateway.url}/health says {word or 'nothing'}.", subject.restart)


def runners(subject: Subject) -> Iterator[Finding]:
    """What each can do on its machine: sandboxes and limits."""
    running, connected = subject.running, subject.connected
    names = [] if running is None else [name for name in running.runners if subject.serving.get(name)]
    if connected is None or not names:
        yield unseen("limits", "services")
        yield unseen("sandbox", "services")
        return
    for view in [connected.call(connected.runner(name).describe()) for name in names]:
        yield _limits(view.name, view.enforcement)
        if not view.sandbox:
            said = f"{view.name} has none, so that agents that ask for one are refused: {view.sandbox_missing}"
            yield fail("sandbox", said, f"sudo apt-get install -y bubblewrap && {subject.restart}")
        elif view.sandbox_missing:
            yield ok("sandbox", f"{view.name}: {view.sandbox}, which can do less: {view.sandbox_missing}")
        else:
            yield ok("sandbox", f"{view.name}: {view.sandbox}; outside of one, and of run_as, secrets are reachable")


def _limits(runner: str, enforcement: Mapping[str, str]) -> Finding:
    """How each limit of a tree is held there."""
    by = {how: [name for name in sorted(enforcement) if enforcement[name] == how] for how in ("kernel", "supervised")}
    said = [
        f"the kernel holds {', '.join(by['kernel'])}" if by["kernel"] else "",
        f"the warden measures {', '.join(by['supervised'])}" if by["supervised"] else "",
    ]
    loose = [name for name, how in sorted(enforcement.items()) if how == "none"]
    said.append(f"nobody holds {', '.join(loose)}, which a cgroup that may be written would" if loose else "")
    return ok("limits", f"{runner}: {'; '.join(filter(None, said))}")


@asking("coordinator", "agents")
def agents(subject: Subject, connected: Connected) -> Iterator[Finding]:
    """Whether each can be run, and none is held."""
    part, every = "agents", connected.call(connected.coordinator.list_agents())
    bad = [agent for agent in every if agent.state is AgentState.INVALID]
    for agent in bad:
        path = subject.here.root / agent.source if agent.source else Path(agent.name)
        yield fail(part, f"{agent.name}: {' '.join(agent.faults)}", moved_aside(path))
    held = [agent for agent in every if agent.kind == "service" and agent.state is AgentState.HELD]
    for agent in held:
        yield warn(part, f"{agent.name}: {agent.held_reason}", f"quantum recover --agent {quoted(agent.name)}")
    if not bad and not held:
        noted = sum(bool(agent.notices) for agent in every)
        yield ok(part, f"{len(every)} can be run" + (f", {noted} of them with a notice" if noted else ""))


@asking("coordinator", "runners")
def attached(subject: Subject, connected: Connected) -> Iterator[Finding]:
    """Whether tasks are given to each."""
    part, stats = "runners", connected.call(connected.coordinator.queue_stats())
    drained = [one for one in stats.runners if one.draining]
    for one in drained:
        yield warn(part, f"{one.name} is given nothing new: {one.drained}", f"quantum runner resume {quoted(one.name)}")
    if not any(one.attached_at for one in stats.runners):
        yield fail(part, "None is attached, so that no task runs.", subject.restart)
    elif not drained:
        yield ok(part, ", ".join(f"{one.name}: {one.held_reason or 'takes tasks'}" for one in stats.runners))


@asking("coordinator", "queue")
def queue(subject: Subject, connected: Connected) -> Iterator[Finding]:
    """What waits for a person: the queue as a whole, and tasks whose end nobody saw."""
    part, stats = "queue", connected.call(connected.coordinator.queue_stats())
    undecided = stats.counts.get(TaskState.NEEDS_DECISION, 0)
    if stats.paused:
        yield warn(part, f"It is paused: {stats.paused_reason}", "quantum queue resume")
    if undecided:
        waiting = TaskFilter(states=frozenset({TaskState.NEEDS_DECISION}))
        names = sorted({task.agent for task in connected.call(connected.coordinator.list_tasks(waiting)).tasks})
        note = "--note 'nobody saw how it ended'"
        lines = [f"quantum decide failed --agent {quoted(name)} {note}" for name in names]
        found = f"{counted(undecided, 'task')} of {', '.join(names)} ended unseen and will not run again by themselves."
        yield warn(part, found, " && ".join(lines))
    if not stats.paused and not undecided:
        yield ok(part, f"{stats.open:,} of {stats.open_max:,} tasks are open")


@asking("coordinator", "schedules")
def schedules(subject: Subject, connected: Connected) -> Iterator[Finding]:
    """Whether each can be started, and none rests that a person has paused."""
    part, every = "schedules", connected.call(connected.coordinator.schedules.list())
    wrong = [one for one in every if one.problem]
    paused = [one for one in every if one.paused and one.paused_by != BY_MANIFEST]
    late = [one for one in every if one.passed and not one.paused and not one.problem]
    for one in wrong:
        yield fail(part, f"{one.name} cannot be started: {one.problem}", f"quantum schedule pause {quoted(one.name)}")
    for one in paused:
        why = f": {one.paused_reason}" if one.paused_reason else ""
        yield warn(
            part, f"{one.name} rests, paused by {one.paused_by}{why}", f"quantum schedule resume {quoted(one.name)}"
        )
    for one in late:
        said = f"{one.name}: nothing was started for {counted(one.passed, 'due time')}: {one.passed_because}"
        yield warn(part, said, f"quantum schedule run {quoted(one.name)}")
    if not (wrong or paused or late):
        yield ok(part, f"{len(every)} are kept")


CHECKS = (services, units, gateway, runners, agents, attached, queue, schedules)
