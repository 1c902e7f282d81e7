"""Runners over HTTP: seen, drained, and let go on."""

from __future__ import annotations

from typing import Any

from tests.gateway.conftest import Front


def listed(front: Front) -> list[dict[str, Any]]:
    runners: list[dict[str, Any]] = front.get("/runners").get_json()["runners"]
    return runners


def test_runners_are_listed_and_what_is_not_known_is_null(front: Front) -> None:
    [runner] = listed(front)
    assert (runner["name"], runner["labels"], runner["memory_bytes"]) == ("local", {"os": "linux"}, 1 << 34)
    assert (runner["memory_available_bytes"], runner["cpu_share"], runner["held_reason"]) == (None, None, None)


def test_a_runner_is_drained_and_resumed(front: Front) -> None:
    drained = front.post("/runners/local/drain", json={"reason": "a new disk"})
    assert drained.json == {"changed": True, "running": 2, "undo": "quantum runner resume local"}
    [runner] = listed(front)
    assert runner["drained"].endswith("a new disk")
    assert front.post("/runners/local/resume", json={}).json == {"changed": True}
    assert front.post("/runners/local/resume", json={}).json == {"changed": False}


def test_what_cannot_be_the_name_of_a_runner_is_refused(front: Front) -> None:
    assert front.post("/runners/Nobody!/drain", json={}).status_code == 400
