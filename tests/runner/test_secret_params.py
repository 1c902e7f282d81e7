"""Params that a manifest calls secret: no arguments, and masked in what the script prints."""

from __future__ import annotations

from clients.attachment_values import AttemptRef, Lease, LeaseTerms
from foundation.masking import MARK, forms_of, masked
from services.agent_runner.domain.orders import arguments, secret_params

TERMS = LeaseTerms(agent="a", project="", script="/s", folder="/", params_as_arguments=True)
PARAMS = '{"password": "correct horse", "pin": 12, "nested": {"key": "battery"}, "user": "ada"}'


def lease(*secret: str) -> Lease:
    return Lease(AttemptRef("t", 1), 1, TERMS._replace(secret_params=secret), PARAMS)


def test_a_secret_param_is_no_argument() -> None:
    assert arguments(lease("password", "nested")) == ["--pin", "12", "--user", "ada"]
    assert "correct horse" in arguments(lease())


def test_what_can_be_told_from_ordinary_text_is_masked() -> None:
    hidden = secret_params(lease("password", "nested", "pin", "absent"))
    assert hidden == ("correct horse", '{"key": "battery"}')
    forms = forms_of(hidden)
    assert forms is not None
    assert masked(b'It is "correct%20horse" in {"key": "battery"}.', forms) == b'It is "%b" in %b.' % (MARK, MARK)
    assert secret_params(lease()) == ()
