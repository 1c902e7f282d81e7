"""Health, agents, coverage, reports, metrics, mode, breakers and the queue's handles."""

from __future__ import annotations

import json

import pytest

from protos.coordinator.v1 import reports_pb2
from tests.gateway.conftest import BASE, Front
from tests.gateway.stand_in_coordinator import AGENTS, coverage_report


def test_health_with_a_token_tells_each_part(front: Front) -> None:
    health = front.get("/health").get_json()
    assert health["status"] == "ok"
    assert health["services"] == {"coordinator": "serving", "safety": "serving"}
    assert health["runners"][0]["name"] == "local"
    assert health["store"]["bytes"] == 4096
    assert health["disk"]["free_bytes"] == 10**9
    assert health["mode"]["mode"] == "NORMAL"
    assert health["unknown"] == {}


def test_health_without_safety_is_degraded(front: Front) -> None:
    front.backstage.stop("safety")
    bare = front.client().get("/health", base_url=BASE)
    assert (bare.status_code, bare.get_json()) == (200, {"status": "degraded"})
    health = front.get("/health").get_json()
    assert (health["status"], health["mode"]) == ("degraded", None)
    assert health["unknown"]["mode"] == "The safety service cannot be reached."


def test_health_without_a_coordinator_is_down(front: Front) -> None:
    front.backstage.stop("coordinator")
    bare = front.client().get("/health", base_url=BASE)
    assert (bare.status_code, bare.get_json()) == (503, {"status": "down"})
    answer = front.get("/health")
    assert answer.status_code == 503
    health = answer.get_json()
    assert health["store"] is None
    assert health["unknown"]["store"] == "The coordinator cannot be reached."


def test_the_gateway_finds_a_coordinator_that_came_back(front: Front) -> None:
    front.backstage.stop("coordinator")
    assert front.get("/tasks/queue").status_code == 503
    front.backstage.start("coordinator")
    answers = (front.get("/tasks/queue").status_code for _ in range(1000))
    assert 200 in answers


def test_a_dead_runner_degrades(front: Front) -> None:
    front.backstage.workspace.socket("runner-local").touch()
    assert front.client().get("/health", base_url=BASE).get_json() == {"status": "degraded"}


def test_agents_say_why_a_figure_is_not_known(front: Front) -> None:
    status = front.get("/agents/status").get_json()
    assert [agent["name"] for agent in status["agents"]] == list(AGENTS)
    assert status["counts"] == {"idle": len(AGENTS)}
    agent = status["agents"][0]
    assert (agent["success_rate"], agent["predicted_failure"], agent["last_task"]) == (None, None, None)
    assert agent["unknown"]["success_rate"] == "It has not run yet."


def test_coverage_says_none_yet(front: Front) -> None:
    status = front.get("/coverage/status").get_json()
    assert status["coverage"] is None
    assert status["reason"] == "No agent has published a coverage report yet."


def test_coverage_per_project(front: Front) -> None:
    front.world.reports = [coverage_report("HabitQuest"), reports_pb2.Report(type="audit", data_json=b'{"n": 1}')]
    [coverage] = front.get("/coverage/status").get_json()["coverage"]
    assert (coverage["project"], coverage["python"], coverage["swift"]) == (
        "HabitQuest",
        {"line": 0.93, "branch": 0.88},
        None,
    )
    assert "swift" in coverage["unknown"]
    [audit] = front.get("/reports?type=audit").get_json()["reports"]
    assert (audit["type"], audit["project"], audit["data"]) == ("audit", None, {"n": 1})


def test_the_dashboard_has_figures_and_reasons(front: Front) -> None:
    front.submit()
    figures = front.get("/metrics/dashboard").get_json()
    assert figures["queue"]["counts"]["queued"] == 1
    assert figures["queue"]["wait_p50_seconds"] is None
    assert figures["queue"]["unknown"]["wait_p50_seconds"]
    assert figures["agents"]["total"] == len(AGENTS)
    front.backstage.stop("safety")
    figures = front.get("/metrics/dashboard").get_json()
    assert (figures["mode"], figures["breakers"]) == (None, None)
    assert set(figures["unknown"]) == {"mode", "breakers"}


def test_metrics_for_prometheus(front: Front) -> None:
    task = front.submit()
    answer = front.get("/metrics")
    assert answer.content_type.startswith("text/plain")
    assert 'quantum_tasks{state="queued"} 1.0' in answer.text
    assert 'quantum_mode{mode="NORMAL"} 1.0' in answer.text
    assert task["id"] not in answer.text


def test_stops_and_resumes(front: Front) -> None:
    stopped = front.post("/mode/stop", json={"reason": "fire"}).get_json()
    assert (stopped["mode"]["mode"], stopped["changed"]) == ("STOPPED", True)
    assert front.get("/mode").get_json()["stop_file"] is True
    assert front.post("/mode/resume").get_json()["mode"]["mode"] == "NORMAL"


def test_a_stop_that_cannot_reach_safety_says_what_still_stops_everything(front: Front) -> None:
    front.backstage.stop("safety")
    answer = front.post("/mode/stop", json={"reason": "fire"})
    assert answer.status_code == 503
    assert answer.get_json()["detail"] == "Nothing was stopped by this: The safety service cannot be reached."
    assert "quantum stop --all" in answer.get_json()["remedy"]


def test_breakers_are_held_and_reset(front: Front) -> None:
    assert front.get("/breakers").get_json() == {"breakers": []}
    assert front.post("/breakers/agent:build/reset").status_code == 404
    assert front.post("/breakers/agent:build/force-open").get_json()["breaker"]["state"] == "forced_open"
    assert front.post("/breakers/agent:build/reset").get_json()["breaker"]["state"] == "closed"
    assert front.post("/breakers/agent:denied/force-open").status_code == 403
    assert front.post("/breakers/nonsense/force-open").status_code == 400


def test_the_queue_is_held_and_emptied_and_both_undone(front: Front) -> None:
    front.submit()
    assert front.post("/queue/pause", json={"reason": "lunch"}).get_json() == {"changed": True}
    assert front.post("/queue/pause").get_json() == {"changed": False}
    assert front.post("/queue/resume").get_json() == {"changed": True}
    assert front.post("/queue/clear", json={"dry_run": True}).get_json() == {
        "cleared": 1,
        "dry_run": True,
        "clearing_id": None,
        "undo": None,
    }
    cleared = front.post("/queue/clear").get_json()
    assert (cleared["cleared"], cleared["undo"]) == (1, f"quantum queue undo {cleared['clearing_id']}")
    undo = {"clearing_id": cleared["clearing_id"]}
    assert front.post("/queue/undo", json=undo).get_json() == {"restored": 1}
    assert front.post("/queue/undo", json=undo).get_json() == {"restored": 0}
    assert front.post("/queue/undo", json={"clearing_id": "nonesuch"}).status_code == 404


def test_the_document_has_no_default_and_no_free_form_request(front: Front) -> None:
    document = front.get("/openapi.json").get_json()
    assert document["openapi"].startswith("3.1")
    references = json.dumps(document).split('"#/components/schemas/')[1:]
    assert {reference.split('"')[0] for reference in references} <= set(document["components"]["schemas"])
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            assert "default" not in operation["responses"], (path, method)
            for status, response in operation["responses"].items():
                assert response["content"], (path, method, status)
            for content in operation.get("requestBody", {}).get("content", {}).values():
                assert "$ref" in content["schema"], (path, method)
    for name in ("NewTask", "NewTasks", "Decide", "Why", "Clear", "Undo"):
        assert document["components"]["schemas"][name]["additionalProperties"] is False, name


@pytest.mark.parametrize(
    "path", ["/agents/status", "/tasks/queue", "/coverage/status", "/metrics/dashboard", "/health"]
)
def test_the_runbooks_lines_answer_200(front: Front, path: str) -> None:
    assert front.get(path).status_code == 200
