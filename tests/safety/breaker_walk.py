"""A walk through everything that can happen to admission, with a reference beside it that must say the same."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace
from datetime import timedelta

from services.safety.domain.attempt import AttemptKey, Candidate, Outcome, OutcomeKind
from services.safety.domain.breaker import Breaker, Closed, ForcedOpen, HalfOpen, Open, StateName
from tests.safety.breaker_reference import NEW, Reference, Scope, scopes_of
from tests.safety.played_coordinators import Call, Coordinator, Crashed, CrashingStore, Running
from tests.safety.world import FAILURE, NEUTRAL, RULES, SUCCESS, World

MODEL_RULES = replace(
    RULES,
    window=8,
    window_minimum=6,
    culprits_min=2,
    jitter=0.0,  # so that the reference is exact; tests/safety/test_breaker.py has its share
    open_time=timedelta(seconds=60),
    open_time_max=timedelta(seconds=300),
    held_agents_min=1_000,  # tests/safety/test_shared_breakers.py has the 30 % rule
)
WORK = (
    ("a", "", ("cloud:x",)),
    ("b", "p", ("cloud:x",)),
    ("c", "p", ()),
    ("d", "", ()),
)
DEADLINE_SECONDS = 4.0
"""A coordinator acts on no answer that is older than the deadline of its call, nearly."""
DEAD_AFTER_SECONDS = 30.0
"""1.5 × lease: the warden has ended what nobody has renewed for so long."""
BEAT_SECONDS = 25.0


class Walk:
    """One episode: a world, its reference, and chance."""

    def __init__(self, world: World, store: CrashingStore, seed: int) -> None:
        self.world, self.store = world, store
        self.chance = random.Random(seed)
        self.reference = Reference(rules=MODEL_RULES)
        self.coordinators = [Coordinator("one"), Coordinator("two")]
        self.probes: dict[tuple[str, int], set[AttemptKey]] = {}
        self.clock_unseen = False
        self.count: Counter[str] = Counter()

    @classmethod
    async def begin(cls, seed: int, *, forgets_breakers: bool = False) -> Walk:
        store = CrashingStore()
        walk = cls(await World.start(store, rules=MODEL_RULES), store, seed)
        store.forgets_breakers = forgets_breakers
        return walk

    # -- steps

    async def step(self) -> None:
        """One thing happens, somewhere; then both say the same of every scope."""
        self.count["steps"] += 1
        coordinator = self.chance.choice(self.coordinators)
        steps = (self.send, self.receive, self.end, self.beat, self.wait, self.wait_long, self.person, self.trouble)
        (step,) = self.chance.choices(steps, weights=(28, 28, 20, 4, 8, 8, 0.4, 2))
        await step(coordinator)
        self.compare()

    async def send(self, coordinator: Coordinator) -> None:
        """A coordinator calls: ends first, oldest first, then who wants to start. Safety may die in the middle."""
        if coordinator.away or coordinator.answer is not None:
            return
        self.fill(coordinator)
        outcomes = coordinator.outbox[: self.chance.randint(1, 4)]
        candidates = coordinator.queue[: self.chance.randint(0, 3)]
        self.store.crash_at = self.chance.choices(("", "before", "after"), weights=(94, 3, 3))[0]
        before = self.reference_copy()
        admitted = self.reference.call(
            [replace(outcome, epoch=moves) for outcome, moves in outcomes], candidates, self.world.clock.now()
        )
        try:
            answer = await self.world.admission.admit([outcome for outcome, _ in outcomes], candidates)
        except Crashed:
            when, self.store.crash_at = self.store.crash_at, ""
            self.count[f"safety killed {when} a commit"] += 1
            if when == "before":
                self.reference = before
            else:
                self.reference.written()
            await self.restart()
            return
        finally:
            self.store.crash_at = ""
        said = [decision.admitted for decision in answer.decisions]
        assert said == admitted, f"safety says {said}, the reference {admitted}"
        self.note_commits()
        coordinator.answer = Call(
            [outcome for outcome, _ in outcomes],
            candidates,
            admitted,
            answer.epoch,
            self.reference.moves,
            self.world.clock.boottime(),
        )

    def note_commits(self) -> None:
        """What must be durable has been written; what was written is more than that, now and then."""
        self.clock_unseen = False
        assert self.store.commits or not self.reference.durable, "told before it was durable"
        if self.store.commits:
            self.store.commits = 0
            self.reference.written()

    def reference_copy(self) -> Reference:
        """As it is before a call that may turn out never to have happened."""
        now = self.reference
        return replace(
            now,
            scopes=dict(now.scopes),
            on_disk=dict(now.on_disk),
            heard=now.heard.copy(),
            heard_unwritten=set(now.heard_unwritten),
            given=set(now.given),
        )

    def fill(self, coordinator: Coordinator) -> None:
        while len(coordinator.queue) < 3:
            coordinator.numbers += 1
            agent, project, uses = self.chance.choice(WORK)
            attempt = AttemptKey(f"{coordinator.name}{coordinator.numbers}", 1)
            coordinator.queue.append(Candidate(attempt=attempt, agent=agent, project=project, uses=uses))

    async def receive(self, coordinator: Coordinator) -> None:
        """The answer arrives in time, or is lost with the connection; then everything in it is said again."""
        answer, coordinator.answer = coordinator.answer, None
        if answer is None or coordinator.away:
            return
        if self.world.clock.boottime() - answer.answered_at > DEADLINE_SECONDS or self.chance.random() < 0.05:
            self.count["answers lost"] += 1
            if self.chance.random() < 0.3:
                coordinator.queue.clear()  # cancelled: what was admitted is never asked for again
            return
        del coordinator.outbox[: len(answer.outcomes)]
        for candidate, admitted in zip(answer.candidates, answer.admitted, strict=True):
            if admitted:
                coordinator.queue.remove(candidate)
                self.start(coordinator, candidate, answer)

    def start(self, coordinator: Coordinator, candidate: Candidate, answer: Call) -> None:
        now = self.world.clock.boottime()
        running = Running(candidate, answer.epoch, answer.moves, now)
        coordinator.running[candidate.attempt] = running
        self.count["attempts"] += 1
        for name in scopes_of(candidate):
            breaker = self.world.breaker(name)
            if breaker.holder == candidate.attempt:
                self.count[f"probes of {name.split(':')[0]}"] += 1
                self.only_probe(name, breaker.epoch, candidate.attempt)

    def only_probe(self, name: str, epoch: int, attempt: AttemptKey) -> None:
        """No other probe of the same half-open time is alive, by what the warden has done and not by any permit."""
        probes = self.probes.setdefault((name, epoch), set())
        alive = [other for other in probes if other != attempt and self.is_alive(other)]
        assert not alive, f"{attempt} is a second probe of {name} beside {alive}"
        probes.add(attempt)

    def is_alive(self, attempt: AttemptKey) -> bool:
        now = self.world.clock.boottime()
        found = [one.running[attempt] for one in self.coordinators if attempt in one.running]
        return any(now - running.renewed_at < DEAD_AFTER_SECONDS for running in found)

    async def end(self, coordinator: Coordinator) -> None:
        """A process ends, well or not."""
        alive = [attempt for attempt in coordinator.running if self.is_alive(attempt)]
        if alive:
            kind = self.chance.choices((SUCCESS, FAILURE, NEUTRAL), weights=(58, 34, 8))[0]
            self.end_one(coordinator, self.chance.choice(alive), kind)

    def end_one(self, coordinator: Coordinator, attempt: AttemptKey, kind: OutcomeKind) -> None:
        running = coordinator.running.pop(attempt)
        candidate = running.candidate
        outcome = Outcome(
            attempt=attempt,
            agent=candidate.agent,
            project=candidate.project,
            uses=candidate.uses,
            kind=kind,
            epoch=running.epoch,
        )
        coordinator.outbox.append((outcome, running.moves))
        self.count[f"ends: {kind.value}"] += 1

    async def beat(self, coordinator: Coordinator) -> None:
        """Everything that runs is renewed; what the warden has ended meanwhile is told as lost."""
        if coordinator.away or not coordinator.running:
            return
        self.count["steps"] += 1
        now = self.world.clock.boottime()
        for attempt in [attempt for attempt in coordinator.running if not self.is_alive(attempt)]:
            self.count["attempts lost"] += 1
            self.end_one(coordinator, attempt, NEUTRAL)
        for running in coordinator.running.values():
            running.renewed_at = now
        attempts = sorted(coordinator.running)
        self.reference.renew(attempts, self.world.clock.now())
        await self.world.admission.renew(attempts)
        self.note_commits()
        self.compare()

    # -- time

    async def wait(self, coordinator: Coordinator) -> None:
        """A moment passes."""
        self.world.clock.advance(timedelta(seconds=self.chance.choice((1, 2, 5, 10, 20))))
        await self.beat_all()

    async def wait_long(self, coordinator: Coordinator) -> None:
        """Minutes pass, in beats."""
        left = self.chance.choice((40.0, 70.0, 130.0, 320.0))
        while left > 0:
            self.world.clock.advance(timedelta(seconds=min(left, BEAT_SECONDS)))
            left -= BEAT_SECONDS
            await self.beat_all()

    async def beat_all(self) -> None:
        for coordinator in self.coordinators:
            await self.beat(coordinator)

    async def clock_set(self, coordinator: Coordinator) -> None:
        """Somebody sets the wall clock."""
        seconds = self.chance.choice((-(10**8), -3600, -40, -5, 5, 40, 3600, 10**6))
        step = timedelta(seconds=seconds)
        self.count["clock set forward" if seconds > 0 else "clock set back"] += 1
        self.world.clock.set_now(self.world.clock.now() + step)
        self.reference.clock_set(step)
        self.clock_unseen = True
        if self.chance.random() < 0.5:
            await self.beat_all()  # else the next call of anybody finds it

    # -- what goes wrong

    async def trouble(self, coordinator: Coordinator) -> None:
        """One of the things that happen rarely out there."""
        happens = (self.kill_safety, self.outage, self.clock_set, self.flush, self.leave, self.kill_coordinator)
        happening = self.chance.choice(happens)
        await happening(coordinator)

    async def kill_safety(self, coordinator: Coordinator) -> None:
        """kill -9 between two calls."""
        self.count["safety killed between calls"] += 1
        await self.restart()

    async def outage(self, coordinator: Coordinator) -> None:
        """Safety is away; what runs, runs on under its coordinators' leases. The clock may be wrong afterwards."""
        self.count["outages"] += 1
        seconds = self.chance.choice((10, 36, 50, 400))
        self.world.clock.advance(timedelta(seconds=seconds))
        for coordinator in self.coordinators:
            for running in coordinator.running.values() if not coordinator.away else ():
                if self.world.clock.boottime() - running.renewed_at < DEAD_AFTER_SECONDS + seconds:
                    running.renewed_at = self.world.clock.boottime()
        if self.chance.random() < 0.3:
            step = timedelta(seconds=self.chance.choice((-(10**8), -100, 100)))
            self.count["clock wrong after a restart"] += 1
            self.world.clock.set_now(self.world.clock.now() + step)
        await self.restart()

    async def restart(self) -> None:
        now = self.world.clock.now()
        held = sum(scope.holder is not None for scope in self.reference.on_disk.values())
        self.count["restarts with a probe out"] += bool(held)
        self.reference.crash(now)
        await self.world.crash()
        self.store.commits = 0
        self.clock_unseen = False
        await self.beat_all()

    async def flush(self, coordinator: Coordinator) -> None:
        """What is owed is written."""
        await self.world.state.flush()
        self.store.commits = 0
        self.reference.written()

    async def leave(self, coordinator: Coordinator) -> None:
        """A coordinator is away for longer than a lease; its wardens end what it held."""
        self.count["coordinators away"] += 1
        coordinator.away, coordinator.answer = True, None
        for _ in range(self.chance.choice((1, 2))):
            self.world.clock.advance(timedelta(seconds=BEAT_SECONDS))
            await self.beat_all()
        coordinator.away = False
        await self.beat(coordinator)

    async def kill_coordinator(self, coordinator: Coordinator) -> None:
        """kill -9: the answer on its way is lost, the rest is on its disk."""
        self.count["coordinators killed"] += 1
        coordinator.answer = None

    async def person(self, coordinator: Coordinator) -> None:
        """Somebody forces or resets a breaker."""
        name = self.chance.choice(("agent:a", "agent:b", "cloud:x", "project:p", "fleet"))
        held = [name for name, scope in self.reference.scopes.items() if scope.state == "forced_open"]
        if held:
            name = held[0]  # or the walk would stand still before it
        verb = "closed" if held else self.chance.choice(("forced_open", "forced_closed", "closed"))
        now, breakers = self.world.clock.now(), self.world.breakers
        if verb == "closed" and name not in self.world.state.breakers:
            return
        self.count[f"by hand: {verb}"] += 1
        lasting = timedelta(minutes=5) if verb == "forced_closed" else None
        self.reference.force(name, verb, lasting, now)
        if verb == "forced_open":
            await breakers.force_open(name, reason="", actor="ann")
        elif verb == "closed":
            await breakers.reset(name, reason="", actor="ann")
        else:
            await breakers.force_closed(name, lasting=timedelta(minutes=5), reason="", actor="ann")
        self.note_commits()

    # -- what must be so

    def compare(self) -> None:
        """Both say the same of every scope, and time alone leads on from here."""
        if self.clock_unseen:
            return  # safety has not been asked since the clock was set
        now = self.world.clock.now()
        for name in self.reference.scopes.keys() | self.world.state.breakers.keys():
            breaker = self.world.breaker(name)
            scope = self.reference.scopes.get(name, NEW)
            assert seen(breaker) == shown(scope), f"{name}: {breaker} is not {scope}"
            if breaker.state.name not in (StateName.CLOSED, StateName.FORCED_OPEN):
                later = now + MODEL_RULES.open_time_max * 2 + MODEL_RULES.permit_time
                assert breaker.as_of(later, epoch=breaker.epoch + 1).lets_through(AttemptKey("x", 1), later), name

    async def come_to_rest(self) -> None:
        """Never stuck: with nobody's help and nothing but successes, every breaker that no person holds closes."""
        for coordinator in self.coordinators:
            for attempt in list(coordinator.running):
                self.end_one(coordinator, attempt, NEUTRAL)
        for scope in [name for name, scope in self.reference.scopes.items() if scope.state == "forced_open"]:
            self.reference.force(scope, "closed", None, self.world.clock.now())
            await self.world.breakers.reset(scope, reason="", actor="ann")
            self.note_commits()
        for _ in range(200):
            await self.send(self.coordinators[0])
            await self.receive(self.coordinators[0])
            await self.send(self.coordinators[1])
            await self.receive(self.coordinators[1])
            for coordinator in self.coordinators:
                for attempt in list(coordinator.running):
                    self.end_one(coordinator, attempt, SUCCESS)
            self.world.clock.advance(timedelta(seconds=20))
            await self.beat_all()
            self.compare()
        states = {name: scope.state for name, scope in self.reference.scopes.items()}
        assert set(states.values()) <= {"closed", "forced_closed"}, f"stuck: {states}"


def seen(breaker: Breaker) -> tuple[object, ...]:
    """What the breaker says of itself, but for its epoch."""
    state = breaker.state
    until = None
    match state:
        case HalfOpen(permit=permit):
            until = permit.deadline.at if permit else None
        case Closed() | ForcedOpen():
            until = None
        case _:
            until = state.deadline.at
    trips = state.trips if isinstance(state, Open | HalfOpen) else 0
    good = state.successes if isinstance(state, HalfOpen) else 0
    return (state.name.value, breaker.failures, breaker.attempts, until, trips, good, breaker.holder)


def shown(scope: Scope) -> tuple[object, ...]:
    """The same of the reference."""
    failures = sum(1 for agent in scope.window if agent)
    return (scope.state, failures, len(scope.window), scope.until, scope.trips, scope.good, scope.holder)


async def walk(seed: int, steps: int, **protection: bool) -> Counter[str]:
    """One episode; its counts. AssertionError at the first thing that must not be."""
    one = await Walk.begin(seed, **protection)
    while one.count["steps"] < steps:
        await one.step()
    await one.come_to_rest()
    for change in (await one.store.history(1_000_000)).values():
        one.count.update(f"{line.before.value} → {line.after.value}" for line in change)
    return one.count
