"""Agents' logs: every line with its time and task, rotated by size under whoever reads them; a flood is left out."""

from __future__ import annotations

import asyncio
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

from cli.logs.tailing import Tail
from foundation.clock import Clock, ManualClock, SystemClock
from foundation.log_files import files_of, open_log
from services.agent_runner.adapters.agent_logs import _BURST_BYTES_MAX, LogFiles
from tests.waiting import eventually

CLOCK = SystemClock()


def _logs(folder: Path, bytes_max: int = 65536, files_max: int = 3, clock: Clock = CLOCK) -> LogFiles:
    return LogFiles(folder, clock, asyncio.get_running_loop(), bytes_max=bytes_max, files_max=files_max)


def _texts(folder: Path) -> Iterator[str]:
    """The texts of all lines in the order in which they were written, oldest file first."""
    for path in files_of(folder / "agent_a.log"):
        with open_log(path) as file:
            for line in file:
                yield line.decode().split(" ", 2)[2].removesuffix("\n")


async def test_it_is_rotated_by_size_and_the_newest_are_kept(tmp_path: Path) -> None:
    logs = _logs(tmp_path)
    for number in range(4000):
        logs.write("a", "task", f"{number:04} {'x' * 100}\n")
        if number % 100 == 0:
            logs.flush()
    logs.flush()
    sizes = {path.name: path.stat().st_size for path in tmp_path.iterdir()}
    print(sizes)
    assert len(sizes) == 4 and "agent_a.log" in sizes, "the one that is written to, and three before it"
    assert max(sizes.values()) <= 65536
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o600}
    numbers = [int(text[:4]) for text in _texts(tmp_path)]
    assert numbers == list(range(numbers[0], 4000)) and numbers[0] > 0


async def test_a_reader_sees_every_line_over_rotations(tmp_path: Path) -> None:
    logs, path = _logs(tmp_path), tmp_path / "agent_a.log"
    logs.write("a", "task", "first\n")
    logs.flush()
    tail, seen = Tail(path), []
    seen += tail.last(10)
    follower = await asyncio.create_subprocess_exec("tail", "-n", "+1", "-F", path, stdout=PIPE, stderr=DEVNULL)
    assert follower.stdout is not None
    try:
        rotations, inode = 0, path.stat().st_ino
        heard = [await follower.stdout.readline()]
        for number in range(3000):
            logs.write("a", "task", f"{number} {'x' * 60}\n")
            if number % 150 == 149:
                logs.flush()
                rotations += path.stat().st_ino != inode
                inode = path.stat().st_ino
                seen += tail.more()
                # tail -F looks once a second: it is given the time to, for it is not ours.
                heard += [await follower.stdout.readline() for _ in range(150)]
    finally:
        follower.terminate()
        await follower.wait()
        tail.close()
    print(f"{rotations} rotations, {len(seen)} and {len(heard)} lines read")
    assert rotations >= 4
    numbers = [line.split(b" ")[2].decode() for line in seen]
    assert numbers == ["first", *map(str, range(3000))]
    assert [line.split()[2].decode() for line in heard] == numbers


async def test_a_reader_that_looks_late_reads_what_was_renamed_meanwhile(tmp_path: Path) -> None:
    logs, path = _logs(tmp_path), tmp_path / "agent_a.log"
    logs.write("a", "task", "first\n")
    logs.flush()
    tail = Tail(path)
    seen = tail.last(10)
    for number in range(1000):
        logs.write("a", "task", f"{number} {'x' * 100}\n")
        if number % 100 == 99:
            logs.flush()
    renamed = len(list(tmp_path.iterdir())) - 1
    seen += tail.more()
    tail.close()
    assert renamed >= 2, "renamed more than once since the last look"
    assert [line.split()[2].decode() for line in seen] == ["first", *map(str, range(1000))]


async def test_two_runners_rotate_one_log_and_lose_nothing(tmp_path: Path) -> None:
    one, other = _logs(tmp_path, files_max=100), _logs(tmp_path, files_max=100)
    for number in range(2000):
        (one if number % 2 else other).write("a", "task", f"{number} {'x' * 100}\n")
        if number % 50 == 49:
            one.flush()
            other.flush()
    assert sorted(int(text.split()[0]) for text in _texts(tmp_path)) == list(range(2000))
    assert len(list(tmp_path.iterdir())) > 3


async def test_a_flood_is_left_out_and_said(tmp_path: Path) -> None:
    clock = ManualClock()
    logs = _logs(tmp_path, bytes_max=1 << 20, files_max=2, clock=clock)
    piece = "y\n" * (1 << 16)
    written = 0
    while written < 20:
        logs.write("a", "task", piece)
        written += 1
    logs.write("quiet", "other", "a line\n")
    logs.flush()
    size = sum(path.stat().st_size for path in tmp_path.iterdir())
    last = list(_texts(tmp_path))[-1]
    print(f"{written * len(piece)} bytes of output, {size} bytes of logs; {last}")
    assert "came too fast to be logged" in last and "quantum logs task" in last
    assert size < _BURST_BYTES_MAX
    assert (tmp_path / "agent_quiet.log").read_text().endswith(" other a line\n")

    def calm() -> bool:
        clock.advance(timedelta(seconds=0.1))
        logs.write("a", "task", "z" * 5000 + "\n")
        logs.flush()
        return list(_texts(tmp_path))[-1].startswith("zzz")

    await eventually(calm, "it is logged again")
