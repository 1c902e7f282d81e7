"""Host, Origin, Referer, method and content type: what the gateway takes, on loopback and under a name with TLS."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import pytest
from werkzeug.test import TestResponse

from gateway import security
from gateway.address import Address
from tests.gateway.conftest import Front

LOOPBACK = Address("127.0.0.1", 5005)
NAMED = Address("0.0.0.0", 8443, ("quantum.example.org", "box.example.org"))
OWN_PORT = Address("192.0.2.7", 443, ("quantum.example.org",))
JSON = "application/json"


class Case(NamedTuple):
    """A request by the holder of a good token, and the status and code that are right."""

    address: Address
    host: str
    status: int
    code: str = ""
    sent: Mapping[str, str] = {}
    method: str = "GET"
    path: str = "/mode"
    body: str = ""

    def __str__(self) -> str:
        words = (self.method, self.path, self.host or "no host", *map("=".join, self.sent.items()), self.body[:20])
        return " ".join(filter(None, words))


def _hosts() -> list[Case]:
    taken = {
        LOOPBACK: ("localhost:5005", "127.0.0.1:5005", "[::1]:5005", "LocalHost:5005"),
        NAMED: ("quantum.example.org:8443", "box.example.org:8443", "QUANTUM.example.org:8443", "localhost:8443"),
        OWN_PORT: ("quantum.example.org", "quantum.example.org:443", "192.0.2.7", "192.0.2.7:443", "localhost"),
    }
    refused = {
        LOOPBACK: (
            *("", "localhost", "127.0.0.1", "localhost:5006", "localhost:05005", "127.0.0.2:5005", "127.1:5005"),
            *("2130706433:5005", "0.0.0.0:5005", "[::]:5005", "[::ffff:127.0.0.1]:5005", "localhost.:5005"),
            *("evil.example:5005", "localhost.evil.example:5005", "evil.example@localhost:5005", "localhost:5005,evil"),
            *("quantum.example.org:5005", "localhost:5005 ", "localhost:5005/", "user@localhost:5005"),
        ),
        NAMED: (
            *("quantum.example.org", "quantum.example.org:443", "quantum.example.org:5005", "example.org:8443"),
            *("a.quantum.example.org:8443", "quantum.example.org.:8443", "0.0.0.0:8443", "192.0.2.7:8443", "evil:8443"),
        ),
        OWN_PORT: ("quantum.example.org:8443", "quantum.example.org:80", "box.example.org", "192.0.2.8"),
    }
    good = [Case(address, host, 200) for address, hosts in taken.items() for host in hosts]
    return good + [Case(address, host, 421, "wrong_host") for address, hosts in refused.items() for host in hosts]


def _pages() -> list[Case]:
    """Where a browser says that a request comes from."""
    own = {LOOPBACK: "http://localhost:5005", NAMED: "https://quantum.example.org:8443"}
    foreign_origins = {
        LOOPBACK: (
            *("null", "", "http://evil.example", "http://localhost", "http://localhost:3000", "https://localhost:5005"),
            *("http://localhost:5005.evil.example", "http://localhost:5005/", "http://localhost:5005 http://evil"),
            *("file://", "http://127.0.0.2:5005", "chrome-extension://abcdef"),
        ),
        NAMED: (
            *("null", "http://quantum.example.org:8443", "https://quantum.example.org", "https://example.org:8443"),
            *("https://evil.example", "https://quantum.example.org:8443.evil.example"),
        ),
    }
    foreign_referers = {
        LOOPBACK: (
            "http://evil.example/",
            "http://localhost:3000/",
            "http://localhost:5005@evil/",
            "http://[broken",
            "x",
        ),
        NAMED: ("http://quantum.example.org:8443/", "https://evil.example/?https://quantum.example.org:8443/"),
    }
    cases = []
    for address, origin in own.items():
        host = origin.split("//")[1]
        cases += [
            Case(address, host, 200, sent={"Origin": origin}),
            Case(address, host, 200, sent={"Origin": origin.upper()}),
            Case(address, host, 200, sent={"Referer": f"{origin}/tasks?x=1"}),
            Case(address, host, 200, sent={"Origin": origin, "Referer": f"{origin}/", "Sec-Fetch-Site": "same-origin"}),
            Case(address, host, 200, sent={"Sec-Fetch-Site": "none"}),
            Case(address, host, 403, "foreign_page", {"Sec-Fetch-Site": "cross-site"}),
            Case(address, host, 403, "foreign_page", {"Sec-Fetch-Site": "same-site", "Origin": origin}),
            Case(address, host, 403, "foreign_page", {"Origin": origin, "Referer": "http://evil.example/"}),
            Case(address, host, 403, "foreign_page", {"Referer": f"{origin}/", "Origin": "http://evil.example"}),
        ]
        refused = [{"Origin": one} for one in foreign_origins[address]]
        refused += [{"Referer": one} for one in foreign_referers[address]]
        cases += [Case(address, host, 403, "foreign_page", sent) for sent in refused]
        # A body makes no difference, nor does it help that the host is right.
        cases += [
            Case(address, host, 403, "foreign_page", {**sent, "Content-Type": JSON}, "POST", "/queue/pause", "{}")
            for sent in refused[:4]
        ]
    return cases


def _bodies() -> list[Case]:
    host, path = "localhost:5005", "/queue/pause"

    def post(status: int, code: str, content_type: str | None, body: str) -> Case:
        sent = {} if content_type is None else {"Content-Type": content_type}
        return Case(LOOPBACK, host, status, code, sent, "POST", path, body)

    forms = ("application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "text/plain", "text/json", "json")
    return [
        post(200, "", JSON, "{}"),
        post(200, "", "application/json; charset=utf-8", '{"reason": "tonight"}'),
        post(200, "", "APPLICATION/JSON", "{}"),
        post(200, "", None, ""),
        post(415, "not_json", None, "{}"),
        *(post(415, "not_json", form, '{"reason": "x"}') for form in forms),
        *(post(400, "bad_json", JSON, body) for body in ("{", "{'reason': 1}", "\x00", '{"reason": NaN}', "{} {}")),
        *(post(400, "not_an_object", JSON, body) for body in ("[]", "null", '"x"', "1")),
        post(400, "bad_request", JSON, '{"reason": 1}'),
        post(400, "bad_request", JSON, '{"unheard": "of"}'),
    ]


def _methods() -> list[Case]:
    host = "localhost:5005"
    refused = [
        *(("/mode", method) for method in ("PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "QUERY", "FETCH")),
        *(("/queue/pause", method) for method in ("GET", "HEAD", "PUT", "DELETE", "OPTIONS")),
        *(("/tasks/queue", method) for method in ("PUT", "PATCH", "DELETE", "OPTIONS")),
        *(("/health", method) for method in ("POST", "DELETE", "OPTIONS")),
    ]
    cases = [Case(LOOPBACK, host, 405, "method_not_allowed", {}, method, path) for path, method in refused]
    # What a browser asks before it sends another page's JSON: it gets no leave.
    asking = {"Origin": "http://evil.example", "Access-Control-Request-Method": "POST"}
    return [
        *cases,
        Case(LOOPBACK, host, 403, "foreign_page", asking, "OPTIONS", "/tasks/queue"),
        Case(LOOPBACK, host, 200, method="HEAD"),
        # A header that says another method is not listened to.
        Case(LOOPBACK, host, 405, "method_not_allowed", {"X-HTTP-Method-Override": "POST"}, path="/queue/pause"),
    ]


CASES: dict[Address, list[Case]] = {LOOPBACK: [], NAMED: [], OWN_PORT: []}
for _case in (*_hosts(), *_pages(), *_bodies(), *_methods()):
    CASES[_case.address].append(_case)


@pytest.fixture(params=CASES, ids=lambda address: f"{address.host}:{address.port}")
def address(request: pytest.FixtureRequest) -> Address:
    """Where it listens."""
    given: Address = request.param
    return given


def test_what_is_taken_and_what_is_not(front: Front) -> None:
    cases = CASES[front.state.address]
    differ = {}
    for case in cases:
        answer = _send(front, case)
        code = (answer.get_json(silent=True) or {}).get("code", "") if answer.status_code >= 400 else ""
        if (answer.status_code, code if case.method != "HEAD" else case.code) != (case.status, case.code):
            differ[str(case)] = f"{answer.status_code} {code}, not {case.status} {case.code}"
        assert not [name for name, _ in answer.headers if name.lower().startswith("access-control-")], case
    print(f"{len(cases)} requests to {front.state.address}")
    assert differ == {}


def test_there_are_enough_of_each() -> None:
    assert {len(CASES[LOOPBACK]) >= 60, len(CASES[NAMED]) >= 20, len(CASES[OWN_PORT]) >= 8} == {True}


@pytest.mark.parametrize("without", ["require_own_host", "refuse_foreign_pages", "require_json_object"])
def test_each_check_is_what_refuses(front: Front, without: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The control: with one check taken out, what it refuses is let through."""
    codes = {"require_own_host": 421, "refuse_foreign_pages": 403, "require_json_object": 415}
    monkeypatch.setattr(security, without, lambda *parts: None)
    cases = [case for case in CASES[front.state.address] if case.status == codes[without] and case.method == "GET"]
    cases += [case for case in CASES[front.state.address] if case.status == codes[without] == 415]
    assert all(_send(front, case).status_code != case.status for case in cases)
    assert cases or without == "require_json_object" or front.state.address == OWN_PORT


def _send(front: Front, case: Case) -> TestResponse:
    headers = {**front.headers, **{name: value for name, value in case.sent.items() if name != "Content-Type"}}
    return front.client().open(
        case.path,
        method=case.method,
        headers=headers,
        data=case.body or None,
        content_type=case.sent.get("Content-Type"),
        environ_overrides={"HTTP_HOST": case.host},
    )
