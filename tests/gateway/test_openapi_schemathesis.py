"""The OpenAPI document against the gateway: no 5xx and nothing that it does not document, with and without a token."""

from __future__ import annotations

from collections import defaultdict
from contextlib import closing
from typing import Any, cast

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, Verbosity, given, seed, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from werkzeug.wsgi import ClosingIterator

from gateway.wiring import WsgiApp
from tests.gateway.conftest import BASE, Front
from tests.gateway.stand_in_merges import REPOSITORY

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
EXAMPLES_PER_OPERATION = 12
DONE = {"GET /tasks/{task_id}/log": 200, "GET /merges/{check_id}/follow": 200, "POST /hooks/merge": 202}
"""What must not only have been refused."""
UNDOCUMENTED = ("page.",)
"""Pages for people, which are no part of the document."""


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
@pytest.mark.parametrize("token", ["good", "none", "unknown"])
def test_the_document_is_true(front: Front, mode: GenerationMode, token: str) -> None:
    front.backstage.end_logs()
    known = {"task_id": front.submit()["id"], "check_id": _ended_check(front)}
    headers = {"good": front.headers, "none": {}, "unknown": {"X-Auth-Token": "qtm_nobody"}}[token]
    schema = schemathesis.openapi.from_dict(front.get("/openapi.json").get_json())
    schema.app = _closing(front.app)
    operations = [result.ok() for result in schema.get_all_operations() if isinstance(result, Ok)]
    assert len(operations) == _operations(front)
    sent, answered = 0, defaultdict[str, set[int]](set)
    for operation in operations:

        @seed(20261122)
        @settings(
            max_examples=EXAMPLES_PER_OPERATION if token == "good" else 3,
            phases=[Phase.generate],
            deadline=None,
            database=None,
            verbosity=Verbosity.quiet,
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy(generation_mode=mode))
        def ask(case: Any) -> None:
            nonlocal sent
            sent += 1
            if sent % 2:  # what is there
                case.path_parameters = {
                    name: known.get(name, value) for name, value in (case.path_parameters or {}).items()
                }
                if isinstance(case.body, dict) and isinstance(case.body.get("repository"), str):
                    case.body["repository"] = REPOSITORY
            case.headers = {**(case.headers or {}), **headers}
            if token == "none":
                case.headers.pop("X-Auth-Token", None)
            answered[case.operation.label].add(case.call_and_validate(base_url=BASE, checks=CHECKS).status_code)

        try:
            ask()
        except Unsatisfiable:
            # What takes nothing can be sent nothing wrong.
            assert mode is GenerationMode.NEGATIVE, operation.label
    assert sent > 10
    if token == "good" and mode is GenerationMode.POSITIVE:
        for label, status in DONE.items():
            assert status in answered[label], (label, answered[label])


def _closing(app: WsgiApp) -> WsgiApp:
    """The application behind a server that reads each answer to its end and closes it, as servers do."""

    def serve(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        with closing(cast(ClosingIterator, app(environ, start_response))) as answer:
            return list(answer)

    return serve


def _ended_check(front: Front) -> str:
    """The id of a check that can be followed to its end."""
    hook = {"repository": REPOSITORY, "folder": "/app", "event": "post-merge"}
    check: str = front.post("/hooks/merge", json=hook).get_json()["check"]["id"]
    front.backstage.run(front.world.merges.end_badly(check))
    return check


def _operations(front: Front) -> int:
    """How many operations the gateway routes, so that none can be left out of the document."""
    rules = [rule for rule in front.app.url_map.iter_rules() if not rule.endpoint.startswith(UNDOCUMENTED)]
    return sum(len((rule.methods or set()) - {"HEAD", "OPTIONS"}) for rule in rules)
