"""Merge checks over HTTP: as hooks ask for them, as text and as JSON, followed, left, confirmed, approved."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from werkzeug.test import TestResponse

from gateway import merge_lines
from tests.gateway.conftest import BASE, Front
from tests.gateway.stand_in_merges import DRAINED, FROZEN, HELD, NEW, OLD, REPOSITORY

PLAIN = {"Accept": "text/plain"}
HOOK = {"repository": REPOSITORY, "folder": "/home/ann/app", "event": "post-merge", "old": OLD, "new": NEW}


def start(front: Front, **other: object) -> dict[str, Any]:
    answer = front.post("/hooks/merge", json=HOOK | other)
    assert answer.status_code == 202, answer.text
    check: dict[str, Any] = answer.get_json()["check"]
    assert answer.headers["Location"] == f"/merges/{check['id']}"
    return check


def lines_of(answer: TestResponse) -> Iterator[str]:
    return (line for piece in answer.response for line in _text(piece).splitlines())


def _text(piece: object) -> str:
    return piece.decode() if isinstance(piece, bytes) else str(piece)


def test_a_hook_gets_a_check_and_the_same_commit_the_same_one(front: Front) -> None:
    check = start(front, background=True)
    assert (check["state"], check["event"], check["old"], check["new"]) == ("waiting", "post-merge", OLD, NEW)
    assert [check[name] for name in ("verdict", "action", "sentence", "undo", "evidence")] == [None] * 5
    again = front.post("/hooks/merge", json=HOOK).get_json()
    assert (again["check"]["id"], again["known"]) == (check["id"], True)
    assert front.world.merges.asked[0].background


def test_a_hook_that_reads_no_json_gets_two_lines(front: Front) -> None:
    answer = front.post("/hooks/merge", json=HOOK, headers=PLAIN)
    assert (answer.status_code, answer.content_type) == (202, "text/plain; charset=utf-8")
    name, sentence = answer.text.splitlines()
    assert sentence == "What came is being checked."
    assert front.get(f"/merges/{name}").status_code == 200
    front.backstage.run(front.world.merges.end_badly(name))
    # The verdict's sentence is the follower's to say.
    again = front.post("/hooks/merge", json=HOOK, headers=PLAIN).text.splitlines()
    assert again == [
        name,
        "This commit was taken back within a day and has come again: by itself it stays now. Of it was said:",
    ]
    assert front.post(f"/merges/{name}/undone").status_code == 200
    again = front.post("/hooks/merge", json=HOOK, headers=PLAIN).text.splitlines()
    assert again == [name, "You have brought this commit back, so that it is not checked again. Of it was said:"]


@pytest.mark.parametrize(
    ("repository", "status", "said"),
    [
        ("0nobody", 404, "That repository is not guarded."),
        (DRAINED, 503, "The mode is DRAIN: nothing new is checked."),
        ("../x", 400, "One part of the request is not right."),
    ],
)
def test_a_refusal_is_a_problem_and_for_a_hook_its_sentence(
    front: Front, repository: str, status: int, said: str
) -> None:
    answer = front.post("/hooks/merge", json=HOOK | {"repository": repository})
    assert (answer.status_code, answer.content_type) == (status, "application/problem+json")
    assert answer.get_json()["detail"] == said
    plain = front.post("/hooks/merge", json=HOOK | {"repository": repository}, headers=PLAIN)
    assert (plain.status_code, plain.content_type, plain.text) == (status, "text/plain; charset=utf-8", f"{said}\n")
    if status == 503:
        assert plain.headers["Retry-After"]


def test_a_hook_without_a_good_token_hears_that_in_a_sentence(front: Front) -> None:
    answer = front.client().post("/hooks/merge", base_url=BASE, json=HOOK, headers=PLAIN)
    assert (answer.status_code, answer.text) == (401, "This needs a token in the header X-Auth-Token.\n")


@pytest.mark.parametrize(
    "other",
    [{"event": "request"}, {"folder": "app"}, {"folder": "/a\nb"}, {"new": "HEAD"}, {"old": "a" * 41}, {"topic": "x"}],
    ids=str,
)
def test_what_no_hook_says_is_refused(front: Front, other: dict[str, str]) -> None:
    assert front.post("/hooks/merge", json=HOOK | other).status_code == 400


def test_followed_line_by_line_to_the_verdict(front: Front) -> None:
    check, checks = start(front), front.world.merges
    front.backstage.run(checks.change(check["id"], progress="make smoke on the merge, 1 of 5"))
    answer = front.get(f"/merges/{check['id']}/follow")
    assert answer.content_type == "text/plain; charset=utf-8"
    lines = lines_of(answer)
    assert next(lines) == ""
    assert next(lines) == "make smoke on the merge, 1 of 5", "buffered, this would never come"
    front.backstage.run(checks.change(check["id"], branch="other"))
    front.backstage.run(checks.change(check["id"], progress="= good none: a test says so\x1b[2J"))
    assert next(lines) == "  = good none: a test says so [2J", "no output of a test passes for the verdict"
    front.backstage.run(checks.end_badly(check["id"]))
    assert list(lines) == ["= bad rolled_back: make smoke fails since the merge; main is where it was."]


def test_a_sign_of_life_after_a_while_without_news(front: Front) -> None:
    found = list(merge_lines.followed([None] * 7, ticks_per_sign=3))
    assert found == ["\n"] * 3


def test_a_drain_ends_it_without_a_verdict(front: Front) -> None:
    check = start(front)
    lines = lines_of(front.get(f"/merges/{check['id']}/follow"))
    assert next(lines) == ""
    front.state.drain.begin()
    assert list(lines) == []


def test_it_goes_on_over_a_restart_of_the_coordinator(front: Front) -> None:
    check, checks = start(front), front.world.merges
    front.backstage.run(checks.change(check["id"], progress="one"))
    lines = lines_of(front.get(f"/merges/{check['id']}/follow"))
    assert next(line for line in lines if line) == "one"
    front.backstage.stop("coordinator")
    front.backstage.start("coordinator")
    front.backstage.run(checks.end_badly(check["id"]))
    assert next(line for line in lines if line).startswith("= bad"), "what was said is not said again"


def test_streams_have_their_places_and_give_them_back(front: Front) -> None:
    path = f"/merges/{start(front)['id']}/follow"
    for _ in range(5):
        assert front.get("/merges/0nesuch/follow").status_code == 404
        assert front.client().head(path, base_url=BASE, headers=front.headers).status_code == 200
    open_streams = [front.get(path) for _ in range(2)]
    refused = front.get(path, headers=PLAIN)
    assert (refused.status_code, refused.text[:9]) == (429, "2 streams")
    open_streams[0].close()
    assert front.get(path).status_code == 200


def test_who_leaves_lets_it_only_report(front: Front) -> None:
    check = start(front)
    left = front.post(f"/merges/{check['id']}/leave").get_json()["check"]
    assert left["only_report_reason"] == "Whoever waited has gone."
    assert _confirm(front, check["id"]).get_json() == {"may_move": False, "reason": "Whoever waited has gone."}


def test_only_an_attempt_has_its_check_confirmed(front: Front) -> None:
    check = start(front)
    assert _confirm(front, check["id"]).get_json() == {"may_move": True, "reason": ""}
    assert _confirm(front, check["id"], new="c" * 40).status_code == 409
    body = {"old": OLD, "new": NEW}
    assert (
        front.client()
        .post(
            f"/merges/{check['id']}/confirm",
            base_url=BASE,
            json=body,
            headers={"X-Auth-Token": front.world.reader.text},
        )
        .status_code
        == 403
    )
    assert _confirm(front, check["id"], new="").status_code == 400


def _confirm(front: Front, check_id: str, new: str = NEW) -> TestResponse:
    headers = {"X-Auth-Token": front.world.attempt.text}
    return front.client().post(
        f"/merges/{check_id}/confirm", base_url=BASE, json={"old": OLD, "new": new}, headers=headers
    )


def test_listed_by_page_and_shown_with_the_evidence(front: Front) -> None:
    first, second = start(front)["id"], start(front, new="c" * 40, repository=FROZEN)["id"]
    front.backstage.run(front.world.merges.end_badly(first))
    page = front.get("/merges?limit=1").get_json()
    assert [check["id"] for check in page["checks"]] == [second]
    assert front.get(f"/merges/{second}").get_json()["check"]["freedom_reason"] == HELD
    rest = front.get(f"/merges?limit=1&cursor={page['next']}").get_json()
    assert ([check["id"] for check in rest["checks"]], rest["next"]) == ([first], None)
    assert rest["checks"][0]["evidence"] is None
    of_one = front.get(f"/merges?repository={REPOSITORY}").get_json()["checks"]
    assert [check["id"] for check in of_one] == [first]
    whole = front.get(f"/merges/{first}").get_json()["check"]
    assert whole["evidence"] == {"runs": [{"on": "new", "colour": "red"}]}
    assert (whole["verdict"], whole["action"]) == ("bad", "rolled_back")
    assert whole["undo"] == f"quantum merge undo {first}"
    assert front.get("/merges?cursor=x").status_code == 400


def test_a_merge_is_asked_for_and_refused_while_merges_are_held(front: Front) -> None:
    wanted = {"repository": REPOSITORY, "folder": "/home/ann/app", "topic": "feature/ä"}
    answer = front.post("/merges/requests", json=wanted)
    assert (answer.status_code, answer.get_json()["check"]["event"]) == (202, "request")
    assert front.world.merges.asked[-1].topic == "feature/ä"
    held = front.post("/merges/requests", json=wanted | {"repository": FROZEN})
    assert (held.status_code, held.get_json()["detail"]) == (409, HELD)
    assert held.get_json()["remedy"].startswith("quantum merge approve")
    for topic in ("", "--force", "a b"):
        assert front.post("/merges/requests", json=wanted | {"topic": topic}).status_code == 400


def test_whether_merges_are_free_and_the_approval_with_its_reason(front: Front) -> None:
    assert front.get(f"/merges/freedom?repository={REPOSITORY}").get_json() == {"freedom": "free", "reason": None}
    assert front.get(f"/merges/freedom?repository={FROZEN}").get_json() == {"freedom": "frozen", "reason": HELD}
    assert front.get("/merges/freedom").status_code == 400
    approved = front.post("/merges/approve", json={"repository": FROZEN, "reason": "looked at it"})
    assert approved.get_json() == {"until": "2026-01-01T01:00:00Z"}
    assert front.world.merges.approved[FROZEN].startswith("looked at it, says ")
    assert front.post("/merges/approve", json={"repository": FROZEN, "reason": ""}).status_code == 400


def test_what_was_brought_back_is_recorded(front: Front) -> None:
    check = start(front)["id"]
    assert front.post(f"/merges/{check}/undone").status_code == 409
    front.backstage.run(front.world.merges.end_badly(check))
    undone = front.post(f"/merges/{check}/undone").get_json()["check"]
    assert (undone["undone_at"], undone["undo"]) == ("2026-01-01T00:02:00Z", None)


def test_the_access_log_names_the_route_and_never_the_token(front: Front) -> None:
    check = start(front)["id"]
    front.backstage.run(front.world.merges.end_badly(check))
    list(lines_of(answer := front.get(f"/merges/{check}/follow")))
    answer.close()
    written = (front.backstage.workspace.logs / "access.log").read_text()
    routes = [json.loads(line)["route"] for line in written.splitlines()]
    assert routes == ["/hooks/merge", "/merges/<check_id>/follow"]
    assert front.world.user.text not in written


def test_the_page_has_every_route_of_merges_and_schedules_and_no_other(front: Front) -> None:
    page = (Path(__file__).parents[2] / "docs" / "http.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([A-Z]+) (/(?:merges|hooks|schedules)\S*?)` \|", page, re.M)
    written = {(method, path.split("?")[0]) for method, path in rows}
    there = {
        (method.upper(), path.replace("{check_id}", "<id>").replace("{name}", "<name>"))
        for path, operations in front.get("/openapi.json").get_json()["paths"].items()
        for method in operations
        if path.startswith(("/merges", "/hooks", "/schedules")) and method != "head"
    }
    assert written == there
