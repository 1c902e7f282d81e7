"""All logs together stay within their quota, whatever is written and whoever is killed; what is kept is whole."""

from __future__ import annotations

import gzip
import itertools
import random
import re
import signal
import subprocess
import sys
import zlib
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pytest

from foundation.log import get_logger
from foundation.log_files import COMPRESSED, PARTIAL, LogFile, files_of, older_of, open_log
from foundation.log_keeping import LogKeeper, level
from tests.runner.logs_trial import HALFWAY, LINE_BYTES
from tests.runner.support import ROOT
from tests.waiting import CLOCK, PATIENCE_SECONDS, Patience, until

MB = 1 << 20
LOOK_SECONDS_MAX = 0.01
SAMPLES_MIN = 20
MUCH = 1.5
"""So many times the quota is to be written, at least."""
_LINE = re.compile(r"\S+Z task (\d{4})-(\d{10}) (.+)")
_WHOLE = len("2026-11-28T22:05:51.188Z task ") + LINE_BYTES - 1


def start(
    folder: Path, run: int, *, agents: int, rate: int, quota: int, rotate_at: int, how: str = ""
) -> subprocess.Popen[str]:
    """A process that logs like a runner; returns once it has begun."""
    numbers = (run, agents, rate, quota, rotate_at)
    argv = [sys.executable, "-m", "tests.runner.logs_trial", str(folder), *map(str, numbers), how]
    trial = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    assert trial.stdout is not None and trial.stdout.readline() == "ready\n"
    return trial


def stop(trial: subprocess.Popen[str]) -> list[float]:
    """End it cleanly; returns bytes written, seconds, seconds in which it wrote, the longest turn."""
    trial.send_signal(signal.SIGTERM)
    said, _ = trial.communicate(timeout=60)
    assert trial.returncode == 0
    return [float(figure) for figure in said.split()]


def kill(trial: subprocess.Popen[str]) -> None:
    """End it as a power cut would, by its pid."""
    trial.kill()
    trial.communicate(timeout=60)


def room_of(folder: Path) -> int:
    """What `du` says of a folder, in bytes."""
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.lstat().st_blocks * 512
        except FileNotFoundError:
            continue
    return total


@dataclass
class Read:
    """What is kept of one log."""

    lines: int = 0
    runs: set[int] = field(default_factory=set)
    halves: int = 0
    """Lines that a killed process has left half written."""
    faults: list[str] = field(default_factory=list)


def read_kept(path: Path) -> Read:
    """Read one log from its first kept line on: every line whole, every number one more than the one before.

    Half a line may stand only where a process was killed, right before the first line of the next.
    """
    found, last, half = Read(), (-1, -1), ""
    for part in files_of(path):
        try:
            with open_log(part) as file:
                text = file.read().decode()
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            found.faults.append(f"{part.name}: {error}")
            continue
        for line in text.splitlines():
            whole = _LINE.fullmatch(line)
            if whole is None or len(whole[0]) != _WHOLE:
                if half or len(line) > _WHOLE:
                    found.faults.append(f"{part.name}: torn: {line[:80]}")
                half = f"{part.name}: {line[:80]}"
                continue
            run, number = int(whole[1]), int(whole[2])
            begins = run > last[0] and number == 0
            if last != (-1, -1) and (run, number) != (last[0], last[1] + 1) and not begins:
                found.faults.append(f"{part.name}: {run}-{number} follows {last}")
            if half and not begins:
                found.faults.append(f"torn: {half}")
            found.halves += bool(half)
            half = ""
            last = run, number
            found.lines += 1
            found.runs.add(run)
    found.faults += [f"torn: {half}"] if half else []
    return found


def packed(folder: Path) -> tuple[int, list[str]]:
    """How many .gz there are, and which of them are not whole."""
    broken = []
    paths = list(folder.glob("*.gz"))
    for path in paths:
        try:
            with gzip.open(path) as file:
                while file.read(MB):
                    pass
        except (EOFError, zlib.error, gzip.BadGzipFile):
            broken.append(path.name)
    return len(paths), broken


def leftovers(folder: Path) -> list[str]:
    """Names that nothing should have after a clean end: half-written files, and logs that are there in two forms."""
    names = {path.name for path in folder.iterdir()}
    return sorted(name for name in names if name.endswith(PARTIAL) or f"{name}.gz" in names)


def written_to(folder: Path) -> int:
    """How many bytes the first of the agents has written, by the number of its newest line."""
    try:
        tail = (folder / "agent_a000.log").read_bytes()[-4 * LINE_BYTES :]
    except FileNotFoundError:  # it is being renamed
        return 0
    numbers = [int(found[2]) for line in tail.decode().splitlines() if (found := _LINE.fullmatch(line))]
    return max(numbers, default=0) * LINE_BYTES


def flood(folder: Path, *, seconds: float, quota: int, rate: int, how: str = "") -> tuple[int, int, int, list[float]]:
    """Ten agents at a rate; returns the most that the folder took, the most archives that it had, how often it was
    looked at, and the trial's figures."""
    trial = start(folder, 1, agents=10, rate=rate, quota=quota, rotate_at=10 * MB, how=how)
    over_at, patience = CLOCK.boottime() + seconds, Patience(seconds + PATIENCE_SECONDS)
    most = archives = samples = 0
    while CLOCK.boottime() < over_at or samples <= SAMPLES_MIN or written_to(folder) <= MUCH * quota / 10:
        if trial.poll() is not None or patience.spent():
            break
        before = CLOCK.boottime()
        room = room_of(folder)
        # A look that was broken off in the middle has seen the one half before and the other half after.
        if CLOCK.boottime() - before < LOOK_SECONDS_MAX:
            most = max(most, room)
            samples += 1
        archives = max(archives, sum(path.suffix == COMPRESSED for path in folder.iterdir()))
    figures = stop(trial)
    return max(most, room_of(folder)), archives, samples, figures


def _flood_and_check(folder: Path, *, seconds: float, quota: int, rate: int) -> None:
    most, archives, samples, (written, passed, busy, slowest) = flood(folder, seconds=seconds, quota=quota, rate=rate)
    reads = [read_kept(folder / f"agent_a{agent:03}.log") for agent in range(10)]
    kept, (count, broken) = sum(read.lines for read in reads), packed(folder)
    print(
        f"{written / MB:.0f} MB in {passed:.1f} s ({written / passed / MB:.0f} MB/s), {busy / passed:.0%} of it"
        f" writing, longest turn {slowest * 1000:.0f} ms; at most {most / MB:.1f} MB of {quota / MB:.0f} in {samples}"
        f" samples ({most / quota:.1%}); {kept} lines ({kept * 200 / MB:.0f} MB) kept, {count} .gz (up to {archives})"
    )
    # At the end there may be no archive: where the processor is short, the quota is quicker than whoever compresses.
    assert written > MUCH * quota and archives > 0 and samples > SAMPLES_MIN, "the rare event did not happen"
    assert kept * 200 < written, "some of it had to go"
    assert most <= quota * 1.05
    assert [read.faults for read in reads if read.faults] == [] and broken == []
    assert leftovers(folder) == []
    assert all(read.lines for read in reads), "the newest of each is there"


def test_ten_agents_stay_within_the_quota_and_no_line_is_lost_between(tmp_path: Path) -> None:
    _flood_and_check(tmp_path, seconds=2, quota=5 * MB, rate=MB)


@pytest.mark.long
def test_ten_agents_at_five_megabytes_a_second_stay_within_a_hundred(tmp_path: Path) -> None:
    _flood_and_check(tmp_path, seconds=60, quota=100 * MB, rate=5 * MB)


@pytest.mark.long
def test_what_compressing_takes_from_whoever_writes(tmp_path: Path) -> None:
    """In turn with and without, in one run: the throughput stays, and what a megabyte costs its writer is a ratio."""
    figures: dict[str, list[float]] = {"": [], "plain": []}
    written: dict[str, list[float]] = {"": [], "plain": []}
    for number, how in enumerate(["plain", "", "plain", "", "plain", ""]):
        (tmp_path / str(number)).mkdir()
        _, _, _, (size, passed, busy, _) = flood(
            tmp_path / str(number), seconds=8, quota=100 * MB, rate=2 * MB, how=how
        )
        figures[how].append(busy / size * MB * 1e6)
        written[how].append(size / passed / MB)
    with_it, without = min(figures[""]), min(figures["plain"])
    print(
        f"a megabyte of log takes its writer {with_it:.0f} µs, without compressing {without:.0f} µs:"
        f" × {with_it / without:.2f}; {max(written['']):.1f} and {max(written['plain']):.1f} MB/s"
    )
    assert max(written[""]) > 0.95 * max(written["plain"])


def _compressing(folder: Path) -> bool:
    """Whether a log is there in two forms just now, or in one and a half."""
    names = {path.name for path in folder.iterdir()}
    return any(name.endswith(PARTIAL) or f"{name}.gz" in names for name in names)


def _kill_often(folder: Path, kills: int) -> tuple[int, list[str], list[str]]:
    """Kill a writer again and again; returns how often it was compressing, what was broken then, and what was left."""
    chance, hits, broken = random.Random(5), 0, []
    for run in range(1, kills + 1):
        trial = start(folder, run, agents=4, rate=4 * MB, quota=40 * MB, rotate_at=MB)
        wait = CLOCK.boottime() + chance.uniform(0.05, 0.3)
        until(partial(_later, wait), "the moment")
        until(partial(_compressing, folder), "it compresses")
        kill(trial)
        hits += _compressing(folder)
        broken += packed(folder)[1]
    trial = start(folder, kills + 1, agents=4, rate=MB, quota=40 * MB, rotate_at=MB)
    until(lambda: not leftovers(folder), "what the last kill has left is cleared away")
    stop(trial)
    faults = [fault for agent in range(4) for fault in read_kept(folder / f"agent_a{agent:03}.log").faults]
    return hits, broken, [*faults, *leftovers(folder)]


def _later(moment: float) -> bool:
    return CLOCK.boottime() > moment


def _check_kills(folder: Path, kills: int) -> None:
    hits, broken, left = _kill_often(folder, kills)
    count, _ = packed(folder)
    print(f"killed {kills} times, {hits} of them while it compressed; {count} .gz, {len(broken)} broken, left: {left}")
    assert hits >= kills // 5, "the rare event did not happen"
    assert broken == [] and left == []


def test_whoever_is_killed_while_he_compresses_leaves_every_archive_whole(tmp_path: Path) -> None:
    _check_kills(tmp_path, 2)


@pytest.mark.long
def test_killed_fifty_times(tmp_path: Path) -> None:
    _check_kills(tmp_path, 50)


def test_control_copied_to_its_last_name_an_archive_is_torn_by_a_kill(tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    folder.mkdir()
    rates = {"agents": 4, "rate": 4 * MB, "quota": 40 * MB, "rotate_at": MB}
    trial = start(folder, 1, how="careless", **rates)
    until((folder / HALFWAY).exists, "it is in the middle of an archive")
    kill(trial)
    broken = packed(folder)[1]
    stop(start(folder, 2, how="careless", **rates))
    faults = [fault for agent in range(4) for fault in read_kept(folder / f"agent_a{agent:03}.log").faults]
    print(f"torn: {broken}; read afterwards: {faults[:3]}; left: {leftovers(folder)[:3]}")
    assert broken and faults


WRITERS = """
import os, sys, time
from foundation.log_files import LogFile
import foundation.log_files as own
path, name, count, how = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]
if how == "unheld":
    own._hold = lambda handle, path: True

class Stopped(LogFile):
    # Between the look at the name and the write, time goes by: now and then until what is open here is compressed
    # and gone, which only happens to who does not hold it; else for 20 ms.
    def _write(self, handle, data):
        until = time.monotonic() + 0.02
        while number % 250 == 249 and os.fstat(handle).st_nlink and time.monotonic() < until:
            os.sched_yield()
        super()._write(handle, data)

log = Stopped(path, bytes_max=65536, files_max=10_000, stays_open=True)
for number in range(count):
    log.append(f"{name}-{number:06} {'x' * 80}\\n".encode())
"""


def _written_by_many(folder: Path, how: str) -> tuple[int, int, int]:
    """Several processes append to one log, which is compressed under them; returns what is missing, doubled, and how
    often it was renamed."""
    keeper = LogKeeper(folder, get_logger("trial"), bytes_max=1 << 40, files_max=10_000)
    path, names, count = folder / "system.log", "abcd", 5_000
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITERS, str(path), name, str(count), how], cwd=ROOT) for name in names
    ]
    while any(writer.poll() is None for writer in writers):
        keeper.compress_all()
    assert [writer.wait(60) for writer in writers] == [0] * len(names)
    keeper.compress_all()
    keeper.close()
    lines: list[str] = []
    for part in files_of(path):
        with open_log(part) as file:
            lines += file.read().decode().splitlines()
    seen = [line.split()[0] for line in lines]
    expected = {f"{name}-{number:06}" for name in names for number in range(count)}
    return len(expected - set(seen)), len(seen) - len(set(seen)), len(files_of(path)) - 1


def test_many_processes_append_to_one_log_that_is_compressed_under_them(tmp_path: Path) -> None:
    missing, doubled, renamed = _written_by_many(tmp_path, "held")
    print(f"renamed and compressed {renamed} times: {missing} lines missing, {doubled} twice")
    assert renamed > 5 and (missing, doubled) == (0, 0)


def test_control_without_holding_the_log_lines_are_lost(tmp_path: Path) -> None:
    missing, _, renamed = _written_by_many(tmp_path, "unheld")
    print(f"renamed and compressed {renamed} times: {missing} lines missing")
    assert missing > 0


def test_two_hundred_small_logs_count_together_and_a_long_one_leaves_them_theirs(tmp_path: Path) -> None:
    keeper = LogKeeper(tmp_path, get_logger("trial"), bytes_max=8 * MB, files_max=100)
    for agent, number in itertools.product(range(200), range(3)):
        log = LogFile(tmp_path / f"agent_{agent:03}.log", bytes_max=40_000, files_max=100)
        if number < 2:
            log.append(b"%d " % number + random.Random(agent).randbytes(39_990) + b"\n")
        else:
            log.append(b"a short line\n")
    big = LogFile(tmp_path / "agent_big.log", bytes_max=100 * MB, files_max=100)
    for _ in range(6):
        big.append(bytes(MB))
    before = room_of(tmp_path)
    kept = keeper.look()
    current = [path for path in tmp_path.iterdir() if older_of(path.name) is None and path.suffix == ".log"]
    print(f"{before / MB:.1f} MB, then {room_of(tmp_path) / MB:.1f}: {kept}; {len(current)} of 201 as they were")
    assert before > 8 * MB >= room_of(tmp_path)
    assert kept.removed > 100 and kept.renamed == 1 and len(current) == 200


def test_the_short_leave_their_room_to_the_long() -> None:
    assert level([1, 2, 3], 100) > 1_000
    assert level([1, 2, 300], 100) == 97
    assert level([50, 60, 70], 90) == 30
    assert level([], 10) > 10


def test_what_a_process_says_without_end_keeps_its_end_under_its_name(tmp_path: Path) -> None:
    keeper = LogKeeper(tmp_path, get_logger("trial"), bytes_max=100 * MB, files_max=10)
    said = tmp_path / "gateway.out"
    with said.open("ab", buffering=0) as out:
        for number in range(60_000):
            out.write(b"%06d %s\n" % (number, b"x" * 92))
        keeper._cut_talkers()
        out.write(b"and on\n")
    assert said.stat().st_blocks * 512 < 2 * MB
    assert said.read_bytes().endswith(b"and on\n") and b"059000 " in said.read_bytes()
