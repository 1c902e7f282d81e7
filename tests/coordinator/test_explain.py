"""Why: exactly one answer, whatever the state."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from services.coordinator.app.selection import Selection
from services.coordinator.domain.explain import AgentFacts, Explanation, explain
from services.coordinator.domain.fleet import FleetView, Parked, RunnerView
from services.coordinator.domain.placement import Need, Room, Share
from services.coordinator.domain.request import TaskRequest
from services.coordinator.domain.task import Task, TaskState
from tests.coordinator.desk import Desk

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
ROOM = Room(name="one", leases=2, slots=2)
READY = FleetView(rooms=(ROOM,))
TASK = Task(id="t1", agent="build", state=TaskState.QUEUED, created_at=NOW, ready_at=NOW, fence=1)
PARKED = Parked(scope="agent:build", code="breaker", reason="It failed 3 times.", until=NOW + timedelta(minutes=5))
STOPPED = Parked(scope="fleet", code="mode", reason="Stopped by user.", until=None)
ABLE = AgentFacts(need=Need(footprint_bytes=1 << 20))
FULL = replace(ROOM, leases=0, tasks=2)
GB = 1 << 30


def why(task: Task, view: FleetView = READY, agent: AgentFacts = ABLE, *waits_for: Task) -> Explanation:
    return explain(task, view, agent, waits_for, now=NOW)


@pytest.mark.parametrize(
    ("task", "code"),
    [
        (TASK._replace(state=TaskState.FAILED, finished_at=NOW), "ended"),
        (TASK._replace(state=TaskState.RUNNING, holder="one", started_at=NOW, attempt=1), "running"),
        (TASK._replace(state=TaskState.RUNNING, holder="one", cancel_requested=True), "cancel_requested"),
        (TASK._replace(state=TaskState.PAUSED, holder="one"), "paused"),
        (TASK._replace(state=TaskState.NEEDS_DECISION), "needs_decision"),
        (TASK._replace(state=TaskState.SCHEDULED, not_before=NOW), "not_before"),
        (TASK._replace(state=TaskState.BLOCKED, depends_on=("t0",)), "blocked"),
        (TASK._replace(holder="one"), "no_runner"),
        (TASK, "turn"),
    ],
)
def test_the_state_answers_before_the_fleet_does(task: Task, code: str) -> None:
    answer = why(task)
    assert answer.code == code
    assert answer.sentence.endswith(".")


@pytest.mark.parametrize(
    ("view", "code"),
    [
        (replace(READY, queue_paused="Paused by user."), "queue_paused"),
        (replace(READY, stopped=STOPPED), "mode"),
        (replace(READY, stopped=replace(STOPPED, code="stop_file")), "mode"),
        (replace(READY, safety_fault="it does not answer"), "safety_unreachable"),
        (FleetView(), "no_runner"),
        (FleetView(rooms=(replace(ROOM, draining=True),)), "no_runner"),
        (FleetView(rooms=(replace(ROOM, held_reason="The machine is short of memory."),)), "host"),
        (FleetView(rooms=(replace(ROOM, whole=Share(bytes_max=GB, places=2, taken_bytes=GB), tasks=1),)), "memory"),
        (replace(READY, parked={"build": PARKED}), "breaker"),
        (replace(READY, parked={"other": PARKED}), "turn"),
        (FleetView(rooms=(FULL,)), "capacity"),
        (FleetView(rooms=(FULL, ROOM)), "turn"),
    ],
)
def test_a_ready_task_is_held_by_the_first_thing_that_dispatch_asks(view: FleetView, code: str) -> None:
    assert why(TASK, view).code == code


def test_everything_at_once_has_one_answer() -> None:
    view = FleetView(queue_paused="P.", stopped=STOPPED, safety_fault="x", parked={"build": PARKED}, rooms=(FULL,))
    assert why(TASK, view).code == "queue_paused"
    assert why(TASK, replace(view, queue_paused="")).code == "mode"
    assert why(TASK, replace(view, queue_paused="", stopped=None)).code == "safety_unreachable"
    assert why(TASK, replace(view, queue_paused="", stopped=None, safety_fault="")).code == "breaker"


def test_each_thing_that_a_runner_may_lack_has_a_code_and_a_sentence_of_its_own() -> None:
    mac, service = AgentFacts(need=Need({"os": "darwin"})), AgentFacts(need=Need(service=True))
    answer = why(TASK, READY, mac)
    assert (answer.code, answer.sentence) == ("labels", "No attached runner has os=darwin.")
    assert answer.remedy == "quantum runner list"
    answer = why(TASK, FleetView(rooms=(replace(ROOM, services_max=3),)), service)
    assert (answer.code, answer.sentence) == (
        "services",
        "All 3 places for services are taken; it waits for a free one.",
    )
    large = AgentFacts(need=Need(footprint_bytes=3 * GB))
    half = replace(ROOM, whole=Share(bytes_max=4 * GB, places=2, taken_bytes=2 * GB, largest=[2 * GB]), tasks=1)
    answer = why(TASK, FleetView(rooms=(half,)), large)
    assert answer.sentence == (
        "It is expected to take 3GB of memory, by its agent's past runs; runner one has 2GB to give at the moment."
    )
    held = why(TASK, FleetView(rooms=(replace(ROOM, held_reason="The machine is busy."),)))
    assert held.sentence == "It is ready, but runner one takes nothing new: The machine is busy."


def test_room_that_is_kept_for_a_larger_one_is_no_turn() -> None:
    view = FleetView(rooms=(replace(ROOM, kept_for="render"),))
    answer = why(TASK, view)
    assert answer.code == "memory"
    assert answer.sentence == (
        "Runner one is kept for a task of render, which waits for more memory than is free there yet."
    )
    assert why(TASK._replace(agent="render"), view).code == "turn"
    assert why(TASK, FleetView(rooms=(*view.rooms, replace(ROOM, name="two")))).code == "turn"
    beside = FleetView(rooms=(replace(view.rooms[0], services=1, services_max=1),))
    assert why(TASK, beside, AgentFacts(need=Need(service=True))).code == "turn"


def test_the_kept_runner_that_is_named_is_one_that_could_have_it() -> None:
    elsewhere = replace(ROOM, name="elsewhere", kept_for="render")
    full = replace(ROOM, name="full", leases=0, kept_for="index", labels={"gpu": "yes"})
    fits = replace(ROOM, name="fits", kept_for="train", labels={"gpu": "yes"})
    answer = why(TASK, FleetView(rooms=(elsewhere, full, fits)), AgentFacts(need=Need({"gpu": "yes"})))
    assert answer.sentence.startswith("Runner fits is kept for a task of train,")


def test_labels_that_no_runner_has_are_named_before_a_breaker() -> None:
    view = replace(READY, parked={"build": PARKED})
    assert why(TASK, view, AgentFacts(need=Need({"gpu": "yes"}))).code == "labels"


def test_a_breaker_says_until_when_and_where_to_look() -> None:
    answer = why(TASK, replace(READY, parked={"build": PARKED}))
    assert (answer.sentence, answer.until) == ("It failed 3 times.", PARKED.until)
    assert answer.remedy == f"quantum breaker reset {PARKED.scope}"


def test_a_refusal_whose_time_is_over_holds_nothing() -> None:
    assert why(TASK, replace(READY, parked={"build": replace(PARKED, until=NOW)})).code == "turn"


def test_an_agent_runs_as_often_as_its_manifest_allows() -> None:
    view = replace(READY, running={"build": 1})
    assert why(TASK, view, AgentFacts(concurrency_max=1)).code == "agent_concurrency"
    assert why(TASK, view, AgentFacts(concurrency_max=2)).code == "turn"


def test_a_task_that_lost_two_runners_waits_for_an_empty_one() -> None:
    busy = FleetView(rooms=(replace(ROOM, tasks=1),))
    assert why(TASK._replace(losses=2), busy).code == "capacity"
    assert why(TASK._replace(losses=2)).code == "turn"


ATTACHED = RunnerView(
    name="one", host="h", slots=2, leased=1, running=0, draining=False, attached_at=NOW, last_heartbeat_at=NOW
)
AT_HAND = replace(READY, runners=(ATTACHED,), unspawned={"t1": ""})


@pytest.mark.parametrize(
    ("view", "code", "sentence"),
    [
        (AT_HAND, "turn", "Runner one has it and starts it next."),
        (replace(AT_HAND, unspawned={}), "turn", "It is on its way to runner one."),
        (
            replace(AT_HAND, runners=(replace(ATTACHED, running=2),)),
            "capacity",
            "All 2 slots of runner one are taken; it has it at hand for the next free one.",
        ),
        (replace(AT_HAND, runners=(replace(ATTACHED, running=2, paused=1),)), "turn", "starts it next."),
        (
            replace(AT_HAND, unspawned={"t1": "its secrets are being fetched from the keychain there"}),
            "runner",
            "Runner one has it and has not begun it: its secrets are being fetched from the keychain there.",
        ),
        (
            replace(AT_HAND, rooms=(replace(ROOM, held_reason="it has not been heard for 16 s"),)),
            "host",
            "Runner one has it and takes nothing new: it has not been heard for 16 s.",
        ),
        (
            replace(AT_HAND, runners=(replace(ATTACHED, attached_at=None),)),
            "no_runner",
            "Runner one has it and is not attached; unless it comes back soon, the task is queued again.",
        ),
    ],
)
def test_what_a_runner_has_and_has_not_begun_says_what_holds_it_there(
    view: FleetView, code: str, sentence: str
) -> None:
    answer = why(TASK._replace(holder="one"), view)
    assert answer.code == code
    assert answer.sentence.endswith(sentence)


def test_a_merge_check_at_hand_waits_for_no_slot() -> None:
    full = replace(AT_HAND, runners=(replace(ATTACHED, running=2),))
    assert why(TASK._replace(holder="one"), full, AgentFacts(need=Need(check=True))).code == "turn"


def test_a_blocked_task_names_whom_it_waits_for() -> None:
    parents = [TASK._replace(id=f"p{number}") for number in range(7)]
    answer = why(TASK._replace(state=TaskState.BLOCKED), READY, ABLE, *parents)
    assert "p0 (build, queued)" in answer.sentence
    assert "2 more" in answer.sentence
    assert answer.remedy == "quantum why p0"


async def test_the_verb_knows_the_catalogue_and_the_parents(desk: Desk) -> None:
    parent, child = await desk.add(TaskRequest(agent="build", ref="p"), TaskRequest(agent="hello", depends_on=("#p",)))
    _, answer = await desk.explain(child.id)
    assert parent.id in answer.sentence
    _, answer = await desk.explain(parent.id)
    assert answer.code == "no_runner"
    del desk.catalogue.specs["build"]
    _, answer = await desk.explain(parent.id)
    assert answer.code == "agent_missing"
    await desk.cancel(Selection(ids=(parent.id,)), "")
    _, answer = await desk.explain(child.id)
    assert answer.code == "ended"


def test_a_held_project_is_the_reason_of_its_own_tasks_alone() -> None:
    held = Parked(scope="project:app", code="breaker", reason="project app is held.", until=None)
    view = replace(READY, held_projects={"project:app": held})
    assert why(TASK._replace(project="app"), view).sentence == "project app is held."
    assert why(TASK._replace(project="web"), view).code == "turn"
    assert why(TASK, view).code == "turn"


def test_a_frozen_task_says_what_holds_it_and_until_when() -> None:
    frozen = TASK._replace(state=TaskState.PAUSED, holder="one", started_at=NOW, attempt=1)
    pause = Parked(scope="", code="spend", reason="the day's money is spent.", until=NOW + timedelta(hours=1))
    answer = why(frozen, replace(READY, pauses={"t1": pause}))
    assert (answer.code, answer.until) == ("spend", NOW + timedelta(hours=1))
    assert answer.sentence == "Its processes are frozen, and go on where they are: the day's money is spent."
