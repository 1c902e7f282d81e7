"""The mode's ladder over HTTP, and a breaker that is held closed for a time."""

from __future__ import annotations

import pytest

from tests.gateway.conftest import Front


def test_the_mode_goes_up_and_down_the_ladder(front: Front) -> None:
    for mode in ("GUARDED", "FROZEN", "DRAIN", "NORMAL"):
        answer = front.post("/mode", json={"mode": mode, "reason": "a walk"})
        assert answer.status_code == 200
        assert answer.get_json() == {"mode": answer.get_json()["mode"], "changed": True}
        assert answer.get_json()["mode"]["mode"] == mode
        assert front.get("/mode").get_json()["mode"] == mode
    assert front.post("/mode", json={"mode": "NORMAL"}).get_json()["changed"] is False


@pytest.mark.parametrize("body", [{}, {"mode": "normal"}, {"mode": "ASLEEP"}, {"mode": "DRAIN", "also": 1}])
def test_what_is_no_mode_is_refused(front: Front, body: dict[str, object]) -> None:
    assert front.post("/mode", json=body).status_code == 400
    assert front.get("/mode").get_json()["mode"] == "NORMAL"


def test_a_breaker_is_held_closed_for_a_stated_time(front: Front) -> None:
    answer = front.post("/breakers/agent:build/force-closed", json={"for": "1h", "reason": "it is well"})
    assert answer.get_json()["breaker"]["state"] == "forced_closed"
    assert front.post("/breakers/agent:build/force-closed", json={"reason": "for ever"}).status_code == 400
    assert front.post("/breakers/agent:build/force-closed", json={"for": "8d"}).status_code == 400
