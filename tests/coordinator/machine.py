"""A fleet that does anything at any time: submits, leases, late and false reports, losses, cancels, decisions.

It moves tasks by the domain's functions alone and checks after every step what must hold whatever happens. A
subclass may keep the tasks somewhere else as well.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from foundation.errors import Conflict, Stale
from foundation.ids import SequentialIds
from services.coordinator.domain import task as moves
from services.coordinator.domain.failure import AttemptEnd, EndCause, RetryRule, lose, settle
from services.coordinator.domain.task import (
    ENDED,
    LEGAL_MOVES,
    OPEN,
    Decision,
    Effects,
    Measured,
    Task,
    TaskState,
    accept,
    faults,
    request_of,
)
from tests.coordinator.tasks import NOW

S = TaskState
RULE = RetryRule()
AGENTS = ("build", "test")
RUNNERS = ("r1", "r2")

anyone = st.integers(min_value=0, max_value=10_000)
chances = st.floats(min_value=0, max_value=1, exclude_max=True)
exits = st.sampled_from([0, 0, 0, 1, 7, 75, 78, 127, 139])
signals = st.sampled_from([None, None, None, 9, 11, 15])


class FleetMachine(RuleBasedStateMachine):
    """`steps` counts the steps of all runs of a class."""

    steps = 0

    def __init__(self) -> None:
        super().__init__()
        self.now = NOW
        self.ids = SequentialIds()
        self.tasks: dict[str, Task] = {}
        self.leases: list[tuple[str, int]] = []  # every one that was ever given
        self.ended: dict[str, Task] = {}
        self.completed: dict[str, int] = {}  # task → fence of the completion that was accepted
        self.cancelled_unheld: dict[str, int] = {}  # task → attempts at the acknowledgement
        self.became_ready: dict[str, datetime] = {}
        self.starts: defaultdict[str, int] = defaultdict(int)
        self.repeats: defaultdict[str, int] = defaultdict(int)  # attempts that ended and were followed by another

    # -- where the tasks are kept

    def keep(self, inserted: Sequence[Task], pairs: Sequence[tuple[Task, Task]]) -> None:
        """Record a transaction; a subclass stores it too."""
        for task in inserted:
            self.tasks[task.id] = task
        for before, after in pairs:
            assert self.tasks[before.id] == before  # so that no transaction moves a task twice
            assert after.state in LEGAL_MOVES[before.state] or after.state is before.state
            assert after.fence >= before.fence and request_of(after) == request_of(before)
            self.tasks[after.id] = after

    def one(self, tasks: Iterable[Task], pick: int) -> Task | None:
        found = sorted(tasks, key=lambda task: task.id)
        return found[pick % len(found)] if found else None

    def of(self, *states: TaskState) -> list[Task]:
        return [task for task in self.tasks.values() if task.state in states]

    def move(self, before: Task, after: Task) -> None:
        """Keep a move together with what it means for the children."""
        pairs = [(before, after), *self.family(after)]
        for _, task in pairs:
            if task.state is S.QUEUED and not task.leased and task.id not in self.became_ready:
                self.became_ready[task.id] = task.ready_at
        self.keep((), pairs)

    def family(self, ended: Task) -> list[tuple[Task, Task]]:
        """What the end of a task does to its children and theirs; each once, however many ways lead to it."""
        found: dict[str, tuple[Task, Task]] = {}
        lost = [ended] if ended.ended and ended.state is not S.SUCCEEDED else []
        for parent in lost:
            for child in self.of(S.BLOCKED):
                if parent.id in child.depends_on and child.id not in found:
                    gone = moves.lose_parent(child, parent, now=self.now)
                    found[child.id] = (child, gone)
                    lost.append(gone)
        if ended.state is S.SUCCEEDED:
            for child in self.of(S.BLOCKED):
                others = [self.tasks[id_] for id_ in child.depends_on if id_ != ended.id]
                if len(others) < len(child.depends_on) and all(each.state is S.SUCCEEDED for each in others):
                    found[child.id] = (child, moves.unblock(child, now=self.now))
        return list(found.values())

    # -- what happens

    @initialize(
        priorities=st.lists(st.sampled_from([5, 5, 0, 9]), min_size=4, max_size=8),
        effects=st.sampled_from(Effects),
        retries=st.integers(0, 5),
        children=st.booleans(),
    )
    def begin(self, priorities: list[int], effects: Effects, retries: int, children: bool) -> None:
        for number, priority in enumerate(priorities):
            parents = 1 if children and number % 2 else 0
            self.submit(number, AGENTS[number % 3 // 2], priority, effects, retries, parents, None)

    @rule(
        pick=anyone,
        agent=st.sampled_from(AGENTS),
        priority=st.sampled_from([5, 5, 5, 0, 9]),
        effects=st.sampled_from(Effects),
        retries=st.integers(0, 5),
        parents=st.sampled_from([0, 0, 0, 1, 2]),
        delay=st.sampled_from([None, None, None, 0, 5]),
    )
    def one_more(
        self, pick: int, agent: str, priority: int, effects: Effects, retries: int, parents: int, delay: int | None
    ) -> None:
        self.submit(pick, agent, priority, effects, retries, parents, delay)

    def submit(
        self, pick: int, agent: str, priority: int, effects: Effects, retries: int, parents: int, delay: int | None
    ) -> None:
        """A new task that depends on so many others that have not failed."""
        possible = sorted(self.of(*OPEN, S.SUCCEEDED), key=lambda task: task.id)
        chosen = {possible[(pick + n) % len(possible)].id: None for n in range(parents)} if possible else {}
        task = Task(
            id=self.ids.new(),
            agent=agent,
            state=S.QUEUED,
            created_at=self.now,
            ready_at=self.now,
            fence=moves.first_fence(self.now),
            priority=priority,
            effects=effects,
            retries=retries,
            depends_on=tuple(chosen),
            not_before=None if delay is None else self.now + timedelta(seconds=delay),
        )
        unmet = any(self.tasks[id_].state is not S.SUCCEEDED for id_ in chosen)
        placed = accept(task, unmet_parents=unmet, now=self.now)
        if placed.state is S.QUEUED:
            self.became_ready[placed.id] = self.now
        self.keep([placed], ())

    @rule(seconds=st.sampled_from([0, 1, 4, 30, 600]))
    def wait(self, seconds: int) -> None:
        """Time passes, and what was waiting for its time falls due."""
        self.now += timedelta(seconds=seconds)
        due = [task for task in self.of(S.SCHEDULED) if task.ready_at <= self.now]
        for task in due:
            assert task.not_before is not None
            self.became_ready[task.id] = task.not_before
        self.keep((), [(task, moves.fall_due(task, now=self.now)) for task in due])

    @rule(
        agent=st.sampled_from(AGENTS),
        number=st.integers(1, 4),
        runner=st.sampled_from(RUNNERS),
        start=st.sampled_from([True, True, False]),
    )
    def dispatch(self, agent: str, number: int, runner: str, start: bool) -> None:
        chosen = self.best(agent, number)
        waiting = [task for task in self.ready(agent) if task not in chosen]
        for task in chosen:
            for other in waiting:
                behind = (self.became_ready[other.id], other.id) > (self.became_ready[task.id], task.id)
                assert other.priority < task.priority or (other.priority == task.priority and behind)
            assert task.id not in self.cancelled_unheld
        pairs = [(task, moves.lease(task, runner)) for task in chosen]
        given = [(task.id, task.fence) for _, task in pairs]
        assert not set(given) & set(self.leases)
        self.leases += given
        self.keep((), pairs)
        for _, leased in pairs if start else ():
            self.started(leased, moves.start(leased, leased.fence, at=self.now))

    def ready(self, agent: str) -> list[Task]:
        return [task for task in self.of(S.QUEUED) if task.agent == agent and not task.leased]

    def best(self, agent: str, number: int) -> list[Task]:
        """The first so many in the order of dispatch."""
        found = sorted(self.ready(agent), key=lambda task: (-task.priority, task.ready_at, task.id))
        return found[:number]

    def report(self, pick: int, event: str, make: object) -> tuple[Task, Task] | None:
        """A runner tells something, three times in four under a fence that holds, else under any that ever did."""
        held = [(task.id, task.fence) for task in self.tasks.values() if task.leased]
        known = held if held and pick % 4 else self.leases
        id_, fence = known[pick // 4 % len(known)]
        task = self.tasks[id_]
        assert callable(make)
        try:
            after = make(task, fence)
        except Stale:
            assert not task.leased or task.fence != fence
            return None
        except Conflict:
            # The event does not fit: an exit of what never started, a hand-back of what runs.
            assert event in ("start", "freeze", "thaw", "hand_back", "end")
            return None
        assert task.leased and task.fence == fence
        return task, after

    @precondition(lambda self: self.leases)
    @rule(pick=anyone)
    def start(self, pick: int) -> None:
        told = self.report(pick, "start", lambda task, fence: moves.start(task, fence, at=self.now))
        if told is None or told[0] == told[1]:
            return
        self.started(*told)

    def started(self, before: Task, after: Task) -> None:
        assert before.id not in self.cancelled_unheld
        assert all(self.tasks[parent].state is S.SUCCEEDED for parent in after.depends_on)
        self.starts[after.id] += 1
        self.move(before, after)

    @precondition(lambda self: self.leases)
    @rule(pick=anyone, frozen=st.booleans())
    def freeze_or_thaw(self, pick: int, frozen: bool) -> None:
        if frozen:
            told = self.report(pick, "freeze", lambda task, fence: moves.pause(task, fence, reason="FROZEN"))
        else:
            told = self.report(pick, "thaw", moves.thaw)
        if told is not None:
            self.move(*told)

    @precondition(lambda self: self.leases)
    @rule(pick=anyone)
    def hand_back(self, pick: int) -> None:
        told = self.report(
            pick, "hand_back", lambda task, fence: moves.hand_back(task, fence, reason="drain", now=self.now)
        )
        if told is not None:
            assert told[0].ready_at == told[1].ready_at  # its place in the queue is the one it had
            self.move(*told)

    @precondition(lambda self: self.leases)
    @rule(
        pick=anyone,
        cause=st.sampled_from([EndCause.EXIT] * 6 + list(EndCause)),
        code=exits,
        signal=signals,
        chance=chances,
    )
    def end(self, pick: int, cause: EndCause, code: int, signal: int | None, chance: float) -> None:
        measured = Measured(exit_code=None if signal else code, signal=signal, duration=timedelta(seconds=1))
        ended = AttemptEnd(cause=cause, measured=measured)
        told = self.report(
            pick, "end", lambda task, fence: settle(task, fence, ended, RULE, chance=chance, now=self.now)
        )
        if told is not None:
            self.over(*told)

    @precondition(lambda self: self.leases)
    @rule(pick=anyone)
    def lose_runner(self, pick: int) -> None:
        told = self.report(pick, "lose", lambda task, fence: lose(task, fence, RULE, now=self.now))
        if told is not None:
            self.over(*told)

    def over(self, before: Task, after: Task) -> None:
        if after.ended:
            assert before.id not in self.completed
            self.completed[before.id] = before.fence
            assert before.fence == max(fence for id_, fence in self.leases if id_ == before.id)
        elif before.state is not S.QUEUED:
            self.repeats[before.id] += 1
            self.became_ready.pop(before.id, None)
        if after.state is S.SCHEDULED:
            self.became_ready.pop(before.id, None)
        self.move(before, after)

    @rule(pick=anyone)
    def cancel(self, pick: int) -> None:
        task = self.one(self.tasks.values(), pick // 5)
        if task is None or pick % 5 != 1:
            return  # too many would leave nothing to run
        try:
            after = moves.request_cancel(task, reason="asked", now=self.now)
        except Conflict:
            assert task.ended
            return
        if not task.leased:
            assert after.state is S.CANCELLED
            self.cancelled_unheld[task.id] = task.attempt
        self.move(task, after)

    @rule(pick=anyone, decision=st.sampled_from(Decision))
    def decide(self, pick: int, decision: Decision) -> None:
        task = self.one(self.of(S.NEEDS_DECISION), pick)
        if task is None:
            return
        self.became_ready.pop(task.id, None)
        self.move(task, moves.decide(task, decision, note="", now=self.now))

    # -- what must hold

    @invariant()
    def counted(self) -> None:
        type(self).steps += 1

    @invariant()
    def possible(self) -> None:
        for task in self.tasks.values():
            assert faults(task) == ()

    @invariant()
    def ended_once(self) -> None:
        for task in self.of(*ENDED):
            assert self.ended.setdefault(task.id, task) == task
        for id_ in self.ended:
            assert self.tasks[id_] == self.ended[id_]

    @invariant()
    def attempts_bounded(self) -> None:
        for task in self.tasks.values():
            assert task.attempt == self.starts[task.id] <= self.repeats[task.id] + 1
            assert task.failures <= min(task.retries, RULE.ceiling) + 1
            assert task.timeouts <= 2 and task.losses <= RULE.losses_max

    @invariant()
    def cancels_kept(self) -> None:
        for id_, attempt in self.cancelled_unheld.items():
            assert self.tasks[id_].state is S.CANCELLED and self.tasks[id_].attempt == attempt

    @invariant()
    def children_wait(self) -> None:
        for task in self.tasks.values():
            if task.attempt or task.leased:
                assert all(self.tasks[parent].state is S.SUCCEEDED for parent in task.depends_on)


def unplaced(task: Task) -> Task:
    """The task without the position that a store gave it."""
    return task._replace(change=0)


def walk(machine: type[FleetMachine], *, examples: int, steps: int) -> None:
    """Have Hypothesis drive a machine, `examples` times, `steps` rules each."""
    rules = settings(
        max_examples=examples,
        stateful_step_count=steps,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(machine, settings=rules)
