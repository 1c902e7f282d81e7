"""A warden whose own loop fails leaves no tree without a guard, also where its runner does nothing about it."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.agent_runner.warden import reaping
from services.agent_runner.warden.protocol import Spawned
from services.agent_runner.warden.this_host import this_host
from tests.runner.support import WardenUnderTest
from tests.waiting import CLOCK, until

PROGRAMS = {
    "calm": "sleep 600",
    "deaf": "trap '' TERM; while :; do sleep 600; done",
    "child": "sleep 600 & wait",
    "escaped": "env -i setsid sleep 600 & exec sleep 600",
    "stopped": "kill -STOP $$",
}
PROCESSES = 9


def fail(folder: Path, mode: str, **environ: str) -> tuple[WardenUnderTest, list[int]]:
    """Let a warden fail with trees of all kinds; it, gone, and which of their processes there had been."""
    fault = folder / "fault"
    warden = WardenUnderTest(
        folder,
        environ={"FAULT": str(fault), **environ},
        module="tests.runner.faulty_warden",
        kernel_limits="auto" if mode == "kernel" else "off",
    )
    host = this_host()
    try:
        warden.send(*(warden.order(warden.shell(text), key, lease=600.0) for key, text in PROGRAMS.items()))
        for _ in PROGRAMS:
            warden.expect(Spawned)
        until(lambda: len(host.of_run(warden.mark)) >= PROCESSES, "all their processes")
        before = host.of_run(warden.mark)
    finally:
        fault.touch()
        warden.wait_gone()
    return warden, before


@pytest.mark.parametrize("mode", ["kernel", "supervised"])
def test_it_ends_every_tree_and_says_why(tmp_path: Path, mode: str, capfd: pytest.CaptureFixture[str]) -> None:
    warden, before = fail(tmp_path, mode)
    left = this_host().of_run(warden.mark)
    said = capfd.readouterr().err
    print(f"{mode}: of {len(before)} processes {len(left)} are left")
    assert left == []
    assert warden.exit_code == 70
    assert "warden: the warden has failed (KeyError: 'nobody has foreseen this', at __main__.py:" in said
    assert "Traceback" not in said


@pytest.mark.parametrize("mode", ["kernel", "supervised"])
def test_control_without_a_last_resort_they_go_on(tmp_path: Path, mode: str) -> None:
    warden, _ = fail(tmp_path, mode, LAST_RESORT="none")
    left = this_host().of_run(warden.mark)
    reaping.end_run(this_host(), warden.mark, CLOCK, grace=0.0)
    print(f"{mode}: without a last resort {len(left)} processes are left")
    assert warden.exit_code == 70
    assert len(left) >= PROCESSES
