"""The workspace's authority where a part of it was lost, or a crash came between its two halves."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography import x509

import cli.keys.authority
from cli.keys.authority import make_authority
from foundation.authority import Authority
from foundation.clock import SystemClock
from foundation.secrets import AUTHORITY_KEY, FileStore, SecretStore, user_account
from foundation.signing_apart import open_authority
from foundation.workspace import Workspace

NOW = SystemClock().now()


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "ws")


@pytest.fixture
def secrets(tmp_path: Path) -> SecretStore:
    return FileStore(tmp_path / "secrets")


def issued(authority: Authority, workspace: Workspace) -> x509.Certificate:
    pem = authority.issue(workspace.key12, "user", "ann", now=NOW)
    own, of_authority = x509.load_pem_x509_certificates(pem)
    own.verify_directly_issued_by(of_authority)
    return own


def test_a_lost_certificate_is_written_anew_and_what_was_issued_stays_good(
    workspace: Workspace, secrets: SecretStore
) -> None:
    assert make_authority(workspace, secrets, now=NOW)
    assert not make_authority(workspace, secrets, now=NOW)
    kept = issued(open_authority(workspace, secrets), workspace)
    workspace.authority.unlink()
    assert make_authority(workspace, secrets, now=NOW)
    kept.verify_directly_issued_by(x509.load_pem_x509_certificate(workspace.authority.read_bytes()))


def test_a_crash_between_key_and_certificate_leaves_an_authority_that_can_be_mended(
    workspace: Workspace, secrets: SecretStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_authority(workspace, secrets, now=NOW)
    secrets.delete(AUTHORITY_KEY, user_account(workspace))

    def crash(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(cli.keys.authority, "atomic_write", crash)
        make_authority(workspace, secrets, now=NOW)
    assert make_authority(workspace, secrets, now=NOW)
    issued(open_authority(workspace, secrets), workspace)
