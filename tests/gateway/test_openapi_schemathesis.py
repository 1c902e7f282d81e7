"""The OpenAPI document against the gateway: no 5xx and nothing that it does not document, with and without a token."""

from __future__ import annotations

from typing import Any

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

from tests.gateway.conftest import BASE, Front

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
EXAMPLES_PER_OPERATION = 12
UNDOCUMENTED = ("page.",)
"""Pages for people, which are no part of the document."""


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
@pytest.mark.parametrize("token", ["good", "none", "unknown"])
def test_the_document_is_true(front: Front, mode: GenerationMode, token: str) -> None:
    front.backstage.end_logs()
    first = front.submit()["id"]
    headers = {"good": front.headers, "none": {}, "unknown": {"X-Auth-Token": "qtm_nobody"}}[token]
    schema = schemathesis.openapi.from_dict(front.get("/openapi.json").get_json())
    schema.app = front.app
    operations = [result.ok() for result in schema.get_all_operations() if isinstance(result, Ok)]
    assert len(operations) == _operations(front)
    sent = 0
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
            if sent % 2 and "task_id" in (case.path_parameters or {}):
                case.path_parameters["task_id"] = first  # one that is there
            case.headers = {**(case.headers or {}), **headers}
            if token == "none":
                case.headers.pop("X-Auth-Token", None)
            case.call_and_validate(base_url=BASE, checks=CHECKS)

        try:
            ask()
        except Unsatisfiable:
            # What takes nothing can be sent nothing wrong.
            assert mode is GenerationMode.NEGATIVE, operation.label
    assert sent > 10


def _operations(front: Front) -> int:
    """How many operations the gateway routes, so that none can be left out of the document."""
    rules = [rule for rule in front.app.url_map.iter_rules() if not rule.endpoint.startswith(UNDOCUMENTED)]
    return sum(len((rule.methods or set()) - {"HEAD", "OPTIONS"}) for rule in rules)
