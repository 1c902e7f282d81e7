"""A full disk under the logs and the kept outputs: nobody fails of it, nothing is torn, and what is missing is said."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from foundation.clock import SystemClock
from foundation.log import configure, get_logger
from foundation.log_files import LogFile, files_of
from services.agent_runner.adapters.agent_logs import LogFiles
from services.agent_runner.adapters.kept_output import OutputBounds, SlotOutputs
from tests.programs import missing
from tests.runner.test_flood import NoLogs

DISK_BYTES = 1 << 20
LINE = b"%06d of many lines, each of which is whole or is not there at all, whatever the disk has to say of it\n"
BOUNDS = OutputBounds(result=2_000, head=100_000, tail=100_000, line=65536, report=1000)


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A folder on a disk of its own, of one megabyte."""
    folder = tmp_path / "small"
    folder.mkdir()
    if os.geteuid() != 0:
        missing("a disk of its own needs root")
    words = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "none", str(folder)]
    mounted = subprocess.run(words, check=False, capture_output=True)
    if mounted.returncode:
        missing(f"nothing can be mounted here: {mounted.stderr.decode().strip()}")
    try:
        yield folder
    finally:
        configure("x", system_log=None, debug=False)
        subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(folder: Path) -> Path:
    """Take all that is left."""
    path = folder / "filler"
    with path.open("ab", buffering=0) as file, suppress(OSError):
        while file.write(bytes(512)):
            pass
    return path


def _written(small: Path) -> tuple[int, bool]:
    """Write until long after the disk is full; returns how often it refused, and whether what stands there is exactly
    what it took."""
    refused, accepted = 0, []
    log = LogFile(small / "a.log", bytes_max=1 << 30, files_max=3, stays_open=True)
    for number in range(10_000):
        try:
            log.append(LINE % number * 7)
            accepted.append(number)
        except OSError:
            refused += 1
    lines = (small / "a.log").read_bytes().splitlines(keepends=True)
    print(f"{len(accepted)} writes taken, {refused} refused; {len(lines)} lines")
    return refused, lines == [LINE % number for number in accepted for _ in range(7)]


def test_a_line_is_there_whole_or_not_at_all(small: Path) -> None:
    refused, exact = _written(small)
    assert refused > 1000, "the rare event did not happen"
    assert exact


def test_control_what_was_half_written_and_stays_is_torn(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LogFile, "_take_back", lambda *_: None)
    refused, exact = _written(small)
    assert refused > 1000 and not exact


async def test_what_agents_printed_meanwhile_is_counted_and_said(small: Path) -> None:
    logs = LogFiles(small, SystemClock(), asyncio.get_running_loop(), bytes_max=1 << 30, files_max=3)
    logs.write("a", "task", "before\n")
    logs.flush()
    filler = fill(small)
    for number in range(200):
        logs.write("a", "task", (LINE % number).decode() * 50)
        logs.flush()
    filler.unlink()
    logs.write("a", "task", "after\n")
    logs.flush()
    [log] = files_of(small / "agent_a.log")
    texts = [line.split(" ", 2)[2] for line in log.read_text().splitlines()]
    print(texts[0], texts[-2:], len(texts))
    assert texts[0] == "before" and texts[-1] == "after"
    said = re.fullmatch(r"… \[(\d+) lines could not be written here: the disk was full\]", texts[-2])
    assert said is not None and int(said[1]) + len(texts) - 3 == 200 * 50


def test_the_system_log_goes_on_and_says_how_much_is_missing(small: Path, capsys: pytest.CaptureFixture[str]) -> None:
    configure("x", system_log=small / "system.log", debug=False)
    log = get_logger("x")
    log.info("Before.", action="before")
    filler = fill(small)
    for _ in range(500):
        log.info("On a full disk " + "x" * 400, action="meanwhile")
    filler.unlink()
    log.info("After.", action="after")
    lines = (small / "system.log").read_text().splitlines()
    assert f'"lines_missing_before": {500 - (len(lines) - 2)}' in lines[-1]
    assert "Traceback" not in capsys.readouterr().err


def test_an_output_that_cannot_be_kept_keeps_its_end(small: Path, tmp_path: Path) -> None:
    slot = tmp_path / "slots" / "0"
    slot.mkdir(parents=True)
    whole = b"".join(LINE % number for number in range(3_000))
    (slot / "out").write_bytes(whole)

    fill(small)
    output = SlotOutputs(tmp_path / "slots", small / "kept", NoLogs(), BOUNDS).open(0, "a", "task", 7)
    output.finish(len(whole))
    assert output.cut and output.total_bytes == len(whole)
    assert output.tail().encode() == whole[-BOUNDS.result :]
    data, offset = output.read(0, 1 << 20)
    assert data == f"\n… [{len(whole) - BOUNDS.result} bytes were cut here]\n".encode() + whole[-BOUNDS.result :]
    assert offset == len(whole)
    assert list((small / "kept").glob("*")) == [], "it leaves its room to others"


def test_kept_outputs_have_a_quota_and_the_oldest_leave_their_end(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / "of-an-earlier-run.out").write_bytes(bytes(200_000))
    outputs = SlotOutputs(tmp_path / "slots", kept, NoLogs(), BOUNDS, bytes_max=1_000_000)
    whole = b"".join(LINE % number for number in range(3_000))
    runs = outputs.open(99, "a", "runs", 1)
    slot = tmp_path / "slots" / "99"
    slot.mkdir(parents=True)
    (slot / "out").write_bytes(whole)
    while runs.read_behind():
        pass
    ended = []
    for number in range(10):
        ended.append(outputs.open(0, "a", f"task{number}", 1))
        ended[-1].take_all(whole)
    names = sorted(path.name for path in kept.iterdir())
    room = sum(path.stat().st_blocks * 512 for path in kept.iterdir())
    print(names, room)
    assert room <= 1_000_000 and "of-an-earlier-run.out" not in names
    assert "runs-1.out" in names and "task9-1.out" in names, "never what is being written, never the newest"
    assert "task0-1.out" not in names and ended[0].tail().encode() == whole[-BOUNDS.result :]
