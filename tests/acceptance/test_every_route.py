"""Every route of the gateway, with every kind of token: exactly the right answer, and none can be forgotten."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from flask.testing import FlaskClient
from flask_openapi3.openapi import OpenAPI

from foundation.clock import SystemClock
from foundation.ids import random_bytes
from foundation.settings import load
from foundation.workspace import Workspace
from gateway.access_log import AccessLog
from gateway.address import Address
from gateway.app import create_app
from gateway.attempts import FailedAttempts
from gateway.bodies import Bodies
from gateway.draining import Drain
from gateway.services import Services
from gateway.sessions import Sessions
from gateway.settings import GatewaySettings
from gateway.state import Gateway
from gateway.streams import StreamSlots
from tests.acceptance.doors import EVERY_SCOPE, Doors, doors

PORT = 5005
ATTEMPT = "an attempt"
FREE = "nobody in particular"


@dataclass(frozen=True, slots=True)
class Row:
    """What a route should need, and what it itself answers to the request that is sent here."""

    route: str
    needs: str
    """Scopes, with a + between them."""
    own: int
    body: object = None
    query: str = ""

    @property
    def scopes(self) -> frozenset[str]:
        """What a token must hold."""
        return frozenset() if self.needs in (ATTEMPT, FREE) else frozenset(self.needs.split("+"))


TABLE = [
    Row("GET /agents/status", "read", 200),
    Row("GET /alerts", "read", 200),
    Row("GET /audit", "admin", 200),
    Row("GET /audit/verify", "admin", 200),
    Row("GET /breakers", "read", 200),
    Row("GET /budgets", "read", 200),
    Row("GET /coverage/status", "read", 200),
    Row("GET /merges", "read", 200),
    Row("GET /merges/freedom", "read", 404, query="?repository=0nobody"),
    Row("GET /merges/<check_id>", "merge", 404),
    Row("GET /merges/<check_id>/follow", "merge", 404),
    Row("GET /metrics", "read", 200),
    Row("GET /metrics/dashboard", "read", 200),
    Row("GET /mode", "read", 200),
    Row("GET /reports", "read", 200),
    Row("GET /runners", "read", 200),
    Row("GET /schedules", "read", 200),
    Row("GET /schedules/<name>/why", "read", 404),
    Row("GET /spend", "read", 200),
    Row("GET /spend/prices", "read", 200),
    Row("GET /tasks/queue", "read", 200),
    Row("GET /tasks/<task_id>", "read", 200),
    Row("GET /tasks/<task_id>/log", "read", 200),
    Row("GET /tasks/<task_id>/why", "read", 200),
    Row("POST /alerts/<cause>/acknowledge", "operate", 404),
    Row("POST /breakers/<scope>/force-open", "operate", 200, {}),
    Row("POST /breakers/<scope>/force-closed", "admin", 200, {"for": "1m"}),
    Row("POST /breakers/<scope>/reset", "operate", 200, {}),
    Row("POST /budgets/<scope>/reset", "operate", 404, {"reason": "mended"}),
    Row("POST /hooks/merge", "merge", 404, {"repository": "0nobody", "folder": "/", "event": "post-merge"}),
    Row("POST /merges/requests", "merge", 404, {"repository": "0nobody", "folder": "/", "topic": "feature"}),
    Row("POST /merges/approve", "operate", 404, {"repository": "0nobody", "reason": "mended"}),
    Row("POST /merges/<check_id>/confirm", ATTEMPT, 404, {"old": "a" * 40, "new": "b" * 40}),
    Row("POST /merges/<check_id>/leave", "merge", 404, {}),
    Row("POST /merges/<check_id>/undone", "operate", 404, {}),
    Row("POST /queue/pause", "operate", 200, {}),
    Row("POST /queue/resume", "operate", 200, {}),
    Row("POST /queue/clear", "operate", 200, {}),
    Row("POST /queue/undo", "operate", 404, {"clearing_id": "0"}),
    Row("POST /runners/<name>/drain", "operate", 200, {}),
    Row("POST /runners/<name>/resume", "operate", 200, {}),
    Row("POST /schedules/<name>/pause", "operate", 404, {}),
    Row("POST /schedules/<name>/resume", "operate", 404, {}),
    Row("POST /schedules/<name>/run", "submit", 404, {}),
    Row("POST /spend/caps", "admin", 200, {"scope": "fleet", "per": "day", "dollars": "5"}),
    Row("POST /spend/correct", "operate", 404, {"task_id": "0" * 26, "fence": 1, "key": "k", "dollars": "1"}),
    Row("POST /spend/reserve", ATTEMPT, 400, {"key": "k", "provider": "acme", "model": "words-1", "input_tokens": 1}),
    Row("POST /spend/extend", ATTEMPT, 404, {"key": "k", "input_tokens": 2}),
    Row("POST /spend/settle", ATTEMPT, 404, {"key": "k", "dollars": "1"}),
    Row("POST /spend/release", ATTEMPT, 404, {"key": "k"}),
    Row("POST /tasks/queue", "submit", 201, {"agent": "goes"}),
    Row("POST /tasks/<task_id>/cancel", "cancel+read", 200, {}),
    Row("POST /tasks/<task_id>/retry", "submit", 201, {}),
    Row("POST /tasks/<task_id>/decide", "operate", 409, {"decision": "failed"}),
    Row("POST /mode", "read+cancel", 200, {"mode": "GUARDED"}),
    Row("POST /mode/stop", "cancel", 200, {}),
    Row("POST /mode/resume", "operate", 200, {}),
]
"""Written by hand: a route without its row here fails the test."""

PLACES = {"<scope>": "agent:nobody", "<cause>": "breaker:agent:nobody", "<name>": "one", "<check_id>": "0" * 26}
OPEN = {"GET /health", "GET /openapi.json", "GET /", "POST /session", "POST /session/end"}
"""They have something to say to others too, and are tried one by one below."""


class Uncounted(FailedAttempts):
    """Without it most of the 401 would be 429, as they should."""

    def record(self, source: str, *, at: float) -> timedelta | None:
        return None


@contextmanager
def gateway_of(workspace: Workspace) -> Iterator[OpenAPI]:
    """The gateway in this process, before the services of a workspace."""
    settings, clock = load(GatewaySettings, workspace=workspace, environ={}), SystemClock()
    services = Services(workspace, channels=2, deadline=settings.deadline, clock=clock)
    access_log = AccessLog(workspace.logs / "access.log", bytes_max=1_000_000, files_max=2)
    state = Gateway(
        settings=settings,
        address=Address("127.0.0.1", PORT),
        clock=clock,
        services=services,
        drain=Drain(),
        sessions=Sessions(random_bytes),
        attempts=Uncounted(),
        bodies=Bodies(settings.gateway_body_bytes_max),
        access_log=access_log,
        slots=StreamSlots(2),
    )
    try:
        yield create_app(state)
    finally:
        services.close()
        access_log.close()


def routes_of(app: OpenAPI) -> set[str]:
    """Every route with every method, HEAD left out: it is asked wherever GET is."""
    rules = app.url_map.iter_rules()
    return {f"{method} {rule.rule}" for rule in rules for method in (rule.methods or set()) - {"HEAD"}}


def documented_of(app: OpenAPI) -> dict[str, bool]:
    """Every operation of the OpenAPI document, and whether it says that it needs a token."""
    paths = app.api_doc["paths"]
    return {
        f"{method.upper()} {path.replace('{', '<').replace('}', '>')}": operation["security"] == [{"token": []}]
        for path, operations in paths.items()
        for method, operation in operations.items()
    }


async def test_every_route_with_every_kind_of_token(tmp_path: Path) -> None:
    wanted = {row.scopes for row in TABLE if row.scopes} | {EVERY_SCOPE, frozenset({"submit"})}
    wanted |= {EVERY_SCOPE - {scope} for row in TABLE for scope in row.scopes}
    async with doors(tmp_path, wanted) as at:
        with gateway_of(at.system.workspace) as app:
            app.add_url_rule("/forgotten", view_func=str)
            assert routes_of(app) - OPEN - {row.route for row in TABLE} >= {"GET /forgotten"}, "it would be seen"
        with gateway_of(at.system.workspace) as app:
            rows = {row.route for row in TABLE}
            assert routes_of(app) == rows | OPEN
            needs = documented_of(app)
            assert {route for route, token in needs.items() if token} == rows | {"GET /openapi.json"}
            assert {route for route, token in needs.items() if not token} == {"GET /health"}
            seen = await asyncio.to_thread(try_all, app, at)
            free = await asyncio.to_thread(try_open, app, at)
    differ = {key: f"{got}, not {answer}" for key, (got, answer) in seen.items() if got != answer}
    print(f"{len(TABLE)} routes, {len(seen)} requests: {dict(Counter(got for got, _ in seen.values()))}")
    assert differ == {}
    assert len(seen) >= len(TABLE) * 12
    assert free == EXPECTED_OF_OPEN


def try_all(app: OpenAPI, at: Doors) -> dict[tuple[str, str], tuple[int, int]]:
    """What each route answers to each text, and what it should."""
    client, seen = app.test_client(), {}
    for column in ("worthless", "wrong", "right"):  # what opens comes last: some of it changes how the system stands
        for row in TABLE:
            for name, (text, answer) in shown(at, row, column).items():
                method, path = row.route.replace("<task_id>", at.ended_task).split()
                for place, name_there in PLACES.items():
                    path = path.replace(place, name_there)
                path += row.query
                if column == "worthless" and method == "POST":
                    seen[f"{row.route} with a wrong body", name] = (ask(client, method, path, text, {"x": 1}), answer)
                for one in ("HEAD", "GET") if method == "GET" else (method,):
                    seen[f"{one} {row.route.split()[1]}", name] = (ask(client, one, path, text, row.body), answer)
    return seen


def shown(at: Doors, row: Row, column: str) -> dict[str, tuple[str | None, int]]:
    """What is shown at a route, by its kind, and the status that is right."""
    keyring = at.keyring
    if column == "worthless":
        return {name: (text, 401) for name, text in keyring.worthless().items()}
    if column == "wrong" and row.needs == ATTEMPT:
        # To the coordinator, where it takes an attempt's credential, a token is a text that nobody knows.
        return {"a token": (keyring.with_scopes(EVERY_SCOPE), refused_to_tokens(row.route))}
    if column == "wrong":
        without = {f"without {scope}": (keyring.with_scopes(EVERY_SCOPE - {scope}), 403) for scope in row.scopes}
        return {**without, "attempt": (keyring.attempt, refused_to_attempts(row.route))}
    text = keyring.attempt if row.needs == ATTEMPT else keyring.with_scopes(row.scopes)
    return {"right": (text, row.own)}


def refused_to_attempts(route: str) -> int:
    """Safety knows attempts and lets them spend alone; to the coordinator theirs is a text that nobody knows."""
    of_safety = ("alerts", "audit", "breakers", "budgets", "mode", "spend")
    return 403 if route.split("/")[1].split("?")[0] in of_safety else 401


def refused_to_tokens(route: str) -> int:
    """The same the other way round."""
    return 401 if "/merges/" in route else 403


def ask(client: FlaskClient, method: str, path: str, text: str | None, body: object = None) -> int:
    headers = {} if text is None else {"X-Auth-Token": text}
    base = f"http://localhost:{PORT}"
    with client.open(path, method=method, base_url=base, headers=headers, json=body) as answer:
        return answer.status_code


EXPECTED_OF_OPEN = {
    "GET /health": {"none": 200, "malformed": 401, "unknown": 401, "expired": 401, "revoked": 401}
    | {"submit alone": 403, "attempt": 401, "every scope": 200},
    "GET /openapi.json": {"none": 401, "malformed": 401, "unknown": 401, "expired": 401, "revoked": 401}
    | {"submit alone": 200, "attempt": 401, "every scope": 200},
    "GET /": {"none": 401, "malformed": 401, "unknown": 401, "expired": 401, "revoked": 401}
    | {"submit alone": 403, "attempt": 401, "every scope": 200},
    # Forms: without the key of a page that we made they do nothing, whoever asks.
    "POST /session": {"none": 403, "malformed": 401, "unknown": 403, "expired": 403, "revoked": 403}
    | {"submit alone": 403, "attempt": 403, "every scope": 403},
    "POST /session/end": {"none": 303, "malformed": 401, "unknown": 303, "expired": 303, "revoked": 303}
    | {"submit alone": 303, "attempt": 303, "every scope": 303},
}


def try_open(app: OpenAPI, at: Doors) -> dict[str, dict[str, int]]:
    """The same for those that have something to say to others too; any good token opens the OpenAPI document."""
    keyring = at.keyring
    texts = {
        "none": None,
        "malformed": keyring.malformed[0],
        "unknown": keyring.unknown,
        "expired": keyring.expired,
        "revoked": keyring.revoked,
        "submit alone": keyring.with_scopes({"submit"}),
        "attempt": keyring.attempt,
        "every scope": keyring.with_scopes(EVERY_SCOPE),
    }
    client = app.test_client()
    return {
        f"{method} {path}": {name: ask(client, method, path, text) for name, text in texts.items()}
        for method, path in (route.split() for route in sorted(OPEN))
    }
