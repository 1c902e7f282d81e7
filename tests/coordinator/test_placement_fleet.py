"""Which runner gets what, over whole lives of tasks on a clock in hand."""

import random
from collections import Counter
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from time import perf_counter

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.coordinator.adapters.sqlite import SqliteStore
from services.coordinator.app import rooms
from services.coordinator.app.attachments import Attachment, HostState
from services.coordinator.app.footprints import Footprints
from services.coordinator.domain.agent import AgentSpec
from services.coordinator.domain.attempt import Frozen
from services.coordinator.domain.footprint import MIB
from services.coordinator.domain.placement import refusal
from services.coordinator.domain.task import Task
from tests.coordinator.fleet import Fleet, ended, granted, sent, started
from tests.coordinator.stores import KEY

GB = 1 << 30
MAC, LINUX = {"os": "darwin"}, {"os": "linux"}


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    return Fleet(tmp_path)


def agents(**labels: Mapping[str, str]) -> dict[str, AgentSpec]:
    return {name: AgentSpec(name=name, script=f"/agents/{name}.sh", labels=labels.get(name, {})) for name in "abc"}


def why(fleet: Fleet, task: Task) -> str:
    found = refusal(fleet.dispatch.need_of(task), fleet.dispatch.fleet().rooms)
    return found.code if found else "turn"


async def leased(fleet: Fleet, *runners: Attachment) -> dict[str, str]:
    """One rest of dispatch; the runner of each task that went out in it."""
    await fleet.round()
    return {task.id: task.holder for runner in runners for task in granted(sent(runner))}


# -- labels


async def test_each_task_goes_where_its_labels_and_its_agents_are(fleet: Fleet) -> None:
    fleet.catalogue.specs = agents(b=MAC)
    mac = await fleet.runner("mac", labels=MAC)
    linux = await fleet.runner("linux", labels=LINUX)
    by_agent, by_task = await fleet.submit("b"), await fleet.submit("a", labels=LINUX)
    won = await fleet.submit("b", labels=LINUX)
    assert await leased(fleet, mac, linux) == {by_agent.id: "mac", by_task.id: "linux", won.id: "linux"}


async def test_what_no_runner_has_waits_with_its_reason_until_one_comes(fleet: Fleet) -> None:
    one = await fleet.runner("one", labels=LINUX)
    task = await fleet.submit("a", labels={"gpu": "yes"})
    other = await fleet.submit("a")
    assert await leased(fleet, one) == {other.id: "one"}
    assert why(fleet, task) == "labels"
    assert [candidate.task_id for candidate in fleet.gate.asked] == [other.id], "safety is not asked about it"
    two = await fleet.runner("two", labels={"gpu": "yes"})
    assert await leased(fleet, one, two) == {task.id: "two"}


async def test_an_agent_that_no_runner_can_have_comes_back_with_everything_it_had(fleet: Fleet) -> None:
    fleet.catalogue.specs = agents(a=MAC)
    early = [await fleet.submit("a") for _ in range(3)]
    linux = await fleet.runner("linux", labels=LINUX)
    await fleet.round()
    mac = await fleet.runner("mac", labels=MAC)
    late = await fleet.submit("a")  # before any round has seen that runner
    out = await leased(fleet, linux, mac)
    assert out == {task.id: "mac" for task in [*early, late]}


async def test_a_runner_that_leaves_takes_its_lanes_off_the_board(fleet: Fleet) -> None:
    mac = await fleet.runner("mac", labels=MAC, capacity=1)
    tasks = [await fleet.submit("a", labels=MAC) for _ in range(3)]
    assert await leased(fleet, mac) == {tasks[0].id: "mac"}
    fleet.renewal.detach(mac)
    await fleet.round()
    assert not fleet.dispatch._board.occupied
    again = await fleet.runner("mac", labels=MAC, incarnation="2", capacity=9)
    assert set(await leased(fleet, again)) == {task.id for task in tasks}


async def test_the_manifest_may_change_its_labels(fleet: Fleet) -> None:
    fleet.catalogue.specs = agents(a=MAC)
    linux = await fleet.runner("linux", labels=LINUX)
    task = await fleet.submit("a")
    assert await leased(fleet, linux) == {}
    fleet.catalogue.specs = agents()
    assert await leased(fleet, linux) == {task.id: "linux"}


LABEL_SETS = st.sampled_from([{}, MAC, LINUX, {"gpu": "yes"}, {"gpu": "yes", **LINUX}, {"disk": "ssd"}])


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)
@given(
    tasks=st.lists(st.tuples(st.sampled_from("abc"), LABEL_SETS, st.integers(0, 9)), min_size=1, max_size=25),
    of_agents=st.tuples(LABEL_SETS, LABEL_SETS, LABEL_SETS),
    of_runners=st.lists(LABEL_SETS, min_size=1, max_size=3),
)
async def test_never_on_a_runner_that_lacks_a_label_and_whatever_fits_is_never_starved(
    tmp_path: Path,
    tasks: list[tuple[str, Mapping[str, str], int]],
    of_agents: tuple[Mapping[str, str], ...],
    of_runners: list[Mapping[str, str]],
) -> None:
    fleet = Fleet(tmp_path)
    fleet.catalogue.specs = agents(**dict(zip("abc", of_agents, strict=True)))
    runners = [await fleet.runner(f"r{at}", labels=labels, capacity=2) for at, labels in enumerate(of_runners)]
    waiting = {}
    for agent, labels, priority in tasks:
        task = await fleet.submit(agent, labels=labels, priority=priority)
        waiting[task.id] = {**fleet.catalogue.specs[agent].labels, **labels}
    can_run = {id_ for id_, wanted in waiting.items() if any(wanted.items() <= have.items() for have in of_runners)}
    ran = set()
    while out := [task for runner in runners for task in await _granted(fleet, runner)]:
        for task in out:
            runner = next(runner for runner in runners if runner.hello.name == task.holder)
            assert waiting[task.id].items() <= runner.hello.labels.items()
            ran.add(task.id)
            await fleet.tell(runner, started(task, fleet.now()), ended(task, fleet.now()))
    assert ran == can_run


async def _granted(fleet: Fleet, runner: Attachment) -> list[Task]:
    await fleet.round()
    return granted(sent(runner))


# -- services, pauses, holds, drains


async def test_services_take_no_slot_and_have_places_of_their_own(fleet: Fleet) -> None:
    fleet.catalogue.specs["b"] = AgentSpec(name="b", script="/agents/b.sh", kind="service")
    one = await fleet.runner("one", capacity=2, services_max=3)
    tasks = [await fleet.submit("a") for _ in range(2)]
    services = [await fleet.submit("b") for _ in range(4)]
    out = await leased(fleet, one)
    assert set(out) == {task.id for task in [*tasks, *services[:3]]}
    assert why(fleet, services[3]) == "services"
    view = fleet.dispatch.fleet().runners[0]
    assert (view.leased, view.services) == (2, 3)


async def test_a_held_machine_gets_nothing_new(fleet: Fleet) -> None:
    one = await fleet.runner("one")
    one.host = HostState(held_reason="Memory is short.")
    task = await fleet.submit("a")
    assert await leased(fleet, one) == {}
    assert why(fleet, task) == "host"
    one.host = HostState()
    assert await leased(fleet, one) == {task.id: "one"}


async def test_ten_paused_attempts_give_their_slots_back_and_the_eleventh_keeps_its_own(fleet: Fleet) -> None:
    one = await fleet.runner("one", capacity=12)
    await fleet.submit("a")
    for _ in range(11):
        await fleet.submit("a")
    await fleet.round()
    out = granted(sent(one))
    assert len(out) == 12
    for task in out:
        await fleet.tell(one, started(task, fleet.now()))
    for number, task in enumerate(out[:11], 1):
        await fleet.tell(one, Frozen(task.id, task.fence, True))
        assert fleet.dispatch._rooms.all()[0].leases == min(number, 10)


# -- memory


class Machine:
    """16 GB and ten slots; each attempt takes what its agent really takes, at once, and runs for two minutes."""

    def __init__(self, fleet: Fleet, runner: Attachment, takes: Mapping[str, int], *, told: bool) -> None:
        self.fleet, self.runner, self.takes, self.told = fleet, runner, takes, told
        self.running: dict[str, tuple[Task, float]] = {}
        self.most = 0
        self.ended: Counter[str] = Counter()

    async def second(self) -> None:
        for task in granted(sent(self.runner)):
            self.running[task.id] = (task, self.fleet.clock.boottime())
            await self.fleet.tell(self.runner, started(task, self.fleet.now()))
        used = sum(self.takes[task.agent] for task, _ in self.running.values())
        self.most = max(self.most, used)
        for task, since in list(self.running.values()):
            if self.fleet.clock.boottime() - since >= 120:
                del self.running[task.id]
                self.ended[task.agent] += 1
                end = ended(task, self.fleet.now(), peak_bytes=self.takes[task.agent])
                self.fleet.intake.put(self.runner, [end])
                await self.fleet.tell(self.runner, end)
        if self.told:
            self.runner.host = HostState(memory_available_bytes=max(0, 16 * GB - used))
        self.fleet.clock.advance(timedelta(seconds=1))
        self.runner.last_heartbeat_at = self.fleet.now()
        self.fleet.dispatch.release_due()
        await self.fleet.round()

    async def until_all_ended(self, number: int, *, seconds_max: int = 4_000) -> None:
        for _ in range(seconds_max):
            await self.second()
            if sum(self.ended.values()) == number:
                return
        raise AssertionError(f"after {seconds_max} s only {dict(self.ended)} have ended of {number}")


def learned(fleet: Fleet, peaks: Mapping[str, int]) -> None:
    fleet.footprints.learn({agent: str(peak // MIB) for agent, peak in peaks.items()})


@pytest.mark.parametrize("told", [True, False], ids=["with-host-state", "by-the-machine-alone"])
async def test_ten_agents_of_3_gb_never_take_more_than_16(fleet: Fleet, told: bool) -> None:
    learned(fleet, {"a": 3 * GB})
    one = await fleet.runner("one", capacity=10, memory_bytes=16 * GB)
    machine = Machine(fleet, one, {"a": 3 * GB}, told=told)
    for _ in range(10):
        await fleet.submit("a")
    await machine.until_all_ended(10)
    print(f"most at a time: {machine.most / GB:.0f} GB")
    assert 12 * GB <= machine.most <= 16 * GB


async def test_without_footprints_they_do(fleet: Fleet) -> None:
    """The control: nothing is known of them, and all ten start."""
    one = await fleet.runner("one", capacity=10, memory_bytes=16 * GB)
    machine = Machine(fleet, one, {"a": 3 * GB}, told=False)
    for _ in range(10):
        await fleet.submit("a")
    await machine.until_all_ended(10)
    print(f"most at a time: {machine.most / GB:.0f} GB")
    assert machine.most == 30 * GB


async def test_what_is_learned_from_the_first_ends_holds_the_next_and_survives_a_restart(tmp_path: Path) -> None:
    store = SqliteStore.open(tmp_path / "coordinator.db", key=KEY)
    try:
        fleet = Fleet(tmp_path, store)
        one = await fleet.runner("one", capacity=10, memory_bytes=16 * GB)
        machine = Machine(fleet, one, {"a": 3 * GB}, told=False)
        for _ in range(10):
            await fleet.submit("a")
        await machine.until_all_ended(10)
        assert fleet.footprints.of("a") == 3 * GB
        machine.most, first = 0, machine.most
        for _ in range(10):
            await fleet.submit("a")
        await machine.until_all_ended(20)
        assert (first, machine.most) == (30 * GB, 12 * GB)
        again = Footprints()
        await again.load(store)
        assert again.of("a") == 3 * GB
    finally:
        await store.close()


async def test_small_ones_and_those_at_hand_take_only_what_can_run(fleet: Fleet) -> None:
    learned(fleet, {"a": 1 * GB})
    one = await fleet.runner("one", capacity=90, slots=10, memory_bytes=16 * GB)
    for _ in range(90):
        await fleet.submit("a")
    assert len(await leased(fleet, one)) == 90, "leases at hand run ten at a time"


async def large_among_small(fleet: Fleet, seconds: int) -> tuple[Machine, list[set[str]]]:
    """A task of 40 GB on 16 GB, while a small one of higher priority comes every 20 s; who ran beside it."""
    learned(fleet, {"a": 1 * GB, "b": 40 * GB})
    one = await fleet.runner("one", capacity=8, memory_bytes=16 * GB)
    machine = Machine(fleet, one, {"a": 1 * GB, "b": 40 * GB}, told=False)
    for _ in range(4):
        await fleet.submit("a")
    await machine.second()
    large = await fleet.submit("b")
    beside: list[set[str]] = []
    for second in range(seconds):
        if second % 20 == 0:
            await fleet.submit("a", priority=9)
        await machine.second()
        if second == 5:
            assert why(fleet, large) == "memory"
        if any(task.id == large.id for task, _ in machine.running.values()):
            beside.append({task.agent for task, _ in machine.running.values()})
        if machine.ended["b"]:
            print(f"the large one ended after {second} s, {machine.ended['a']} small ones before it")
            break
    return machine, beside


async def test_one_that_is_larger_than_the_machine_starts_alone_although_small_ones_keep_coming(fleet: Fleet) -> None:
    machine, beside = await large_among_small(fleet, 600)
    assert machine.ended["b"] == 1
    assert beside[0] == {"b"}, "it begins alone"


async def test_were_no_runner_kept_for_it_it_would_wait_for_ever(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    """The control."""
    monkeypatch.setattr(rooms, "PATIENCE", timedelta(days=1))
    machine, beside = await large_among_small(fleet, 600)
    assert machine.ended["a"] > 20
    assert beside == []


# -- cost


async def _claim_seconds(fleet: Fleet, runner: Attachment, number: int) -> float:
    """Seconds of the quickest round that leases one task: the others were kept from their work by the machine."""
    took = []
    for _ in range(number):
        await fleet.submit("a")
        start = perf_counter()
        fleet.dispatch._wake.clear()
        await fleet.dispatch._round()
        took.append(perf_counter() - start)
        [task] = granted(sent(runner))
        await fleet.tell(runner, started(task, fleet.now()), ended(task, fleet.now()))
    return min(took)


@pytest.mark.parametrize("number", [2_000, pytest.param(100_000, marks=pytest.mark.long)])
async def test_tasks_of_labels_that_nobody_has_cost_a_claim_nothing(tmp_path: Path, number: int) -> None:
    """Of one label and of labels that differ for each task; the same agent goes on beside them."""
    figures = {}
    for name, queued in (("none", 0), ("waiting", number)):
        folder = tmp_path / name
        folder.mkdir()
        store = SqliteStore.open(folder / "coordinator.db", key=KEY)
        try:
            fleet = Fleet(folder, store)
            runner = await fleet.runner("one", labels=LINUX)
            await fleet.round()
            chance = random.Random(4)
            for at in range(0, queued, 1_000):
                batch = [
                    fleet.make("a", priority=9, labels=MAC if chance.random() < 0.9 else {"x": f"{at}-{each}"})
                    for each in range(1_000)
                ]
                await store.write(lambda tx, batch=batch: tx.insert(batch))  # type: ignore[misc]
                fleet.changes.announce(batch)
                await fleet.round()
            figures[name] = await _claim_seconds(fleet, runner, 60)
            assert len(fleet.dispatch._board.lanes) <= 1
            assert len(fleet.gate.asked) == 60
        finally:
            await store.close()
    print({name: f"{seconds * 1e6:.0f} µs" for name, seconds in figures.items()}, f"with {number} waiting")
    assert figures["waiting"] <= figures["none"] * 1.5 + 0.001
