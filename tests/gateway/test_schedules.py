"""Schedules over HTTP: seen, paused, resumed, run, and asked why."""

from __future__ import annotations

from typing import Any

from tests.gateway.conftest import Front
from tests.gateway.stand_in_schedules import NAME


def listed(front: Front) -> dict[str, Any]:
    [schedule] = front.get("/schedules").get_json()["schedules"]
    assert isinstance(schedule, dict)
    return schedule


def test_a_schedule_shows_its_next_times_and_how_late_the_last_run_was(front: Front) -> None:
    schedule = listed(front)
    assert (schedule["name"], schedule["timezone"], schedule["overlap"]) == (NAME, "Europe/Berlin", "skip")
    assert (schedule["next_runs"], schedule["last_due"]) == (["2026-01-08T00:00:00Z"], "2026-01-01T00:00:00Z")
    assert (schedule["late_seconds"], schedule["missed"], schedule["catch_up_seconds"]) == (11_400, 39, None)


def test_it_is_paused_and_resumed(front: Front) -> None:
    paused = front.post(f"/schedules/{NAME}/pause", json={"reason": "quiet"})
    assert paused.json == {"changed": True, "undo": f"quantum schedule resume {NAME}"}
    schedule = listed(front)
    assert (schedule["paused"], schedule["next_runs"]) == (True, [])
    assert front.post(f"/schedules/{NAME}/resume", json={}).json == {"changed": True}
    assert front.post(f"/schedules/{NAME}/resume", json={}).json == {"changed": False}


def test_it_is_run_once_under_one_key(front: Front) -> None:
    for _ in range(2):
        answer = front.post(f"/schedules/{NAME}/run", json={}, headers={**front.headers, "Idempotency-Key": "a"})
        assert (answer.status_code, answer.get_json()["tasks"][0]["agent"]) == (201, "code-health")
    again = front.post(f"/schedules/{NAME}/run", json={})
    assert (again.status_code, again.get_json()["code"]) == (409, "still_open")


def test_why_has_a_reason_for_each(front: Front) -> None:
    why = front.get("/schedules/code-health/why").get_json()
    assert [reason["code"] for reason in why["reasons"]] == ["not_due"]
    assert [schedule["name"] for schedule in why["schedules"]] == [NAME]


def test_what_is_unknown_is_404_and_what_can_be_no_name_is_400(front: Front) -> None:
    assert front.get("/schedules/nobody/why").status_code == 404
    assert front.post("/schedules/Nobody!/pause", json={}).status_code == 400
