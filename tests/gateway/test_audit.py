"""The audit log over HTTP: pages, the check, and that each act says through which route it came."""

from __future__ import annotations

import pytest

from tests.gateway.conftest import Front


def test_pages_are_newest_first_and_end(front: Front) -> None:
    first = front.get("/audit?limit=3").get_json()
    rest = front.get(f"/audit?limit=3&cursor={first['next']}").get_json()
    assert [record["number"] for page in (first, rest) for record in page["records"]] == [5, 4, 3, 2, 1]
    assert rest["next"] is None


def test_since_a_moment(front: Front) -> None:
    records = front.get("/audit?since=2026-01-01T04:00:00Z").get_json()["records"]
    assert [record["number"] for record in records] == [5, 4]


def test_a_record_says_who_and_from_where(front: Front) -> None:
    record = front.get("/audit?limit=1").get_json()["records"][0]
    assert (record["actor"], record["actor_id"], record["before"], record["after"]) == ("ann", "t1", None, "STOPPED")
    assert record["source"] == "GET /audit from 127.0.0.1 by the local socket"


@pytest.mark.parametrize("query", ["limit=0", "limit=1001", "cursor=x", "since=yesterday", "until=1"])
def test_a_question_that_makes_no_sense_is_refused(front: Front, query: str) -> None:
    assert front.get(f"/audit?{query}").status_code == 400


def test_the_check_names_the_first_bad_record(front: Front) -> None:
    assert front.get("/audit/verify").get_json()["good"] is True
    front.world.audit_broken = 3
    verdict = front.get("/audit/verify").get_json()
    assert (verdict["good"], verdict["fault"]["number"]) == (False, 3)
