"""What a result says of sandbox and secrets."""

from __future__ import annotations

from clients.attachment_values import LeaseTerms, LimitUse, Sandbox
from services.agent_runner.domain.reach import Confinement, reach, unreachable

_TERMS = LeaseTerms(agent="a", project="", script="/s", interpreter=(), folder="/", params_as_arguments=False, env=())
_HERE = Confinement("bubblewrap", "", True)


def test_outside_of_both_secrets_are_reachable() -> None:
    assert reach(_TERMS, _HERE) == (LimitUse("secrets", 0, "none", "reachable"),)
    as_user = _TERMS._replace(run_as="user")
    # A runner that is not root has no rights to take away: the script is the same user as before.
    assert reach(as_user, _HERE._replace(root=False)) == (LimitUse("secrets", 0, "none", "reachable"),)
    assert unreachable(as_user, _HERE._replace(root=False, level="")) == ""


def test_in_a_sandbox_or_as_another_user_they_are_not() -> None:
    out = LimitUse("secrets", 0, "kernel", "out of reach")
    assert reach(_TERMS._replace(sandbox=Sandbox()), _HERE) == (LimitUse("sandbox", 0, "kernel", "bubblewrap"), out)
    assert reach(_TERMS._replace(run_as="user"), _HERE) == (out,)


def test_what_cannot_be_had_is_refused() -> None:
    nothing = Confinement("", "bubblewrap is not installed", True)
    assert "bubblewrap is not installed" in unreachable(_TERMS._replace(sandbox=Sandbox()), nothing)
    assert unreachable(_TERMS._replace(run_as="user"), nothing._replace(level="landlock"))
    assert unreachable(_TERMS, nothing) == ""
