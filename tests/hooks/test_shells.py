"""The hooks run by each shell that may be /bin/sh: Debian's dash, bash as macOS has it, busybox."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from cli.hooks.scripts import EVENTS, FORWARD, GUARD, SCRIPTS
from tests.hooks.gateway import ID, Gateway
from tests.hooks.scene import Scene
from tests.hooks.test_waiting import left_over, start
from tests.programs import require
from tests.waiting import PATIENCE_SECONDS, eventually

SHELLS = {"dash": ("dash",), "bash": ("bash", "--posix"), "busybox": ("busybox", "sh")}
ALL = (*EVENTS, FORWARD, GUARD)


def found(name: str) -> tuple[str, ...]:
    """The shell's command line."""
    program, *more = SHELLS[name]
    return (require(program), *more)


@pytest.mark.parametrize("name", SHELLS)
@pytest.mark.parametrize("script", ALL)
def test_it_can_be_read(name: str, script: str) -> None:
    done = subprocess.run([*found(name), "-n", str(SCRIPTS / script)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_shellcheck_finds_nothing() -> None:
    paths = [str(SCRIPTS / name) for name in ALL]
    # 1091: it does not look for the file that lies beside the hook.
    done = subprocess.run(
        [require("shellcheck"), "-s", "sh", "-e", "1091", *paths], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "")


def by(scene: Scene, name: str) -> None:
    """Let git run the installed hooks by this shell."""
    for event in EVENTS:
        hook = scene.top / ".git" / "hooks" / event
        _, rest = hook.read_text().split("\n", 1)
        hook.write_text(f"#!{' '.join(found(name))}\n{rest}")


@pytest.mark.parametrize("name", SHELLS)
def test_it_asks_and_waits(guarded: Scene, served: Gateway, name: str) -> None:
    by(guarded, name)
    guarded.diverge()
    said = guarded.git("merge", "topic")
    assert [one["folder"] for one in served.checks] == [str(guarded.top)]
    assert said.err == (
        "quantum: The merge is checked.\nquantum: runs the smoke test\nquantum: the merge is good: 1 of 1 runs green\n"
    )


@pytest.mark.parametrize("name", SHELLS)
async def test_it_is_left(guarded: Scene, served: Gateway, name: str) -> None:
    by(guarded, name)
    served.hangs = "follow"
    guarded.diverge()
    merging = start(guarded, "merge", "topic")
    await eventually(served.following.is_set, "the hook follows the check")
    os.killpg(merging.pid, signal.SIGINT)
    _, said = merging.communicate(timeout=PATIENCE_SECONDS)
    expected = f"quantum: you left: the check goes on in the background, and only reports. quantum merge show {ID}"
    assert said.splitlines()[-1] == expected
    assert "erminated" not in said
    await eventually(served.left.is_set, "the check hears of it")
    await eventually(lambda: not left_over(merging.pid), "nothing of it runs")


@pytest.mark.parametrize("name", SHELLS)
def test_it_forwards(scene: Scene, name: str, tmp_path: Path) -> None:
    shell = found(name)
    hooks = tmp_path / "hooks"
    hooks.mkdir()
    (hooks / "commit-msg").write_text('#!/bin/sh\necho "$0 $1"; cat; exit 7\n')
    (hooks / "commit-msg").chmod(0o755)
    ours = tmp_path / "ours"
    ours.mkdir()
    (ours / "quantum-before").write_text(f"{hooks}\n")
    for hook in ("commit-msg", "pre-push"):
        shutil.copy(SCRIPTS / FORWARD, ours / hook)
    said = scene.run(*shell, str(ours / "commit-msg"), "message", given="standard input")
    assert (said.code, said.out) == (7, f"{hooks / 'commit-msg'} message\nstandard input")
    assert scene.run(*shell, str(ours / "pre-push"), given="much").code == 0
