"""A script in a sandbox: how it ends, what it is refused, what it may write, and that limits and signals reach it."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.agent_runner.warden.boxes import Means
from services.agent_runner.warden.protocol import End, Pause, Paused, Refused, Resume, Spawned
from services.agent_runner.warden.sandbox import Level
from tests.programs import require
from tests.runner.sandboxes import CLOSED, Sandbox, SandboxUnderTest


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxUnderTest]:
    """A warden with bubblewrap."""
    require("bwrap", "bubblewrap")
    box = SandboxUnderTest(tmp_path_factory.mktemp("sandbox"))
    assert box.warden.ready.confinement[0] == "bubblewrap", box.warden.ready.confinement
    yield box
    box.close()


@pytest.fixture
def box(shared: SandboxUnderTest) -> SandboxUnderTest:
    """The same one, with an empty project."""
    shutil.rmtree(shared.project)
    shared.project.mkdir()
    return shared


def test_exit_code_signal_output_params_and_report(box: SandboxUnderTest) -> None:
    ended = box.start(
        'cat "$QUANTUM_PARAMS"; echo x > "$QUANTUM_WORKDIR/x"; echo {} > "$QUANTUM_REPORT"; echo err >&2; exit 3',
        params='{"a": 1}',
    )
    assert os.waitstatus_to_exitcode(ended.status) == 3
    assert box.said(ended) == '{"a": 1}err\n'
    assert (ended.cause, ended.reported, ended.tree_dead, ended.stragglers) == ("exit", True, True, 0)
    ended = box.start("kill -SEGV $$", "b")
    assert os.waitstatus_to_exitcode(ended.status) == -signal.SIGSEGV


def test_a_script_that_is_ended_has_its_grace_and_its_own_exit(box: SandboxUnderTest) -> None:
    script = box.warden.shell("trap 'echo ended; exit 7' TERM; echo ready; while :; do sleep 0.05; done")
    box.warden.send(box.warden.order(script, folder=str(box.project), sandbox=CLOSED))
    spawned = box.warden.expect(Spawned)
    box.warden.wait_output(spawned.slot, b"ready")
    box.warden.send(End("a", "cancel", "cancelled"))
    ended = box.warden.ended()
    assert (os.waitstatus_to_exitcode(ended.status), ended.cause, ended.tree_dead) == (7, "cancel", True)
    assert "ended" in box.said(ended)


def test_one_that_ignores_the_order_is_killed(box: SandboxUnderTest) -> None:
    script = box.warden.shell("trap '' TERM; echo ready; while :; do sleep 0.05; done")
    box.warden.send(box.warden.order(script, folder=str(box.project), sandbox=CLOSED, grace=0.3))
    spawned = box.warden.expect(Spawned)
    box.warden.wait_output(spawned.slot, b"ready")
    box.warden.send(End("a", "cancel", "cancelled"))
    ended = box.warden.ended()
    assert (ended.cause, ended.tree_dead) == ("cancel", True)
    assert os.waitstatus_to_exitcode(ended.status) == -signal.SIGKILL


def test_what_outlives_its_script_is_told_and_ended(box: SandboxUnderTest) -> None:
    begun = 'until [ "$(cat /proc/$!/comm)" = sleep ]; do :; done'
    ended = box.start(f"setsid sleep 100 & {begun}; exit 0", grace=0.3)
    assert (ended.status, ended.cause, ended.tree_dead, ended.stragglers) == (0, "exit", True, 1)
    assert any("sleep" in name for name in ended.straggler_names)
    # The control: the sandbox's own first process is no straggler.
    assert all(box.start("exit 0", f"k{number}").stragglers == 0 for number in range(5))


def test_it_is_paused_and_goes_on(box: SandboxUnderTest) -> None:
    script = box.warden.shell('echo ready; while [ ! -e "$QUANTUM_WORKDIR/go" ]; do sleep 0.05; done; echo done')
    box.warden.send(box.warden.order(script, folder=str(box.project), sandbox=CLOSED))
    spawned = box.warden.expect(Spawned)
    box.warden.wait_output(spawned.slot, b"ready")
    box.warden.send(Pause("a"))
    assert box.warden.expect(Paused).paused
    (box.state / "runner" / "slots" / str(spawned.slot) / "work" / "go").touch()
    box.warden.send(Resume("a"))
    assert not box.warden.expect(Paused).paused
    assert box.said(box.warden.ended()).endswith("done\n")


def test_limits_hold_what_is_inside(box: SandboxUnderTest) -> None:
    script = box.warden.script(
        "big.py", "#!/usr/bin/env python3\nx = b'x' * 300_000_000\nprint(len(x))\nwhile 1: pass\n"
    )
    folder = str(box.project)
    ended = box.warden.run(script, folder=folder, sandbox=CLOSED, memory_bytes=100_000_000, grace=0.3)
    assert (ended.cause, ended.tree_dead) == ("memory", True)
    ended = box.start("i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done", "b")
    assert ended.cpu_seconds > 0.05, "what the script used is counted, not what waits for it"


def test_it_writes_where_it_may_and_nowhere_else(box: SandboxUnderTest) -> None:
    (box.project / "build").mkdir()
    own = Path(f"/tmp/own-{os.urandom(8).hex()}")
    text = f"echo x > build/x; echo x > y; echo x > {box.root}/agents/z; echo x > {own} && ls {own}"
    code, said = box.run(text, sandbox=(["build"], [], [], False))
    assert code == 0 and said.count("Read-only") == 1 and str(own) in said
    assert [path.name for path in box.project.rglob("*")] == ["build", "x"]
    # Below /tmp it writes into a /tmp of its own.
    assert not own.exists() and not (box.root / "agents" / "z").exists()
    # The control.
    box.run("echo x > y", "b", sandbox=None)
    assert (box.project / "y").exists()


def test_with_read_it_sees_only_that(box: SandboxUnderTest) -> None:
    (box.project / "open").mkdir()
    (box.project / "open" / "a").write_text("seen")
    (box.project / "b").write_text("unseen")
    text = "cat open/a; cat b; find /home /root /var -type f; python3 -c 'print(1)'"
    code, said = box.run(text, sandbox=([], ["open"], [], False))
    assert code == 0 and "seen" in said and "unseen" not in said and said.endswith("1\n")
    # Where folders of ours are below them, they are there, and empty.
    assert not [line for line in said.splitlines() if line.startswith(("/home", "/root", "/var"))], said


@pytest.mark.parametrize(
    ("write", "words"),
    [
        ("missing", "mkdir -p"),
        ("/", "which is none"),
        ("../workspace/agents", "leads out of"),
        ("link", "leads out of"),
        ("/proc/sys", "no sandbox may"),
        ("/dev", "no sandbox may"),
        ("{root}/.quantum", "protected"),
        ("{root}/config", "protected"),
        (".git/hooks", "protected"),
    ],
)
def test_what_cannot_be_granted_is_refused(box: SandboxUnderTest, write: str, words: str) -> None:
    (box.project / "link").symlink_to("/etc")
    (box.project / ".git" / "hooks").mkdir(parents=True)
    sandbox: Sandbox = ([write.format(root=box.root)], [], [], False)
    box.warden.send(box.warden.order(box.warden.shell("true"), folder=str(box.project), sandbox=sandbox))
    refused = box.warden.expect(Refused)
    assert refused.cause == "configuration" and words in refused.sentence


@pytest.mark.parametrize(
    ("text", "mode", "words"),
    [
        ("echo no shebang\n", 0o755, "first line"),
        ("#!/bin/sh\n", 0o644, "not executable"),
        ("#!/no/such/interpreter\n", 0o755, "interpreter"),
    ],
)
def test_what_cannot_be_run_is_refused_as_without_a_sandbox(
    box: SandboxUnderTest, text: str, mode: int, words: str
) -> None:
    box.warden.send(box.warden.order(box.warden.script("bad.sh", text, mode), folder=str(box.project), sandbox=CLOSED))
    refused = box.warden.expect(Refused)
    assert refused.cause == "configuration" and words in refused.sentence


def test_where_nothing_can_be_had_it_is_refused_with_what_to_install() -> None:
    nothing = Means(Level.NONE, "", "bubblewrap is not installed (sudo apt-get install bubblewrap)", True)
    assert "apt-get install bubblewrap" in nothing.refusal(sandbox=True, run_as=False)
    assert "apt-get install bubblewrap" in nothing.refusal(sandbox=False, run_as=True)
    assert nothing.refusal(sandbox=False, run_as=False) == ""
    # Not root: there are no rights that could be taken away.
    assert nothing._replace(root=False).refusal(sandbox=False, run_as=True) == ""
    second = nothing._replace(level=Level.LANDLOCK)
    assert second.refusal(sandbox=True, run_as=False) == "" and second.refusal(sandbox=False, run_as=True)


def test_another_user_uses_the_slot_and_has_no_rights() -> None:
    require("bwrap", "bubblewrap")
    if os.geteuid():
        pytest.skip("only root has rights that run_as takes away")
    folder = Path(tempfile.mkdtemp(prefix="quantum-user-", dir="/var/tmp"))
    box = SandboxUnderTest(folder)
    try:
        looks = 'id -u; grep CapEff /proc/self/status; cat "$QUANTUM_PARAMS"'
        text = f'{looks}; echo {{}} > "$QUANTUM_REPORT"; echo x > "$QUANTUM_WORKDIR/x"'
        ended = box.start(text, sandbox=None, run_as="user")
        assert (ended.status, ended.reported) == (0, True)
        uid, _, capabilities, params = box.said(ended).split()
        assert int(uid) != 0 and int(capabilities, 16) == 0 and params == "{}"
        box.warden.release(ended.slot)
        # The slot serves root again, in a sandbox without the right to override modes.
        ended = box.start('cat "$QUANTUM_PARAMS"; echo x > "$QUANTUM_WORKDIR/x"; id -u', "b")
        assert (ended.status, box.said(ended)) == (0, "{}0\n")
    finally:
        box.close()
        shutil.rmtree(folder)
