"""The status page and the sessions of browsers."""

from __future__ import annotations

import re

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from gateway.address import Address
from tests.gateway.conftest import BASE, Front
from tests.gateway.stand_in_merges import REPOSITORY

HTML = {"Accept": "text/html,application/xhtml+xml"}


def _open(client: FlaskClient) -> TestResponse:
    return client.get("/", base_url=BASE, headers=HTML)


def _key(answer: TestResponse) -> str:
    found = re.search(r'name="form_key" value="([0-9a-f]+)"', answer.text)
    assert found is not None
    return found[1]


def _sign_in(front: Front, client: FlaskClient, token: str | None = None) -> TestResponse:
    form = {"form_key": _key(_open(client)), "token": front.world.user.text if token is None else token}
    return client.post("/session", base_url=BASE, data=form, headers=HTML | {"Origin": BASE})


def test_asks_for_the_token_then_shows_what_is(front: Front) -> None:
    client = front.client()
    task = front.submit()
    first = _open(client)
    assert first.status_code == 401
    assert 'name="token"' in first.text
    answer = _sign_in(front, client)
    assert (answer.status_code, answer.headers["Location"]) == (303, "/")
    page = _open(client)
    assert page.status_code == 200
    for shown in (task["id"], "hello", "NORMAL", "local", "not run yet", 'http-equiv="refresh"'):
        assert shown in page.text


def test_it_shows_alerts_breakers_and_budgets(front: Front) -> None:
    client = front.client()
    _sign_in(front, client)
    page = _open(client).text
    for shown in ("The breaker of build is open.", "quantum breaker list", "The breaker of", "The error budget of"):
        assert shown in page


def test_it_shows_the_last_merges(front: Front) -> None:
    assert "None has been checked yet." in front.get("/", headers=HTML).text
    hook = {"repository": REPOSITORY, "folder": "/home/ann/<app>", "event": "post-merge"}
    check = front.post("/hooks/merge", json=hook).get_json()["check"]["id"]
    assert "<td>waiting</td>" in front.get("/", headers=HTML).text
    front.backstage.run(front.world.merges.end_badly(check))
    page = front.get("/", headers=HTML).text
    for shown in (
        '<td class="bad">bad</td>',
        "rolled back",
        "/home/ann/&lt;app&gt;",
        f"undo: quantum merge undo {check}",
    ):
        assert shown in page


def test_the_token_stays_here(front: Front) -> None:
    client = front.client()
    answer = _sign_in(front, client)
    cookies = answer.headers.getlist("Set-Cookie")
    session = next(cookie for cookie in cookies if cookie.startswith("quantum_session="))
    assert "HttpOnly" in session
    assert "SameSite=Strict" in session
    for text in (*cookies, answer.text, answer.headers["Location"], _open(client).text):
        assert front.world.user.text not in text


@pytest.mark.parametrize("address", [Address("0.0.0.0", 8443, ("quantum.example.org",))], ids=["beyond loopback"])
def test_over_tls_a_cookie_never_goes_without_it(front: Front) -> None:
    base, client = "https://quantum.example.org:8443", front.client()
    first = client.get("/", base_url=base, headers=HTML)
    form = {"form_key": _key(first), "token": front.world.user.text}
    answer = client.post("/session", base_url=base, data=form, headers=HTML | {"Origin": base})
    assert answer.status_code == 303
    set_now = (*first.headers.getlist("Set-Cookie"), *answer.headers.getlist("Set-Cookie"))
    assert all("; Secure" in cookie for cookie in set_now if "Max-Age=0" not in cookie)
    assert client.get("/", base_url=base, headers=HTML).status_code == 200


def test_a_session_opens_the_page_and_nothing_else(front: Front) -> None:
    client = front.client()
    _sign_in(front, client)
    assert client.get("/tasks/queue", base_url=BASE).status_code == 401
    assert client.post("/mode/stop", base_url=BASE).status_code == 401


def test_a_form_that_is_not_ours_is_refused(front: Front) -> None:
    client = front.client()
    _open(client)
    form = {"form_key": "0" * 64, "token": front.world.user.text}
    assert client.post("/session", base_url=BASE, data=form).status_code == 403
    form = {"form_key": "", "token": front.world.user.text}
    assert front.client().post("/session", base_url=BASE, data=form).status_code == 403
    foreign = {"Origin": "http://evil.example"}
    assert client.post("/session", base_url=BASE, data=form, headers=foreign).status_code == 403


def test_a_bad_token_is_told_and_opens_nothing(front: Front) -> None:
    client = front.client()
    for token in ("nonsense", "your-token", ""):
        answer = _sign_in(front, client, token)
        assert answer.status_code == 401
        assert 'role="alert"' in answer.text
    assert _open(client).status_code == 401


def test_signing_out_ends_the_session(front: Front) -> None:
    client = front.client()
    _sign_in(front, client)
    page = _open(client)
    assert client.post("/session/end", base_url=BASE, data={"form_key": "0" * 64}).status_code == 403
    assert _open(client).status_code == 200
    assert client.post("/session/end", base_url=BASE, data={"form_key": _key(page)}).status_code == 303
    assert _open(client).status_code == 401


def test_the_policy_lets_nothing_run(front: Front) -> None:
    client = front.client()
    _sign_in(front, client)
    page = _open(client)
    policy = page.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "script-src" not in policy
    assert "unsafe-inline" not in policy
    nonce = re.search(r"'nonce-([0-9a-f]+)'", policy)
    assert nonce is not None
    assert f'<style nonce="{nonce[1]}">' in page.text
    assert "<script" not in page.text
    assert " style=" not in page.text


def test_what_agents_say_is_shown_as_text(front: Front) -> None:
    task = front.submit()
    front.world.tasks[task["id"]].reason = "<script>alert(1)</script>"
    page = front.get("/", headers=HTML)
    assert page.status_code == 200
    assert "<script>" not in page.text
    assert "&lt;script&gt;" in page.text


def test_without_services_the_page_says_so(front: Front) -> None:
    client = front.client()
    _sign_in(front, client)
    front.backstage.stop("coordinator")
    page = _open(client)
    assert page.status_code == 503
    assert "The coordinator cannot be reached." in page.text
