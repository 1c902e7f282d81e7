"""The params of a task as people see them: what its manifest calls secret is for the runner alone."""

import json

from services.coordinator.domain.agent import AgentSpec

HIDDEN = "•••"


def shown_params(params: str, agent: AgentSpec | None) -> str:
    """A JSON object with the agent's `secret_params` hidden.

    Every value is, where nobody can tell which are secret: the agent is gone, or its manifest is faulty.
    """
    if params == "{}" or (agent is not None and not agent.faults and not agent.secret_params):
        return params
    known = agent.secret_params if agent is not None and not agent.faults else None
    values: dict[str, object] = json.loads(params)
    hidden = {name: HIDDEN if known is None or name in known else value for name, value in values.items()}
    return json.dumps(hidden, ensure_ascii=False)
