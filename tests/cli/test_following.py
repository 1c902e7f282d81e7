"""How `run` ends for each end of a task, and the live line that is drawn only where a person sees it."""

from __future__ import annotations

import io
import os
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from cli.output.live import LiveLine, Output
from cli.tasks.following import exit_code, last_line
from clients.coordinator_values import TaskState
from tests.cli.fakes import A_TASK


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"state": TaskState.SUCCEEDED, "exit_code": 0}, 0),
        ({"state": TaskState.SUCCEEDED}, 0),
        ({"state": TaskState.FAILED, "exit_code": 7}, 7),
        ({"state": TaskState.FAILED, "signal": 9}, 137),
        ({"state": TaskState.FAILED}, 1),
        ({"state": TaskState.CANCELLED, "signal": 15}, 130),
        ({"state": TaskState.DEAD, "exit_code": 127}, 127),
        ({"state": TaskState.DEAD}, 78),
        ({"state": TaskState.NEEDS_DECISION, "signal": 9}, 79),
    ],
)
def test_exit_codes(changes: dict[str, Any], code: int) -> None:
    assert exit_code(replace(A_TASK, **changes)) == code


def test_the_last_line_says_how_and_why() -> None:
    task = replace(A_TASK, state=TaskState.FAILED, exit_code=7, duration=timedelta(seconds=75), reason="Exited with 7.")
    assert last_line(task) == "build failed, exit 7 after 1 min 15 s (task t1): Exited with 7."


def test_nothing_is_drawn_where_nobody_sees_it() -> None:
    stream = io.StringIO()
    line = LiveLine(stream, shown=False)
    line.draw("build running")
    line.erase()
    assert stream.getvalue() == ""


def test_the_live_line_is_erased_before_anything_else() -> None:
    stream = io.StringIO()
    line = LiveLine(stream, shown=True)
    line.draw("build queued")
    line.erase()
    line.erase()
    assert stream.getvalue().count("\x1b[K") == 2
    assert stream.getvalue().endswith("\r\x1b[K")


def test_bytes_go_out_as_they_are() -> None:
    stream = io.BytesIO()
    output = Output(stream)
    output.write(b"\xff\x00 no newline")
    assert (stream.getvalue(), output.at_line_start) == (b"\xff\x00 no newline", False)
    output.write(b"\n")
    assert output.at_line_start


def test_a_reader_that_has_gone_does_not_end_us(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "dup2", lambda *_: None)
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb", buffering=0) as stream:
        output = Output(stream)
        output.write(b"nobody reads this")
        output.write(b"nor this")
