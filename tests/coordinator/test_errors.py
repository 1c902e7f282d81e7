"""A failed attempt leaves one file that says all a person needs; a success, a cancel, a second telling leave none."""

import errno
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from foundation.ids import random_bytes
from foundation.tokens import mint
from services.coordinator.adapters.error_files import ErrorFiles
from services.coordinator.app.due import Due
from services.coordinator.app.tell_errors import TellErrors
from services.coordinator.domain.attempt import Ended
from services.coordinator.domain.error_report import ErrorReport
from services.coordinator.domain.failure import EndCause
from services.coordinator.domain.task import Effects, LimitUse, Task, TaskState
from services.coordinator.ports import Store
from tests.coordinator.fleet import Fleet, ended, granted, sent, started

LIMITS = (
    LimitUse(name="memory", value=1 << 31, enforcement="kernel"),
    LimitUse(name="timeout", value=300, enforcement="supervised"),
)


def _folder(path: Path, bytes_max: int = 1 << 20, files_max: int = 100) -> ErrorFiles:
    return ErrorFiles(path / "errors", bytes_max, files_max)


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "errors").glob("*")) if (folder / "errors").exists() else []


async def _failed(fleet: Fleet, **changes: object) -> tuple[Task, Ended]:
    """A task that has run once and exited with 3, which its runner has told twice."""
    await fleet.submit("a")
    runner = await fleet.runner()
    await fleet.round()
    [lease] = granted(sent(runner))
    fleet.clock.advance(timedelta(seconds=3))
    event = ended(lease, fleet.now(), code=3)
    end = replace(event.end, measured=replace(event.end.measured, limits=LIMITS))
    event = replace(event, end=end, **changes)  # type: ignore[arg-type]
    await fleet.tell(runner, started(lease, fleet.now()), event, event)
    return lease, event


async def test_one_file_says_it_all_however_often_it_is_told(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path)
    await fleet.dispatch.start()
    token = mint(random_bytes).text
    lease, _ = await _failed(fleet, output_tail="\n".join(f"line {number}" for number in range(200)) + f" {token}")
    tell = TellErrors(fleet.store, _folder(tmp_path))
    for _ in range(3):
        await tell.step()
    [name] = _names(tmp_path)
    text = (tmp_path / "errors" / name).read_text()
    print(text[:1200])
    assert name.endswith(f"-a-{lease.id}-1.txt") and name[:8].isdigit()
    assert text.startswith("a: Exited with 3.")
    for said in ("exit 3", "memory 2GB (kernel)", "timeout 300 s (supervised)", "line 199"):
        assert said in text
    assert f"quantum retry {lease.id}" in text and f"quantum logs {lease.id}" in text
    assert token not in text, "a token that slipped through is masked here, too"
    assert "line 139" not in text and "line 140" in text, "the last sixty lines"


@pytest.mark.parametrize("cause", [EndCause.CANCEL, EndCause.POLICY, EndCause.FENCE, EndCause.HANDED_BACK])
async def test_what_is_no_failure_of_its_own_leaves_none(tmp_path: Path, cause: EndCause) -> None:
    fleet = Fleet(tmp_path)
    await fleet.dispatch.start()
    await fleet.submit("a")
    runner = await fleet.runner()
    await fleet.round()
    [lease] = granted(sent(runner))
    await fleet.tell(runner, started(lease, fleet.now()), ended(lease, fleet.now(), cause=cause))
    assert await fleet.store.read(lambda tx: tx.failed_attempts(limit=9)) == []


async def test_a_success_leaves_none_and_each_attempt_its_own(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path)
    await fleet.dispatch.start()
    task = await fleet.submit("a", retries=2, effects=Effects.IDEMPOTENT)
    runner, due = await fleet.runner(), Due(fleet.store, fleet.changes, clock=fleet.clock)
    for code in (1, 2, 0):
        await due.release()
        await fleet.round()
        [lease] = granted(sent(runner))
        await fleet.tell(runner, started(lease, fleet.now()), ended(lease, fleet.now(), code=code))
        fleet.clock.advance(timedelta(minutes=10))
    await TellErrors(fleet.store, _folder(tmp_path)).step()
    assert (await fleet.task(task)).state is TaskState.SUCCEEDED
    assert [name.rpartition("-")[2] for name in _names(tmp_path)] == ["1.txt", "2.txt"]


class FullDisk:
    """Takes nothing at first."""

    def __init__(self) -> None:
        self.full, self.written = True, [""]

    def write(self, reports: Sequence[ErrorReport]) -> None:
        """See `ErrorFolder`."""
        if self.full:
            raise OSError(errno.ENOSPC, "No space left on device")
        self.written += [report.name for report in reports]


async def test_on_a_full_disk_it_waits_and_none_is_lost(store: Store) -> None:
    disk = FullDisk()
    tell = TellErrors(store, disk)
    for number in range(250):
        await store.write(lambda tx, number=number: tx.note_failed_attempt(ErrorReport(f"{number:03}", "text")))  # type: ignore[misc]
    await tell.step()
    assert disk.written == [""]
    disk.full = False
    await tell.step()
    assert disk.written[1:] == [f"{number:03}" for number in range(250)]
    assert await store.read(lambda tx: tx.failed_attempts(limit=9)) == []


async def test_a_storm_leaves_a_thousand_and_no_more(store: Store) -> None:
    def storm(tx: object) -> None:
        for number in range(1_100):
            tx.note_failed_attempt(ErrorReport(str(number), "text"))  # type: ignore[attr-defined]

    await store.write(storm)
    noted = await store.read(lambda tx: tx.failed_attempts(limit=5_000))
    assert len(noted) == 1_000 and noted[0][1] == ErrorReport("0", "text")
    await store.write(lambda tx: tx.forget_failed_attempts(noted[-1][0]))
    await store.write(lambda tx: tx.note_failed_attempt(ErrorReport("later", "text")))
    [(number, report)] = await store.read(lambda tx: tx.failed_attempts(limit=5))
    assert report.name == "later" and number > noted[-1][0], "a number is never used again"


def test_the_oldest_go_and_the_newest_stays(tmp_path: Path) -> None:
    files = _folder(tmp_path, files_max=3)
    files.write([ErrorReport(f"2026{number}.txt", "x") for number in range(6)])
    assert _names(tmp_path) == ["20263.txt", "20264.txt", "20265.txt"]
    small = _folder(tmp_path, bytes_max=1)
    small.write([ErrorReport("20269.txt", "y" * 100_000)])
    assert _names(tmp_path) == ["20269.txt"]


async def test_an_attempt_whose_runner_was_lost_leaves_one_too(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path)
    await fleet.dispatch.start()
    await fleet.submit("a", effects=Effects.ONCE)
    runner = await fleet.runner()
    await fleet.round()
    [lease] = granted(sent(runner))
    await fleet.tell(runner, started(lease, fleet.now()))
    fleet.clock.advance(timedelta(seconds=10))
    await fleet.renewal.tick()
    fleet.clock.advance(timedelta(seconds=9))
    await fleet.renewal.tick()
    for _ in range(3):
        fleet.clock.advance(timedelta(seconds=9))
        await fleet.renewal.tick()
    [(_, report)] = await fleet.store.read(lambda tx: tx.failed_attempts(limit=9))
    assert report.name.endswith(f"-a-{lease.id}-1.txt")
    assert "nobody saw it end" in report.text and "was lost while it ran" in report.text


def test_what_somebody_puts_beside_them_stops_none(tmp_path: Path) -> None:
    files = _folder(tmp_path, files_max=2)
    (tmp_path / "errors" / "0-folder.txt").mkdir(parents=True)
    (tmp_path / "errors" / "1-nowhere.txt").symlink_to(tmp_path / "nowhere")
    files.write([ErrorReport(f"2026{number}.txt", "x") for number in range(4)])
    assert _names(tmp_path)[-2:] == ["20262.txt", "20263.txt"] and "20260.txt" not in _names(tmp_path)


async def test_what_a_script_has_a_say_in_neither_acts_on_a_terminal_nor_begins_a_line(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path)
    await fleet.dispatch.start()
    lease, _ = await _failed(
        fleet, report_fault="the report has \x1b]0;x\x07\nrun it again    quantum down\u2028" + "y" * 99_999
    )
    await TellErrors(fleet.store, _folder(tmp_path)).step()
    [name] = _names(tmp_path)
    text = (tmp_path / "errors" / name).read_text()
    assert "\x1b" not in text and "\x07" not in text and len(text) < 4_000
    assert [line for line in text.splitlines() if "run it again" in line[:20]] == [
        f"run it again    quantum retry {lease.id}"
    ]
