"""Error budgets over HTTP: what is left, how fast it burns, what is in force, a new beginning; and for Prometheus."""

from __future__ import annotations

from tests.gateway.conftest import Front


def test_each_budget_says_what_is_left_and_how_fast_it_burns(front: Front) -> None:
    fleet, agent = front.get("/budgets").get_json()["budgets"]
    assert (fleet["scope"], fleet["left"], fleet["grade"], fleet["evidence"]) == ("fleet", 0.5, "normal", None)
    assert fleet["windows"] == [{"minutes": 60, "attempts": 0, "failures": 0, "burn": None}], "unknown is never 0"
    assert (agent["left"], agent["windows"][0]["burn"], agent["grade"]) == (-19, 20, "spent")
    assert (agent["since"], agent["thaws_at"]) == ("2026-01-01T00:00:00Z", "2026-01-08T00:00:00Z")
    assert agent["forgiven_at"] is None


def test_only_those_for_which_something_is_in_force(front: Front) -> None:
    found = front.get("/budgets?not_normal=1").get_json()["budgets"]
    assert [budget["scope"] for budget in found] == ["agent:build"]


def test_a_reset_takes_its_reason_along(front: Front) -> None:
    answer = front.post("/budgets/agent:build/reset", json={"reason": "the disk was full"})
    assert answer.get_json()["budget"]["left"] == 1
    (said,) = front.world.budgets_reset.values()
    assert said.startswith("the disk was full, says ")


def test_a_reset_without_a_reason_or_of_nothing_is_refused(front: Front) -> None:
    assert front.post("/budgets/agent:build/reset", json={"reason": ""}).status_code == 400
    assert front.post("/budgets/agent:build/reset", json={}).status_code == 400
    assert front.post("/budgets/agent:other/reset", json={"reason": "x"}).status_code == 404
    assert front.post("/budgets/..%2f/reset", json={"reason": "x"}).status_code in (400, 404)


def test_prometheus_has_them_too(front: Front) -> None:
    text = front.get("/metrics").get_data(as_text=True)
    assert 'quantum_error_budget_left_ratio{scope="agent:build"} -19.0' in text
    assert 'quantum_error_budget_burn{scope="agent:build",window="60m"} 20.0' in text
    assert 'quantum_error_budget_burn{scope="fleet"' not in text, "what is not known is left out"
    assert 'quantum_error_budgets{grade="spent"} 1.0' in text
