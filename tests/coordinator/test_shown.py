"""What people see of a task's params."""

import json

import pytest

from services.coordinator.domain.agent import AgentSpec
from services.coordinator.domain.shown import HIDDEN, shown_params

PARAMS = json.dumps({"password": {"old": 1}, "user": "ada"})


def test_what_the_manifest_calls_secret_is_hidden_whatever_it_is() -> None:
    agent = AgentSpec(name="a", secret_params=("password", "never given"))
    assert json.loads(shown_params(PARAMS, agent)) == {"password": HIDDEN, "user": "ada"}
    assert shown_params(PARAMS, AgentSpec(name="a")) == PARAMS


@pytest.mark.parametrize("agent", [None, AgentSpec(name="a", faults=("Its manifest is not TOML.",))])
def test_where_nobody_can_tell_everything_is_hidden(agent: AgentSpec | None) -> None:
    assert json.loads(shown_params(PARAMS, agent)) == {"password": HIDDEN, "user": HIDDEN}
    assert shown_params("{}", agent) == "{}"
