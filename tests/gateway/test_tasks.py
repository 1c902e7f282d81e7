"""Tasks over HTTP, through the gateway to a coordinator and back."""

from __future__ import annotations

import json
from typing import Any

import pytest

from protos.coordinator.v1 import tasks_pb2
from tests.gateway.conftest import BASE, Front


def test_submits_one_task_and_finds_it_again(front: Front) -> None:
    answer = front.post(
        "/tasks/queue",
        json={"agent": "hello", "params": {"who": "wörld"}, "priority": 7, "labels": {"os": "mac"}, "timeout": "5m"},
    )
    assert answer.status_code == 201
    task = answer.get_json()["task"]
    assert answer.headers["Location"] == f"/tasks/{task['id']}"
    assert (task["agent"], task["params"], task["priority"], task["state"]) == ("hello", {"who": "wörld"}, 7, "queued")
    assert task["labels"] == {"os": "mac"}
    assert task["project"] is None
    again = front.get(answer.headers["Location"])
    assert again.status_code == 200
    assert again.get_json()["task"] == task


def test_says_why_a_figure_is_not_known(front: Front) -> None:
    task = front.submit()
    for name in ("exit_code", "signal", "started_at", "finished_at", "duration_seconds", "usage", "runner"):
        assert task[name] is None
        assert task["unknown"][name].endswith(".")


def test_says_why_a_report_was_not_taken(front: Front) -> None:
    task = front.submit()
    assert task["report_fault"] is None
    front.world.tasks[task["id"]].report_fault = "the report is not JSON in UTF-8"
    assert front.get(f"/tasks/{task['id']}").get_json()["task"]["report_fault"] == "the report is not JSON in UTF-8"


def test_says_how_many_processes_outlived_the_script(front: Front) -> None:
    task = front.submit()
    assert task["stragglers"] is None
    front.world.tasks[task["id"]].stragglers = 3
    assert front.get(f"/tasks/{task['id']}").get_json()["task"]["stragglers"] == 3


def test_speaks_of_objects_as_json_does(front: Front) -> None:
    refused = front.post("/tasks/queue", json={"agent": "hello", "params": [1]})
    assert refused.get_json()["fields"] == [{"path": "params", "message": "Input should be an object."}]


def test_accepts_a_batch_all_or_none(front: Front) -> None:
    batch = [{"agent": "hello", "ref": "a"}, {"agent": "build", "depends_on": ["#a"]}]
    answer = front.post("/tasks/queue", json={"tasks": batch})
    assert answer.status_code == 201
    assert [task["agent"] for task in answer.get_json()["tasks"]] == ["hello", "build"]
    refused = front.post("/tasks/queue", json={"tasks": [{"agent": "hello"}, {"agent": "nonesuch"}]})
    assert refused.status_code == 404
    assert len(front.world.tasks) == 2


def test_a_batch_of_one_is_answered_as_a_batch(front: Front) -> None:
    answer = front.post("/tasks/queue", json={"tasks": [{"agent": "hello"}]})
    assert len(answer.get_json()["tasks"]) == 1


def test_the_same_key_gives_the_same_task(front: Front) -> None:
    key = {"Idempotency-Key": "once"}
    first = front.post("/tasks/queue", json={"agent": "hello"}, headers=key)
    second = front.post("/tasks/queue", json={"agent": "hello"}, headers=key)
    other = front.post("/tasks/queue", json={"agent": "build"}, headers=key)
    assert (first.status_code, second.status_code, other.status_code) == (201, 200, 409)
    assert first.get_json() == second.get_json()


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({"agent": "hello", "params": [1]}, "params"),
        ({"agent": "hello", "priority": 10}, "priority"),
        ({"agent": "hello", "priority": "5"}, "priority"),
        ({"agent": "../hello"}, "agent"),
        ({"agent": "hello", "timeout": "soon"}, "timeout"),
        ({"agent": "hello", "not_before": "tomorrow"}, "not_before"),
        ({"agent": "hello", "not_before": "2026-12-01T06:00:00"}, "not_before"),
        ({"agent": "hello", "surprise": 1}, "surprise"),
        ({}, "agent"),
        ({"tasks": []}, "tasks"),
        ({"tasks": [{"agent": "hello"}, {"agent": "hello", "retries": -1}]}, "tasks[1].retries"),
    ],
)
def test_bad_input_names_the_part_and_changes_nothing(front: Front, body: object, path: str) -> None:
    answer = front.post("/tasks/queue", json=body)
    assert answer.status_code == 400
    assert answer.content_type == "application/problem+json"
    problem = answer.get_json()
    assert problem["code"] == "bad_request"
    assert [fault["path"] for fault in problem["fields"]] == [path]
    assert front.world.tasks == {}


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"[]",
        b'"text"',
        b"null",
        b"nonsense",
        b'{"agent": "hello", "params": {"x": NaN}}',
        b'{"agent": "hello", "params": {"x": "\\ud800"}}',
        b'{"agent": ' + b"[" * 100_000,
        b'{"agent": "hello", "params": {"x": ' + b"[" * 50_000 + b"]" * 50_000 + b"}}",
        b"\xff\xfe",
    ],
)
def test_what_is_not_json_is_refused(front: Front, body: bytes) -> None:
    answer = front.post("/tasks/queue", data=body, content_type="application/json")
    assert answer.status_code == 400
    assert answer.get_json()["code"] in ("bad_json", "not_an_object")


def test_a_task_that_is_not_there(front: Front) -> None:
    for path in ("/tasks/0000", "/tasks/0000/why", "/tasks/0000/log", "/tasks/0000/log?follow=1"):
        answer = front.get(path)
        assert (answer.status_code, answer.get_json()["code"]) == (404, "no_such_task"), path


def test_an_unknown_agent_is_named_with_the_nearest(front: Front) -> None:
    problem = front.post("/tasks/queue", json={"agent": "helo"}).get_json()
    assert problem["status"] == 404
    assert "hello" in problem["detail"]


def test_faults_that_the_coordinator_finds_come_through(front: Front) -> None:
    problem = front.post("/tasks/queue", json={"agent": "hello", "depends_on": ["#nowhere"]}).get_json()
    assert (problem["status"], problem["fields"][0]["path"]) == (400, "tasks[0].depends_on")


def test_a_full_queue_says_when_to_come_back(front: Front) -> None:
    answer = front.post("/tasks/queue", json={"agent": "full"})
    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "7")


def test_lists_page_by_page(front: Front) -> None:
    ids = [front.submit()["id"] for _ in range(5)]
    seen: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        page = front.get("/tasks/queue", query_string={"limit": 2, "cursor": cursor}).get_json()
        seen += [task["id"] for task in page["tasks"]]
        cursor = page["next"]
    assert seen == ids[::-1]
    assert page["counts"]["queued"] == 5
    assert page["counts"]["running"] == 0


def test_filters_by_state_and_agent(front: Front) -> None:
    front.submit("hello")
    built = front.submit("build")
    front.post(f"/tasks/{built['id']}/cancel")

    def listed(query: str) -> list[str]:
        return [task["agent"] for task in front.get(f"/tasks/queue?{query}").get_json()["tasks"]]

    assert listed("state=cancelled") == ["build"]
    assert listed("state=queued&state=cancelled") == ["build", "hello"]
    assert listed("agent=hello") == ["hello"]
    assert front.get("/tasks/queue?state=sleeping").status_code == 400
    assert front.get("/tasks/queue?limit=0").status_code == 400
    assert front.get("/tasks/queue?colour=red").status_code == 400


def test_cancels_with_and_without_a_body(front: Front) -> None:
    task = front.submit()
    first = front.post(f"/tasks/{task['id']}/cancel", json={"reason": "a mistake"}).get_json()
    assert (first["task"]["state"], first["task"]["reason"], first["already_ended"]) == (
        "cancelled",
        "a mistake",
        False,
    )
    assert front.post(f"/tasks/{task['id']}/cancel").get_json()["already_ended"] is True


def test_retries_an_ended_task_as_a_new_one(front: Front) -> None:
    task = front.submit()
    assert front.post(f"/tasks/{task['id']}/retry").status_code == 409
    front.post(f"/tasks/{task['id']}/cancel")
    answer = front.post(f"/tasks/{task['id']}/retry")
    assert answer.status_code == 201
    assert answer.get_json()["task"]["retry_of"] == task["id"]


def test_decides_only_what_waits_for_it(front: Front) -> None:
    task = front.submit()
    path = f"/tasks/{task['id']}/decide"
    assert front.post(path, json={"decision": "succeeded"}).status_code == 409
    front.world.tasks[task["id"]].state = tasks_pb2.TASK_STATE_NEEDS_DECISION
    assert front.post(path, json={"decision": "perhaps"}).status_code == 400
    assert front.post(path, json={"decision": "succeeded"}).get_json()["task"]["state"] == "succeeded"


def test_explains(front: Front) -> None:
    why = front.get(f"/tasks/{front.submit()['id']}/why").get_json()
    assert (why["code"], why["remedy"]) == ("no_runner", "quantum up")


def test_a_reader_may_not_submit(front: Front) -> None:
    reader = {"X-Auth-Token": front.world.reader.text}
    assert front.client().get("/tasks/queue", base_url=BASE, headers=reader).status_code == 200
    answer = front.client().post("/tasks/queue", base_url=BASE, headers=reader, json={"agent": "hello"})
    assert answer.status_code == 403
    assert "submit" in answer.get_json()["detail"]


@pytest.mark.parametrize("flags", [{"http_timeout_seconds": "0.3"}])
def test_a_coordinator_that_does_not_answer_is_504(front: Front) -> None:
    answer = front.post("/tasks/queue", json={"agent": "slow"})
    assert answer.status_code == 504
    assert int(answer.headers["Retry-After"]) >= 1


def test_a_coordinator_that_is_away_is_503(front: Front) -> None:
    front.backstage.stop("coordinator")
    answer = front.get("/tasks/queue")
    assert answer.status_code == 503
    assert int(answer.headers["Retry-After"]) >= 1
    problem = answer.get_json()
    assert (problem["code"], problem["detail"]) == ("coordinator_unreachable", "The coordinator cannot be reached.")
    assert "quantum up" in problem["remedy"]


def test_a_fault_of_a_service_is_500_without_a_traceback(front: Front) -> None:
    answer = front.post("/tasks/queue", json={"agent": "broken"})
    assert answer.status_code == 500
    assert "Traceback" not in answer.text
    assert "a fault of the service" not in answer.text


def test_a_fault_of_the_gateway_is_500_with_an_incident(front: Front, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise ZeroDivisionError("inside")

    monkeypatch.setattr("gateway.convert.page", fail)
    answer = front.get("/tasks/queue")
    assert (answer.status_code, answer.content_type) == (500, "application/problem+json")
    assert "incident" in json.loads(answer.text)["remedy"]
    assert "inside" not in answer.text
