"""How a process begins and ends below a service manager: its lock, its record, and codes that end a restart loop."""

from __future__ import annotations

import argparse
import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from foundation.errors import Conflict, Denied, Internal, Invalid, NotFound, QuantumError, Unavailable
from foundation.process_identity import identity_of
from foundation.unit import add_options, run_process, until_free
from foundation.workspace import Workspace, WorkspaceLock
from tests.waiting import PATIENCE_SECONDS, until


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    (tmp_path / "config").mkdir()
    made = Workspace(tmp_path)
    made.config_file.write_text("{}")
    yield made


def given(workspace: Workspace, *words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_options(parser)
    return parser.parse_args(["--workspace", str(workspace.root), *words])


ERRORS: list[tuple[QuantumError, int, int]] = [
    (Invalid("bad_settings", "A setting is wrong."), 78, 0),
    (NotFound("no_database", "There is no database."), 78, 0),
    (Denied("not_ours", "That is not ours."), 77, 0),
    (Conflict("taken", "It is taken."), 69, 69),
    (Unavailable("away", "It is away."), 1, 1),
    (Internal("fault", "A fault of ours."), 1, 1),
]


@pytest.mark.parametrize(("error", "code", "below_launchd"), ERRORS, ids=lambda value: getattr(value, "code", ""))
def test_an_error_is_a_sentence_and_a_code(
    workspace: Workspace, error: QuantumError, code: int, below_launchd: int, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(_: Workspace) -> int:
        raise error

    for words, expected in (((), code), (("--unit", "systemd"), code), (("--unit", "launchd"), below_launchd)):
        assert run_process("safety", given(workspace, *words), fail) == expected
        assert capsys.readouterr().err == f"{error.message}\n"
        assert error.message in workspace.system_log.read_text().splitlines()[-1]


def test_a_unit_holds_the_workspace_with_others_and_says_who_it_is(workspace: Workspace) -> None:
    seen = {}

    def work(_: Workspace) -> int:
        record = json.loads((workspace.units / "runner-local.json").read_bytes())
        assert record == {"pid": os.getpid(), "identity": identity_of(os.getpid())}
        with WorkspaceLock(workspace.lock_file, shared=True):
            seen["beside another unit"] = True
        with pytest.raises(Conflict, match="Services of the operating system") as refused:
            WorkspaceLock(workspace.lock_file).acquire()
        assert "quantum service stop" in refused.value.remedy
        return 7

    unit = given(workspace, "--unit", "systemd")
    assert run_process("agent_runner", unit, work, record="runner-local") == 7
    assert seen and not list(workspace.units.iterdir())
    # The control: what is no unit holds nothing, and writes nothing down.
    assert run_process("agent_runner", given(workspace), lambda _: WorkspaceLock(workspace.lock_file).acquire()) == 0
    assert not list(workspace.units.iterdir())


def test_a_unit_waits_for_a_workspace_that_somebody_holds(workspace: Workspace) -> None:
    began = threading.Event()
    holder = WorkspaceLock(workspace.lock_file)
    holder.acquire()
    unit = threading.Thread(
        target=lambda: run_process("safety", given(workspace, "--unit", "systemd"), lambda _: began.set())
    )
    unit.start()
    log = workspace.system_log
    try:
        until(lambda: log.exists() and '"action": "unit_waits"' in log.read_text(), "it says that it waits")
        assert not began.is_set()
    finally:
        holder.release()
    assert began.wait(PATIENCE_SECONDS)
    unit.join(PATIENCE_SECONDS)


def test_a_unit_waits_for_what_others_have_and_nobody_else_does() -> None:
    answers = iter([Conflict("port_in_use", "Port 5005 is in use."), None])

    def take() -> str:
        if (error := next(answers)) is not None:
            raise error
        return "taken"

    with pytest.raises(Conflict):
        until_free(None, "gateway", take)
    answers = iter([Conflict("port_in_use", "Port 5005 is in use."), None])
    assert until_free("systemd", "gateway", take) == "taken"
