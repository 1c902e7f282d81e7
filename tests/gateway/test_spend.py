"""Spend over HTTP: an attempt's own credential and nobody else's, amounts to the millionth, and a cap's 429."""

from __future__ import annotations

from typing import Any

import pytest
from werkzeug.test import TestResponse

from tests.gateway.conftest import BASE, Front

CALL = {"key": "a", "provider": "acme", "model": "words", "input_tokens": 10, "output_tokens": 20}


def as_attempt(front: Front, path: str, **body: Any) -> TestResponse:
    """POST with an attempt's credential."""
    return front.client().post(path, base_url=BASE, headers={"X-Auth-Token": front.world.attempt.text}, json=body)


def test_a_call_is_reserved_extended_and_settled(front: Front) -> None:
    for _ in range(2):
        answer = as_attempt(front, "/spend/reserve", **CALL)
        assert answer.status_code == 200, answer.text
    made = answer.get_json()["reservation"]
    assert (made["reserved_micros"], made["stage"], made["actual_micros"]) == (2_000_000, "held", None)
    assert made["fence"] == 7
    grown = as_attempt(front, "/spend/extend", key="a", input_tokens=10, output_tokens=40)
    assert grown.get_json()["reservation"]["output_tokens"] == 40
    done = as_attempt(front, "/spend/settle", key="a", input_tokens=10, output_tokens=30)
    assert done.get_json()["reservation"]["actual_micros"] == 40
    exact = as_attempt(front, "/spend/settle", key="a", dollars="0.000001")
    assert exact.get_json()["reservation"]["actual_micros"] == 1
    assert as_attempt(front, "/spend/release", key="a").get_json()["reservation"]["stage"] == "released"


def test_a_cap_is_answered_so_that_curl_tries_again(front: Front) -> None:
    as_attempt(front, "/spend/reserve", **CALL)
    refused = as_attempt(front, "/spend/reserve", **{**CALL, "key": "b"})
    assert (refused.status_code, refused.get_json()["code"]) == (429, "spend_cap")
    assert int(refused.headers["Retry-After"]) <= 5
    assert as_attempt(front, "/spend/reserve", **{**CALL, "model": "other"}).status_code == 409
    assert as_attempt(front, "/spend/settle", key="nobody", dollars="1").status_code == 404


@pytest.mark.parametrize(
    "body",
    [
        {**CALL, "input_tokens": -1},
        {**CALL, "input_tokens": "10"},
        {**CALL, "key": ""},
        {**CALL, "extra": 1},
        {"key": "a"},
    ],
)
def test_a_call_that_is_not_right_is_refused(front: Front, body: dict[str, object]) -> None:
    assert as_attempt(front, "/spend/reserve", **body).status_code == 400


@pytest.mark.parametrize(
    "body", [{}, {"dollars": "1", "input_tokens": 1}, {"dollars": "-1"}, {"dollars": 1}, {"dollars": "0.0000001"}]
)
def test_a_cost_that_is_not_right_is_refused(front: Front, body: dict[str, object]) -> None:
    assert as_attempt(front, "/spend/settle", key="a", **body).status_code == 400


def test_a_credential_opens_the_routes_of_spend_and_no_other(front: Front) -> None:
    for path in ("/spend", "/spend/prices", "/mode", "/breakers", "/tasks/queue", "/agents/status"):
        answer = front.client().get(path, base_url=BASE, headers={"X-Auth-Token": front.world.attempt.text})
        assert answer.status_code == 403, path
    refused = ("/spend/caps", {"scope": "fleet", "dollars": "1"}), ("/tasks/queue", {"agent": "hello"})
    for path, body in refused:
        assert as_attempt(front, path, **body).status_code == 403, path
    for path in ("/spend/reserve", "/spend/release"):
        answer = front.post(path, json=CALL if path == "/spend/reserve" else {"key": "a"})
        assert (answer.status_code, "scope 'spend'" in answer.get_json()["detail"]) == (403, True), "not even a person"


def test_what_is_left_is_shown_and_what_is_not_bounded_is_null(front: Front) -> None:
    as_attempt(front, "/spend/reserve", **CALL)
    shown = front.get("/spend").get_json()
    capped, unbounded = shown["accounts"]
    assert (capped["remaining_micros"], capped["cap"]["origin"], capped["window"]) == (
        1_499_999,
        "config",
        "2026-11-23",
    )
    assert (unbounded["remaining_micros"], unbounded["cap"], unbounded["window"]) == (None, None, None)
    assert [one["key"] for one in shown["open"]] == ["a"]
    assert shown["paused"][0]["reason"] == "the cap is reached"
    assert shown["stopped_by"] is None
    (price,) = front.get("/spend/prices").get_json()["prices"]
    assert (price["valid_from"], price["valid_until"], price["output_micros"]) == ("2026-01-01", None, 2_000_000)


def test_a_person_sets_caps_and_puts_charges_right(front: Front) -> None:
    cap = front.post("/spend/caps", json={"scope": "agent:writer", "per": "day", "dollars": "2.5", "reason": "x"})
    assert cap.get_json()["cap"]["micros"] == 2_500_000
    assert front.post("/spend/caps", json={"scope": "fleet", "dollars": None}).get_json()["cap"] is None
    assert front.post("/spend/caps", json={"scope": "fleet", "clear": True}).get_json()["cap"]["origin"] == "config"
    for body in ({"scope": "everything", "dollars": "1"}, {"scope": "fleet", "per": "year", "dollars": "1"}):
        assert front.post("/spend/caps", json=body).status_code == 400
    as_attempt(front, "/spend/reserve", **CALL)
    done = front.post("/spend/correct", json={"task_id": "t", "fence": 7, "key": "a", "dollars": "0.5"})
    assert done.get_json()["reservation"]["actual_micros"] == 500_000
