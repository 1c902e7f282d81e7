"""Log lines: JSON in the file, text on the terminal, never a token."""

from __future__ import annotations

import fcntl
import io
import json
import logging
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from foundation.ids import random_bytes
from foundation.log import configure, get_logger, json_line
from foundation.log_files import LogFile
from foundation.tokens import mint


class Terminal(io.StringIO):
    """A stream that takes itself for a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def loggers_as_before() -> Iterator[None]:
    root = logging.getLogger()
    level = root.level
    yield
    configure("test", system_log=None, debug=False)
    for handler in list(root.handlers):
        if type(handler) is logging.StreamHandler:
            root.removeHandler(handler)
    root.setLevel(level)


def read_lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_the_system_log_holds_one_json_object_per_line(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "system.log"
    configure("coordinator", system_log=path, debug=False)
    log = get_logger("coordinator.store")
    log.info("Task 7 was stored.", action="task_stored", task="7", rows=3)
    log.warning("Two\nlines, 100 %.", action="odd", service="stolen", path=Path("/x"))
    log.debug("Nobody asked.", action="detail")
    first, second = read_lines(path)
    assert list(first) == ["at", "level", "service", "action", "message", "task", "rows"]
    assert first["at"].endswith("Z")
    del first["at"], second["at"]
    assert first == {
        "level": "info",
        "service": "coordinator.store",
        "action": "task_stored",
        "message": "Task 7 was stored.",
        "task": "7",
        "rows": 3,
    }
    assert second["message"] == "Two\nlines, 100 %."
    assert (second["service"], second["path"]) == ("coordinator.store", "/x")


def test_an_exception_is_written_with_its_traceback(tmp_path: Path) -> None:
    path = tmp_path / "system.log"
    configure("safety", system_log=path, debug=False)
    log = get_logger("safety")
    try:
        raise ValueError("bad")
    except ValueError as caught:
        log.exception("It broke.", action="broke")
        error = caught
    log.exception("Said later.", action="broke", error=error)
    assert all("ValueError: bad" in line["exception"] for line in read_lines(path))
    assert len(read_lines(path)) == 2


def test_no_token_is_ever_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    token = mint(random_bytes).text
    path, terminal = tmp_path / "system.log", Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    configure("gateway", system_log=path, debug=True)
    log = get_logger("gateway")
    log.info(f"Got {token}.", action="got", token=token, deep={"headers": [token]}, raw=token.encode())
    try:
        raise RuntimeError(f"with {token}")
    except RuntimeError:
        log.exception("It broke.", action="broke")
    logging.getLogger("some.library").error("header %s", token)
    for text in (path.read_text(), terminal.getvalue()):
        assert token not in text and token.split("_")[2] not in text
        assert text.count("qtm_…") >= 5


def test_lines_of_libraries_go_the_same_way_from_warning_up(tmp_path: Path) -> None:
    path = tmp_path / "system.log"
    configure("runner", system_log=path, debug=True)
    logging.getLogger("some.library").info("chatter")
    logging.getLogger("some.library").warning("trouble with %s", "it")
    (line,) = read_lines(path)
    assert (line["service"], line["action"], line["message"]) == ("runner", "library", "trouble with it")


def test_a_terminal_gets_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    configure("gateway", system_log=tmp_path / "system.log", debug=False)
    get_logger("gateway").info("Listening.", action="listening", port=5005)
    get_logger("gateway").error("No \x1b[2J more.", action="no_more")
    first, second = terminal.getvalue().splitlines()
    assert first[8:] == " gateway: Listening. port=5005"
    assert second[8:] == " gateway: ERROR No \\x1b[2J more."


def test_without_a_terminal_text_goes_only_where_nothing_else_would(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for system_log, debug, shown in (
        (tmp_path / "system.log", False, False),
        (tmp_path / "system.log", True, True),
        (None, False, True),
    ):
        stream = io.StringIO()
        monkeypatch.setattr(sys, "stderr", stream)
        configure("x", system_log=system_log, debug=debug)
        get_logger("x").info("Here.", action="here")
        assert ("Here." in stream.getvalue()) is shown


def test_the_system_log_is_its_users_alone_also_after_a_rotation(tmp_path: Path) -> None:
    path = tmp_path / "system.log"
    configure("x", system_log=path, debug=False)
    get_logger("x").info("Before.", action="before")
    path.unlink()
    get_logger("x").info("Begun.", action="begun")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_after_a_rotation_lines_go_to_a_new_file(tmp_path: Path) -> None:
    path = tmp_path / "system.log"
    configure("x", system_log=path, debug=False)
    get_logger("x").info("Before.", action="before")
    os.rename(path, tmp_path / "system.log.1")
    get_logger("x").info("After.", action="after")
    assert [line["action"] for line in read_lines(path)] == ["after"]
    assert [line["action"] for line in read_lines(tmp_path / "system.log.1")] == ["before"]


def test_several_processes_write_one_file_without_tearing_lines(tmp_path: Path) -> None:
    path = tmp_path / "system.log"
    write = (
        "import sys; from pathlib import Path; from foundation.log import configure, get_logger, json_line\n"
        "configure(sys.argv[2], system_log=Path(sys.argv[1]), debug=False)\n"
        "for size in range(0, 20_000, 100): get_logger(sys.argv[2]).info('x' * size, action='write', size=size)"
    )
    writers = [subprocess.Popen([sys.executable, "-c", write, str(path), name]) for name in ("one", "two", "three")]
    assert [writer.wait(60) for writer in writers] == [0, 0, 0]
    lines = read_lines(path)
    assert len(lines) == 600
    assert all(len(line["message"]) == line["size"] for line in lines)


def test_nothing_in_a_line_acts_on_a_terminal_and_a_program_reads_it_as_it_was(tmp_path: Path) -> None:
    text = "ü\x1b[2J\x9b2J\u202e\u2028\n\N{GRINNING FACE}\U000e0001"
    line = json_line({"path": text})
    assert line.isprintable() and "ü" in line and json.loads(line) == {"path": text}
    configure("test", system_log=tmp_path / "system.log", debug=False)
    get_logger("test").info(text, action="shown", name=text)
    written = (tmp_path / "system.log").read_text()
    assert written.removesuffix("\n").isprintable() and json.loads(written)["name"] == text


def test_a_line_that_a_killed_process_left_half_written_is_not_the_beginning_of_ours(tmp_path: Path) -> None:
    path = tmp_path / "agent_a.log"
    LogFile(path, bytes_max=1_000, files_max=1).append(b"whole\n")
    path.write_bytes(path.read_bytes() + b"half of a li")
    log = LogFile(path, bytes_max=1_000, files_max=1)
    assert not log.append(b"ours\n") and not log.append(b"and on\n")
    assert path.read_bytes() == b"whole\nhalf of a li\nours\nand on\n"


def test_whose_line_it_is_cannot_be_told_while_others_write(tmp_path: Path) -> None:
    path = tmp_path / "agent_a.log"
    path.write_bytes(b"others are just writ")
    with path.open("ab") as writing:
        fcntl.flock(writing, fcntl.LOCK_SH)
        log = LogFile(path, bytes_max=1_000, files_max=1)
        log.append(b"\n")
    log.append(b"ours\n")
    assert path.read_bytes() == b"others are just writ\nours\n"
