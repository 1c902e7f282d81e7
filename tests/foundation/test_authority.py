"""Certificates, identities and addresses as values: what is issued, what is refused, and with which sentence."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from foundation.authority import Authority, describe
from foundation.clock import SystemClock
from foundation.errors import Invalid, NotFound, QuantumError
from foundation.identity import IdentityFile
from foundation.rpc.tls import parse_listen

WORKSPACE = "0123456789ab"
NOW = SystemClock().now()


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority.make(WORKSPACE, now=NOW)


def test_a_certificate_says_whose_it_is_and_how_long(authority: Authority) -> None:
    pem = authority.issue(
        WORKSPACE, "runner", "box-2", now=NOW, lifetime=timedelta(hours=2), hosts=("box-2", "10.0.0.2")
    )
    said = describe(pem)
    assert (said.role, said.name) == ("runner", "box-2")
    assert said.ends_at == (NOW + timedelta(hours=2)).replace(microsecond=0)
    assert said.half_life_at() < said.ends_at
    assert describe(authority.certificate).role == ""


def test_no_certificate_outlives_the_authority() -> None:
    old = Authority.make(WORKSPACE, now=NOW - timedelta(days=5 * 365 - 1))
    assert describe(old.issue(WORKSPACE, "user", "x", now=NOW)).ends_at <= describe(old.certificate).ends_at


@pytest.mark.parametrize(
    ("role", "name", "lifetime"),
    [
        ("root", "x", timedelta(days=1)),
        ("user", "../x", timedelta(days=1)),
        ("user", "", timedelta(days=1)),
        ("user", "x", timedelta(days=398)),
        ("user", "x", timedelta(0)),
    ],
)
def test_what_cannot_be_issued_is_refused(authority: Authority, role: str, name: str, lifetime: timedelta) -> None:
    with pytest.raises(Invalid):
        authority.issue(WORKSPACE, role, name, now=NOW, lifetime=lifetime)


@pytest.mark.parametrize("host", ["safety.quantum.internal", "SAFETY.quantum.internal.", "*.quantum.internal"])
def test_nobody_gets_the_name_of_another_role(authority: Authority, host: str) -> None:
    with pytest.raises(Invalid, match="name of a role"):
        authority.issue(WORKSPACE, "user", "ann", now=NOW, hosts=(host,))


def test_a_file_that_is_no_identity_is_refused_with_the_line_that_mends_it(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="quantum ca renew"):
        IdentityFile(tmp_path / "none.pem").current()
    (tmp_path / "bad.pem").write_text("nonsense")
    with pytest.raises(Invalid, match="0 private keys"):
        IdentityFile(tmp_path / "bad.pem").current()


@pytest.mark.parametrize(("text", "parsed"), [("0.0.0.0:5006", ("0.0.0.0", 5006)), ("[::]:0", ("::", 0))])
def test_an_address_is_read(text: str, parsed: tuple[str, int]) -> None:
    assert parse_listen(text, "coordinator_listen") == parsed


@pytest.mark.parametrize("text", ["5006", ":5006", "host:", "host:x", "host:65536"])
def test_what_is_no_address_is_refused_by_the_setting_s_name(text: str) -> None:
    with pytest.raises(QuantumError, match="coordinator_listen"):
        parse_listen(text, "coordinator_listen")
