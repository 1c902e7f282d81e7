"""Dispatch: order, admission, leases, and what happens when safety or a person holds it."""

from datetime import timedelta
from pathlib import Path

import pytest

from services.coordinator.app.attachments import Ack, Beat, Order, OrderKind
from services.coordinator.domain.attempt import Returned
from services.coordinator.domain.failure import EndCause
from services.coordinator.domain.task import Effects, TaskState, request_cancel
from services.coordinator.ports_safety import Verdict
from tests.coordinator.fleet import Fleet, ended, granted, sent, started

pytestmark = pytest.mark.asyncio


async def test_leases_go_out_by_priority_then_by_age_over_all_agents(fleet: Fleet) -> None:
    low = await fleet.submit("a", priority=1)
    first = await fleet.submit("b")
    second = await fleet.submit("a")
    high = await fleet.submit("c", priority=9)
    runner = await fleet.runner()
    await fleet.round()
    assert [task.id for task in granted(sent(runner))] == [high.id, first.id, second.id, low.id]


async def test_a_lease_is_durable_and_carries_a_higher_fence(fleet: Fleet) -> None:
    task = await fleet.submit("a")
    runner = await fleet.runner()
    await fleet.round()
    [lease] = granted(sent(runner))
    stored = await fleet.task(task)
    assert (stored.state, stored.holder, stored.fence) == (TaskState.QUEUED, "one", task.fence + 1)
    assert lease.fence == stored.fence


async def test_no_more_leases_than_the_runner_can_hold(fleet: Fleet) -> None:
    for _ in range(5):
        await fleet.submit("a")
    runner = await fleet.runner(capacity=2)
    await fleet.round()
    assert len(granted(sent(runner))) == 2


async def test_a_runner_that_beats_no_more_gets_nothing_new_though_its_stream_is_up(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path, silent_after=timedelta(seconds=15))
    await fleet.dispatch.start()
    runner = await fleet.runner()
    fleet.clock.advance(timedelta(seconds=16))
    await fleet.submit("a")
    await fleet.round()
    assert granted(sent(runner)) == []
    [view] = fleet.dispatch.fleet().runners
    assert view.held_reason == "it has not been heard for 16 s"
    fleet.renewal.heartbeat(runner, Beat(sequence=1, held=[]))
    await fleet.round()
    assert len(granted(sent(runner))) == 1


async def test_a_refused_agent_is_parked_and_asked_for_once_while_others_go_on(fleet: Fleet) -> None:
    until = fleet.now() + timedelta(seconds=60)
    fleet.gate.verdicts["a"] = Verdict(
        admitted=False, scope="agent:a", code="breaker", reason="three failures", ask_again_at=until
    )
    for _ in range(30):
        await fleet.submit("a", priority=9)
    other = await fleet.submit("b")
    runner = await fleet.runner(capacity=5)
    await fleet.round()
    assert [task.id for task in granted(sent(runner))] == [other.id]
    assert len([one for one in fleet.gate.asked if one.agent == "a"]) <= 5
    asked = len(fleet.gate.asked)
    await fleet.round()
    assert len(fleet.gate.asked) == asked
    assert fleet.dispatch.fleet().parked["a"].reason == "three failures"


async def test_a_parked_agent_is_asked_for_again_when_its_time_has_come(fleet: Fleet) -> None:
    until = fleet.now() + timedelta(seconds=60)
    fleet.gate.verdicts["a"] = Verdict(
        admitted=False, scope="agent:a", code="breaker", reason="held", ask_again_at=until
    )
    await fleet.submit("a")
    runner = await fleet.runner()
    await fleet.round()
    del fleet.gate.verdicts["a"]
    fleet.clock.advance(timedelta(seconds=59))
    fleet.dispatch.release_due()
    await fleet.round()
    assert granted(sent(runner)) == []
    fleet.clock.advance(timedelta(seconds=2))
    fleet.dispatch.release_due()
    await fleet.round()
    assert len(granted(sent(runner))) == 1


async def test_without_safety_nothing_starts_and_with_it_everything_does(fleet: Fleet) -> None:
    fleet.gate.away = True
    await fleet.submit("a")
    runner = await fleet.runner()
    await fleet.round()
    assert granted(sent(runner)) == []
    assert "Safety does not answer" in fleet.dispatch.fleet().safety_fault
    fleet.gate.away = False
    await fleet.renewal.tick()
    await fleet.round()
    assert len(granted(sent(runner))) == 1


async def test_an_attempt_runs_and_its_outcome_reaches_safety(fleet: Fleet) -> None:
    task = await fleet.submit("a")
    runner = await fleet.runner()
    await fleet.round()
    [lease] = granted(sent(runner))
    report = '{"type": "coverage", "summary": "80 %", "data": {"line": 0.8}}'
    await fleet.tell(runner, started(lease, fleet.now()), ended(lease, fleet.now(), report=report))
    done = await fleet.task(task)
    assert (done.state, done.attempt, done.measured.exit_code, done.holder) == (TaskState.SUCCEEDED, 1, 0, "")
    assert sent(runner) == [Ack(task.id, lease.fence, True)]
    assert await fleet.store.read(lambda tx: tx.output(task.id)) == "out"
    [published] = await fleet.store.read(lambda tx: tx.reports(type="coverage", project=""))
    assert published.summary == "80 %"
    await fleet.round()
    assert [(entry.task_id, entry.failure_class) for entry in fleet.gate.told] == [(task.id, "")]
    assert await fleet.store.read(lambda tx: tx.outbox(limit=10)) == []


async def test_while_something_waits_a_success_is_told_with_the_next_decision_or_at_the_tick(fleet: Fleet) -> None:
    await fleet.submit("a")
    runner = await fleet.runner()
    await fleet.round()
    [lease] = granted(sent(runner))
    fleet.dispatch.set_queue_paused("A person looks at it.")
    await fleet.submit("a")
    await fleet.tell(runner, started(lease, fleet.now()), ended(lease, fleet.now()))
    await fleet.round()
    assert fleet.gate.told == []
    await fleet.renewal.tick()
    await fleet.round()
    assert [entry.task_id for entry in fleet.gate.told] == [lease.id]


async def test_a_failure_is_told_at_once_and_before_the_next_decision(fleet: Fleet) -> None:
    task = await fleet.submit("a")
    runner = await fleet.runner()
    await fleet.round()
    [lease] = granted(sent(runner))
    await fleet.tell(runner, started(lease, fleet.now()), ended(lease, fleet.now(), code=1))
    await fleet.round()
    assert [(entry.task_id, entry.failure_class) for entry in fleet.gate.told] == [(task.id, "script")]


async def test_the_result_of_a_stale_fence_is_refused_and_recorded(fleet: Fleet) -> None:
    task = await fleet.submit("a")
    first = await fleet.runner("one")
    await fleet.round()
    [old] = granted(sent(first))
    await fleet.tell(first, started(old, fleet.now()))
    fleet.renewal.detach(first)
    fleet.clock.advance(timedelta(seconds=9))
    await fleet.renewal.tick()
    for _ in range(4):
        fleet.clock.advance(timedelta(seconds=9))
        await fleet.renewal.tick()
    second = await fleet.runner("two")
    await fleet.round()
    [new] = granted(sent(second))
    assert new.fence > old.fence
    await fleet.tell(first, ended(old, fleet.now()))
    assert sent(first)[-1] == Ack(task.id, old.fence, False)
    [refusal] = await fleet.store.read(lambda tx: tx.refusals(task.id))
    assert (refusal.fence, refusal.held_fence, refusal.what) == (old.fence, new.fence, "ended")
    assert (await fleet.task(task)).state is TaskState.QUEUED


@pytest.mark.parametrize(
    ("effects", "state"), [(Effects.ONCE, TaskState.NEEDS_DECISION), (Effects.IDEMPOTENT, TaskState.QUEUED)]
)
async def test_a_lost_runner_is_given_up_after_its_lease_and_grace_and_not_before(
    fleet: Fleet, effects: Effects, state: TaskState
) -> None:
    task = await fleet.submit("a", effects=effects)
    runner = await fleet.runner()
    await fleet.round()
    [lease] = granted(sent(runner))
    await fleet.tell(runner, started(lease, fleet.now()))
    for _ in range(34):
        fleet.clock.advance(timedelta(seconds=1))
        await fleet.renewal.tick()
    fleet.clock.advance(timedelta(seconds=0.75))
    await fleet.renewal.tick()
    assert (await fleet.task(task)).state is TaskState.RUNNING
    assert fleet.renewal.pause_seconds(1.0) == pytest.approx(0.25)
    fleet.clock.advance(timedelta(seconds=0.25))
    await fleet.renewal.tick()
    lost = await fleet.task(task)
    assert (lost.state, lost.losses, lost.holder) == (state, 1, "")
    fleet.renewal.detach(runner)
    await fleet.round()
    assert [(entry.failure_class, entry.counted) for entry in fleet.gate.told] == [("infrastructure", False)]


async def test_heartbeats_keep_a_lease(fleet: Fleet) -> None:
    task = await fleet.submit("a")
    runner = await fleet.runner()
    await fleet.round()
    [lease] = granted(sent(runner))
    await fleet.tell(runner, started(lease, fleet.now()))
    for beat in range(40):
        fleet.clock.advance(timedelta(seconds=5))
        fleet.renewal.heartbeat(runner, Beat(sequence=beat, held=[(lease.id, lease.fence)]))
        await fleet.renewal.tick()
    assert (await fleet.task(task)).state is TaskState.RUNNING


async def test_after_a_sleep_nothing_is_expired_at_once(fleet: Fleet) -> None:
    task = await fleet.submit("a")
    runner = await fleet.runner()
    await fleet.round()
    await fleet.tell(runner, started(granted(sent(runner))[0], fleet.now()))
    fleet.clock.advance(timedelta(hours=8))
    await fleet.renewal.tick()
    assert (await fleet.task(task)).state is TaskState.RUNNING


async def test_a_new_process_of_the_same_runner_gives_up_what_the_old_one_held(fleet: Fleet) -> None:
    once = await fleet.submit("a", effects=Effects.ONCE)
    unspawned = await fleet.submit("b", effects=Effects.IDEMPOTENT)
    runner = await fleet.runner(capacity=2)
    await fleet.round()
    leases = {task.id: task for task in granted(sent(runner))}
    await fleet.tell(runner, started(leases[once.id], fleet.now()))
    fleet.renewal.detach(runner)
    await fleet.runner(incarnation="2", capacity=0)
    assert (await fleet.task(once)).state is TaskState.NEEDS_DECISION
    assert (await fleet.task(unspawned)).state is TaskState.QUEUED
    assert not (await fleet.task(unspawned)).leased


async def test_a_cancel_of_a_held_task_is_ordered_and_ends_it_with_its_proof(fleet: Fleet) -> None:
    task = await fleet.submit("a")
    runner = await fleet.runner()
    await fleet.round()
    [lease] = granted(sent(runner))
    await fleet.tell(runner, started(lease, fleet.now()))
    before = await fleet.task(task)
    asked = request_cancel(before, reason="not wanted", now=fleet.now())
    await fleet.store.write(lambda tx: tx.save([(before, asked)]))
    fleet.changes.announce([asked])
    assert sent(runner) == [Order(task.id, lease.fence, OrderKind.CANCEL, "not wanted")]
    await fleet.tell(runner, ended(lease, fleet.now(), code=143, cause=EndCause.CANCEL))
    done = await fleet.task(task)
    assert (done.state, done.reason) == (TaskState.CANCELLED, "not wanted")


async def test_a_pause_of_the_queue_recalls_what_was_not_spawned(fleet: Fleet) -> None:
    task = await fleet.submit("a")
    runner = await fleet.runner()
    await fleet.round()
    [lease] = granted(sent(runner))
    fleet.dispatch.set_queue_paused("dinner")
    assert [order.kind for order in sent(runner) if isinstance(order, Order)] == [OrderKind.RECALL]
    await fleet.tell(runner, Returned(lease.id, lease.fence, "recalled"))
    await fleet.round()
    assert granted(sent(runner)) == []
    fleet.dispatch.set_queue_paused("")
    await fleet.round()
    [again] = granted(sent(runner))
    assert again.id == task.id and again.fence > lease.fence and again.attempt == 0


async def test_the_stop_file_holds_dispatch_whatever_safety_says(fleet: Fleet) -> None:
    await fleet.submit("a")
    runner = await fleet.runner()
    fleet.stop_file.write(who="test", why="halt", now=fleet.now())
    await fleet.round()
    assert granted(sent(runner)) == []
    fleet.stop_file.clear()
    fleet.dispatch.release_due()
    await fleet.round()
    assert len(granted(sent(runner))) == 1


async def test_a_child_becomes_ready_with_its_parents_success(fleet: Fleet) -> None:
    parent = await fleet.submit("a")
    child = await fleet.submit("b", depends_on=(parent.id,))
    runner = await fleet.runner()
    await fleet.round()
    [lease] = granted(sent(runner))
    await fleet.tell(runner, started(lease, fleet.now()), ended(lease, fleet.now()))
    await fleet.round()
    assert [task.id for task in granted(sent(runner))] == [child.id]


async def test_a_window_is_refilled_from_the_store_and_nothing_is_skipped_or_sent_twice(tmp_path: Path) -> None:
    first = Fleet(tmp_path)
    for _ in range(1500):
        await first.submit("a")
    fleet = Fleet(tmp_path, store=first.store)
    await fleet.dispatch.start()
    runner = await fleet.runner(capacity=300)
    leased: list[str] = []
    while True:
        await fleet.round()
        tasks = granted(sent(runner))
        if not tasks:
            break
        leased += [task.id for task in tasks]
        ends = [event for task in tasks for event in (started(task, fleet.now()), ended(task, fleet.now()))]
        await fleet.tell(runner, *ends)
    assert leased == [f"t{number:04}" for number in range(1, 1501)]


async def test_an_end_that_is_being_recorded_takes_no_room_on_its_runner(fleet: Fleet) -> None:
    first, second = await fleet.submit("a"), await fleet.submit("a")
    runner = await fleet.runner(capacity=1)
    await fleet.round()
    [lease] = granted(sent(runner))
    end = ended(lease, fleet.now(), code=1)
    fleet.intake.put(runner, [started(lease, fleet.now()), end])
    fleet.intake.put(runner, [end])  # as after a break of the stream
    await fleet.round()
    assert [task.id for task in granted(sent(runner))] == [second.id]
    await fleet.tell(runner, started(lease, fleet.now()), end, end)
    assert (await fleet.task(first)).state is TaskState.FAILED
    load = fleet.holdings.load_of("one")
    assert load.tasks == load.unspawned == 1


async def test_with_safety_gone_an_attempt_pauses_after_its_grant_and_stops_later(fleet: Fleet) -> None:
    await fleet.submit("a")
    runner = await fleet.runner()
    await fleet.round()
    [lease] = granted(sent(runner))
    await fleet.tell(runner, started(lease, fleet.now()))
    fleet.gate.away = True
    kinds = []
    for second in range(340):
        fleet.clock.advance(timedelta(seconds=1))
        fleet.renewal.heartbeat(runner, Beat(sequence=second, held=[(lease.id, lease.fence)]))
        await fleet.renewal.tick()
        kinds += [(second + 1, message.kind) for message in sent(runner) if isinstance(message, Order)]
    pauses = [second for second, kind in kinds if kind is OrderKind.PAUSE]
    stops = [second for second, kind in kinds if kind is OrderKind.STOP]
    assert pauses[0] == 31 and stops[0] == 331
