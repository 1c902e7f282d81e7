"""What a script gets, and what becomes of one that cannot be started."""

from __future__ import annotations

import os
import stat
import subprocess

import pytest

from services.agent_runner.warden.protocol import Refused
from tests.programs import require
from tests.runner.support import WardenUnderTest

_LOOK = """#!/usr/bin/env python3
import os
files = [f"/proc/self/fd/{number}" for number in range(20)]
print(os.getsid(0), os.getpid(), os.getcwd(), *(os.readlink(file) for file in files if os.path.lexists(file)))
"""


def test_exit_code_and_signal(warden: WardenUnderTest) -> None:
    ended = warden.run(warden.shell("echo out; echo err >&2; exit 3"))
    assert os.waitstatus_to_exitcode(ended.status) == 3
    assert (ended.cause, ended.tree_dead, ended.stragglers) == ("exit", True, 0)
    assert warden.output(ended.slot) == b"out\nerr\n"
    ended = warden.run(warden.shell("kill -SEGV $$"), "b")
    assert os.waitstatus_to_exitcode(ended.status) == -11


def test_environment_is_the_short_list(warden: WardenUnderTest) -> None:
    ended = warden.run(warden.shell("env | cut -d= -f1 | sort"), variables={"QUANTUM_TASK_ID": "t"}, names=["LET_ME"])
    names = set(warden.output(ended.slot).decode().split())
    assert {"PATH", "HOME", "LANG", "LET_ME", "QUANTUM_TASK_ID", "QUANTUM_RUN"} <= names
    assert {"QUANTUM_PARAMS", "QUANTUM_REPORT", "QUANTUM_WORKDIR"} <= names
    assert "QUANTUM_SECRET_OF_OURS" not in names and "PYTHONPATH" not in names


def test_session_files_and_folder(warden: WardenUnderTest) -> None:
    script = warden.script("look.py", _LOOK)
    ended = warden.run(script)
    session, pid, folder, *files = warden.output(ended.slot).decode().split()
    out = str(warden.folder / "slots" / str(ended.slot) / "out")
    assert session == pid
    assert folder == str(warden.scripts)
    assert files == ["/dev/null", out, out]
    mode = (warden.folder / "slots" / str(ended.slot) / "out").stat().st_mode
    assert stat.S_IMODE(mode) == 0o600


def test_params_are_a_private_file_and_do_not_outlive_the_attempt(warden: WardenUnderTest) -> None:
    ended = warden.run(warden.shell('stat -c %a "$QUANTUM_PARAMS"; cat "$QUANTUM_PARAMS"'), params='{"password": "x"}')
    assert warden.output(ended.slot) == b'600\n{"password": "x"}'
    assert not (warden.folder / "slots" / str(ended.slot) / "params.json").exists()
    warden.release(ended.slot)
    again = warden.run(warden.shell('cat "$QUANTUM_PARAMS"'), "b")
    assert again.slot == ended.slot and warden.output(again.slot) == b"{}"


def test_slots_are_used_again_and_carry_nothing_over(warden: WardenUnderTest) -> None:
    first = warden.run(warden.shell('echo secret; touch "$QUANTUM_WORKDIR/x"; echo {} > "$QUANTUM_REPORT"'))
    assert first.reported
    warden.release(first.slot)
    second = warden.run(warden.shell('ls -A "$QUANTUM_WORKDIR"; ls "$QUANTUM_REPORT" 2>/dev/null; echo end'), "b")
    assert second.slot == first.slot
    assert not second.reported
    assert warden.output(second.slot) == b"end\n"


def test_a_slot_that_was_not_released_is_left_alone(warden: WardenUnderTest) -> None:
    first = warden.run(warden.shell("echo one"))
    second = warden.run(warden.shell("echo two"), "b")
    assert first.slot != second.slot
    assert warden.output(first.slot) == b"one\n"


@pytest.mark.parametrize(
    ("text", "mode", "words"),
    [
        ("echo no shebang\n", 0o755, "first line"),
        ("#!/bin/sh\n", 0o644, "not executable"),
        ("#!/no/such/interpreter\n", 0o755, "interpreter"),
    ],
)
def test_what_cannot_be_run_is_refused_as_configuration(
    warden: WardenUnderTest, text: str, mode: int, words: str
) -> None:
    warden.send(warden.order(warden.script("bad.sh", text, mode)))
    refused = warden.expect(Refused)
    assert refused.cause == "configuration" and words in refused.sentence


def test_missing_script_folder_and_program(warden: WardenUnderTest) -> None:
    script = warden.shell("true")
    warden.send(
        warden.order(warden.scripts / "gone.sh", "a"),
        warden.order(script, "b", folder="/no/such/folder"),
        warden.order(script, "c", argv=["no-such-program", str(script)]),
        warden.order(script, "d", argv=["sh", str(script)]),
    )
    said = {key: warden.expect(Refused, lambda r, key=key: r.key == key) for key in "abc"}  # type: ignore[misc]
    assert {refused.cause for refused in said.values()} == {"configuration"}
    assert "does not exist" in said["a"].sentence
    assert "/no/such/folder" in said["b"].sentence
    assert "PATH" in said["c"].sentence
    assert warden.ended("d").status == 0


@pytest.mark.parametrize("text", ["a\0b", "a\ud800b"])
@pytest.mark.parametrize("field", ["arguments", "argv", "folder", "sandbox"])
def test_text_that_the_system_does_not_take_is_refused(warden: WardenUnderTest, field: str, text: str) -> None:
    wrong = {"arguments": [text], "argv": [text], "folder": text, "sandbox": ([text], [], [], True)}
    changes: dict[str, object] = {field: wrong[field]}
    warden.send(warden.order(warden.shell("true"), "a", **changes))
    assert warden.expect(Refused).cause == "configuration"
    assert os.waitstatus_to_exitcode(warden.run(warden.shell("exit 3"), "b").status) == 3


def test_limits_beyond_what_the_kernel_counts_are_none(warden: WardenUnderTest) -> None:
    ended = warden.run(warden.shell("exit 3"), memory_bytes=1 << 62, processes_max=10_000_000)
    assert os.waitstatus_to_exitcode(ended.status) == 3


def test_open_files_are_limited(warden: WardenUnderTest) -> None:
    ended = warden.run(warden.shell("ulimit -n; ulimit -c"), open_files_max=123)
    assert warden.output(ended.slot) == b"123\n0\n"


def test_peak_memory_and_cpu_are_measured(warden: WardenUnderTest) -> None:
    script = warden.script("big.py", "#!/usr/bin/env python3\nx = b'x' * 100_000_000\nsum(range(2_000_000))\n")
    ended = warden.run(script)
    assert ended.status == 0
    assert ended.peak_bytes > 100_000_000
    assert ended.cpu_seconds > 0.01


def test_many_at_once(warden: WardenUnderTest) -> None:
    script = warden.shell("echo $QUANTUM_TASK_ID")
    keys = [f"k{number}" for number in range(40)]
    warden.send(*(warden.order(script, key, variables={"QUANTUM_TASK_ID": key}) for key in keys))
    for key in keys:
        ended = warden.ended(key)
        output = ended.output if ended.slot < 0 else warden.output(ended.slot)
        assert output.decode().strip() == key


@pytest.mark.parametrize(
    "text",
    [
        'slot=$(dirname "$QUANTUM_WORKDIR"); rm -r "$slot"; touch "$slot"',
        'slot=$(dirname "$QUANTUM_WORKDIR"); rm -r "$slot"; ln -s "$slot-aim" "$slot"; mkdir -p "$slot-aim/kept"',
        'rm -r "$QUANTUM_WORKDIR"; ln -s / "$QUANTUM_WORKDIR"; rm "$QUANTUM_PARAMS"; mkdir -p "$QUANTUM_PARAMS/a/b"',
        'mkdir -p "$QUANTUM_REPORT/a/b"; chmod 0 "$QUANTUM_REPORT/a" "$QUANTUM_WORKDIR"',
    ],
)
def test_whatever_a_script_makes_of_its_slot_the_next_one_runs(warden: WardenUnderTest, text: str) -> None:
    warden.release(warden.run(warden.shell(text)).slot)
    ended = warden.run(warden.shell('test "$(cat "$QUANTUM_PARAMS")" = "{}" && cd "$QUANTUM_WORKDIR" && exit 3'), "b")
    assert os.waitstatus_to_exitcode(ended.status) == 3
    aim = warden.folder / "slots" / "0-aim"
    assert not aim.exists() or (aim / "kept").exists(), "what a link leads to is left alone"


def test_a_folder_that_the_system_does_not_let_go_of_is_no_place_for_the_next_one(warden: WardenUnderTest) -> None:
    require("chattr", "e2fsprogs")
    work = warden.folder / "slots" / "0" / "work"
    held = warden.shell('touch "$QUANTUM_WORKDIR/x"; chattr +i "$QUANTUM_WORKDIR"')
    try:
        ended = warden.run(held)
        if ended.status:
            pytest.skip("nothing can be made immutable here")
        warden.release(ended.slot)
        assert warden.run(warden.shell("true"), "b").slot == 1
    finally:
        for path in (work, *warden.folder.glob("slots/trash-*/*/work")):
            subprocess.run(["chattr", "-i", path], stderr=subprocess.DEVNULL)
