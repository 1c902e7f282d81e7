"""Alerts over HTTP: what people were told, and that somebody looks after it."""

from __future__ import annotations

from tests.gateway.conftest import Front
from tests.gateway.stand_in_alerts import CAUSE


def test_alerts_are_listed_with_their_channels(front: Front) -> None:
    answer = front.get("/alerts")
    assert answer.status_code == 200
    [alert] = answer.get_json()["alerts"]
    assert (alert["cause"], alert["level"], alert["count"]) == (CAUSE, "warning", 2)
    assert (alert["told_at"], alert["acknowledged_by"], alert["resolved_at"]) == (None, None, None)
    assert answer.get_json()["channels"] == [
        {"name": "log", "fault": None},
        {"name": "mail", "fault": "It does not answer."},
    ]


def test_one_is_acknowledged_by_who_asks(front: Front) -> None:
    answer = front.post(f"/alerts/{CAUSE}/acknowledge")
    assert (answer.status_code, answer.get_json()["alert"]["acknowledged_by"]) == (200, "user")


def test_what_was_never_raised_is_404(front: Front) -> None:
    answer = front.post("/alerts/nothing/acknowledge")
    assert (answer.status_code, answer.get_json()["code"]) == (404, "no_alert")
