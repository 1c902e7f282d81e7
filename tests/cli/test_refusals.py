"""A file that one may not touch: whose it is, and what to do instead."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from cli.workspace.refusals import refused
from foundation.workspace import Workspace
from tests.cli.conftest import Quantum


def refusal(path: Path) -> PermissionError:
    return PermissionError(errno.EACCES, "Permission denied", str(path))


def test_in_another_users_workspace_the_owner_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cli.workspace.refusals.os.geteuid", lambda: os.getuid() + 1)
    said = refused(refusal(tmp_path / "not" / "there"))
    assert said.message == f"{tmp_path}/not/there may not be read or written by you."
    assert "work as that user" in said.remedy


def test_ones_own_file_has_wrong_rights(tmp_path: Path) -> None:
    assert "ls -ld" in refused(refusal(tmp_path / "file")).remedy


def test_a_refusal_without_a_file_is_a_sentence_too() -> None:
    assert refused(PermissionError(errno.EPERM, "Operation not permitted")).message.endswith("Operation not permitted.")


def test_what_runs_in_a_foreign_workspace_is_not_to_be_removed(
    quantum: Quantum, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime = Workspace(folder).runtime

    def no(self: Path) -> bytes:
        raise refusal(self)

    monkeypatch.setattr(Path, "read_bytes", no)
    said = quantum("down")
    assert said.code == 77
    assert str(runtime) in said.err
    assert "remove" not in said.err
