"""What the gateway refuses before a route sees it."""

from __future__ import annotations

import json
import stat

import pytest
from werkzeug.test import TestResponse

from foundation.ids import random_bytes
from foundation.tokens import mint
from gateway.attempts import SOURCE_MAX
from tests.gateway.conftest import BASE, PORT, Front


def _ask(front: Front, path: str = "/mode", **headers: str) -> TestResponse:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    return front.client().get(path, base_url=BASE, headers=sent)


@pytest.mark.parametrize(
    "path",
    [
        "/agents/status",
        "/tasks/queue",
        "/tasks/abc",
        "/tasks/abc/log",
        "/coverage/status",
        "/metrics/dashboard",
        "/metrics",
        "/openapi.json",
        "/mode",
        "/breakers",
        "/reports",
        "/",
        "/nowhere",
    ],
)
def test_without_a_token_401_with_the_line_that_gets_one(front: Front, path: str) -> None:
    answer = _ask(front, path)
    assert (answer.status_code, answer.content_type) == (401, "application/problem+json")
    problem = answer.get_json()
    assert problem["code"] == "token_missing"
    assert "$(quantum token show)" in problem["remedy"]


def test_bare_health_needs_none(front: Front) -> None:
    answer = _ask(front, "/health")
    assert (answer.status_code, answer.get_json()) == (200, {"status": "ok"})


def test_the_placeholder_of_the_runbook_has_a_sentence_of_its_own(front: Front) -> None:
    answer = _ask(front, "/health", X_Auth_Token="your-token")
    assert answer.status_code == 401
    assert answer.get_json()["detail"].startswith("'your-token' is the runbook's placeholder")
    assert (
        answer.get_json()["remedy"] == f'curl -H "X-Auth-Token: $(quantum token show)" http://localhost:{PORT}/health'
    )


@pytest.mark.parametrize("token", ["nonsense", "qtm_", "", "qtm_aaaaaaaaaaaa_" + "b" * 43 + "_cccccc"])
def test_a_malformed_token_is_401(front: Front, token: str) -> None:
    assert _ask(front, X_Auth_Token=token).status_code == 401


def test_an_unknown_token_is_401_everywhere(front: Front) -> None:
    unknown = mint(random_bytes).text
    for path in ("/health", "/tasks/queue", "/openapi.json", "/tasks/abc/log", "/"):
        assert _ask(front, path, X_Auth_Token=unknown).status_code == 401, path


def test_the_line_to_type_holds_nothing_that_a_shell_would_run(front: Front) -> None:
    remedy = _ask(front, "/$(reboot)").get_json()["remedy"]
    assert "reboot" not in remedy


@pytest.mark.parametrize(
    "host", ["evil.example", "localhost", "localhost:5006", "localhost.evil.example:5005", "127.0.0.2:5005", ""]
)
def test_another_host_is_refused_even_with_a_good_token(front: Front, host: str) -> None:
    answer = front.client().get("/mode", headers=front.headers, environ_overrides={"HTTP_HOST": host})
    assert (answer.status_code, answer.get_json()["code"]) == (421, "wrong_host")


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]", "LOCALHOST"])
def test_loopback_hosts_are_taken(front: Front, host: str) -> None:
    answer = front.client().get("/mode", headers=front.headers, environ_overrides={"HTTP_HOST": f"{host}:{PORT}"})
    assert answer.status_code == 200


@pytest.mark.parametrize(
    "header",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://localhost:3000"},
        {"Origin": f"https://localhost:{PORT}"},
        {"Referer": "http://evil.example/page"},
        {"Referer": "http://[broken"},
        {"Sec-Fetch-Site": "cross-site"},
    ],
)
def test_foreign_pages_are_refused(front: Front, header: dict[str, str]) -> None:
    answer = front.get("/mode", headers=header)
    assert (answer.status_code, answer.get_json()["code"]) == (403, "foreign_page")


@pytest.mark.parametrize("header", [{"Origin": BASE}, {"Referer": f"{BASE}/"}, {"Sec-Fetch-Site": "same-origin"}])
def test_own_pages_are_not(front: Front, header: dict[str, str]) -> None:
    assert front.get("/mode", headers=header).status_code == 200


def test_no_answer_lets_another_origin_read_it(front: Front) -> None:
    for answer in (front.get("/mode"), _ask(front, "/mode")):
        assert not [name for name, _ in answer.headers if name.lower().startswith("access-control-")]
        assert answer.headers["Cache-Control"] == "no-store"


def test_a_large_body_is_413_before_the_token_is_looked_at(front: Front) -> None:
    body = json.dumps({"agent": "hello", "params": {"x": "y" * 5_000_000}})
    for headers in ({}, front.headers):
        answer = front.client().post(
            "/tasks/queue", base_url=BASE, data=body, content_type="application/json", headers=headers
        )
        assert (answer.status_code, answer.get_json()["code"]) == (413, "body_too_large")
    assert front.world.tasks == {}


def test_a_form_is_415(front: Front) -> None:
    answer = front.post("/tasks/queue", data={"agent": "hello"})
    assert (answer.status_code, answer.get_json()["code"]) == (415, "not_json")
    answer = front.post("/tasks/queue", data='{"agent": "hello"}', content_type="text/plain")
    assert answer.status_code == 415


def test_what_is_not_there_is_a_problem_too(front: Front) -> None:
    answer = front.get("/nowhere")
    assert (answer.status_code, answer.content_type) == (404, "application/problem+json")
    answer = front.client().delete("/tasks/queue", base_url=BASE, headers=front.headers)
    assert (answer.status_code, answer.content_type) == (405, "application/problem+json")
    assert answer.headers["Allow"] == "GET, HEAD, POST"


def test_guessing_is_slowed_and_a_good_token_never(front: Front) -> None:
    guess = {"X_Auth_Token": mint(random_bytes).text}
    seen = [_ask(front, "/mode", **guess).status_code for _ in range(SOURCE_MAX + 3)]
    assert seen[0] == 401
    assert seen[-1] == 429
    answer = _ask(front, "/mode", **guess)
    assert int(answer.headers["Retry-After"]) >= 1
    assert front.get("/mode").status_code == 200


def test_the_access_log_names_the_token_and_never_shows_it(front: Front) -> None:
    front.get("/tasks/queue?limit=1")
    _ask(front, "/mode", X_Auth_Token=mint(random_bytes).text)
    front.get(f"/tasks/{'0' * 26}")
    front.get(f"/{front.world.user.text}")
    path = front.backstage.workspace.logs / "access.log"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    text = path.read_text()
    lines = [json.loads(line) for line in text.splitlines()]
    user = front.world.user.id
    assert [(line["route"], line["status"], line["who"]) for line in lines] == [
        ("/tasks/queue", 200, user),
        ("/mode", 401, None),
        ("/tasks/<task_id>", 404, user),
        (None, 404, None),
    ]
    assert lines[0]["method"] == "GET"
    assert lines[0]["from"] == "127.0.0.1"
    assert lines[0]["ms"] > 0
    assert front.world.user.text not in text
    assert front.world.user.text[:30] not in text
