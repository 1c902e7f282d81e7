"""A flood of output keeps nobody waiting and takes no room; a reader that comes late finds head and tail of it."""

from __future__ import annotations

import asyncio
import contextlib
import os
from pathlib import Path

from clients.attachment_values import AttemptRef, Lease, LeaseTerms
from foundation.log import get_logger
from services.agent_runner.adapters.kept_output import OutputBounds, SlotOutputs
from services.agent_runner.app.held import Held, Phase
from services.agent_runner.app.reading import Reading
from services.agent_runner.app.terms import Known
from services.agent_runner.warden.protocol import Ended

FLOOD_BYTES = 32 << 20
PIECE_BYTES = 1 << 17
LINE = b"a line of some sixty letters, as a build prints them by the million\n"
BOUNDS = OutputBounds(result=1000, head=50_000, tail=70_000, line=65536, report=1000)


class NoLogs:
    """Takes lines and keeps none."""

    def write(self, agent: str, task_id: str, text: str) -> None:
        """See `AgentLogs`."""

    def flush(self) -> None:
        """See `AgentLogs`."""


def _reading(folder: Path) -> tuple[Reading, Path]:
    slot = folder / "slots" / "0"
    slot.mkdir(parents=True)
    return Reading(
        SlotOutputs(folder / "slots", folder / "kept", NoLogs(), BOUNDS), 1000, get_logger("test")
    ), slot / "out"


def _held() -> Held:
    terms = LeaseTerms(agent="a", project="", script="/x", interpreter=(), folder="/")
    held = Held("k", Lease(ref=AttemptRef("task", 7), attempt=1, terms=terms, params="{}"), Known(0, (), ""), 0.0, 0.0)
    held.phase, held.slot = Phase.RUNNING, 0
    return held


def _fill(out: Path, size: int) -> bytes:
    whole = (LINE * (size // len(LINE) + 1))[:size]
    out.write_bytes(whole)
    return whole


class Turns:
    """Counts the turns of the loop that others get, and the longest that they waited for one."""

    def __init__(self) -> None:
        self.count = 0
        self._task = asyncio.ensure_future(self._turn())

    async def _turn(self) -> None:
        while True:
            self.count += 1
            await asyncio.sleep(0)

    async def end(self) -> int:
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task
        return self.count


async def test_between_two_pieces_of_a_flood_others_have_their_turn(tmp_path: Path) -> None:
    reading, out = _reading(tmp_path)
    whole, held = _fill(out, FLOOD_BYTES), _held()
    turns = Turns()
    while await reading.read_behind([held]):
        pass
    count = await turns.end()
    print(f"{count} turns of others while {len(whole)} bytes were taken in")
    assert held.output is not None and held.output.taken_bytes == len(whole)
    assert count >= FLOOD_BYTES // PIECE_BYTES, "one at least between two pieces"
    # What was read is punched out, so that the disk is not filled while the script goes on.
    assert os.stat(out).st_blocks * 512 < FLOOD_BYTES // 4


async def test_what_an_ended_script_left_unread_is_taken_in_piece_by_piece(tmp_path: Path) -> None:
    reading, out = _reading(tmp_path)
    whole, held = _fill(out, FLOOD_BYTES), _held()
    ended = _ended(len(whole))
    assert reading.is_far_behind(held, ended)
    turns = Turns()
    await reading.catch_up(held, ended)
    count = await turns.end()
    output, _ = reading.finish(held, ended)
    assert count >= FLOOD_BYTES // PIECE_BYTES - 2
    assert output.total_bytes == len(whole) and output.tail().encode() == whole[-1000:]
    # The control: taken in at once, nobody had a turn.
    at_once, turns = _held(), Turns()
    reading.finish(at_once, ended)
    assert await turns.end() == 0


async def test_a_late_reader_finds_head_cut_and_tail_from_any_offset(tmp_path: Path) -> None:
    reading, out = _reading(tmp_path)
    whole, held = _fill(out, 1_000_000), _held()
    ended = _ended(len(whole))
    output, _ = reading.finish(held, ended)
    held.phase = Phase.ENDED
    kept_from = len(whole) - BOUNDS.tail
    for offset in (0, 49_999, 50_000, 500_000, kept_from - 1, kept_from, kept_from + 3, len(whole)):
        data, at = b"", offset
        async for piece, after in reading.follow(held, offset):
            data, at = data + piece, after
        head = whole[offset : BOUNDS.head] if offset < BOUNDS.head else b""
        mark = b""
        if offset < kept_from:
            mark = f"\n… [{kept_from - max(offset, BOUNDS.head)} bytes were cut here]\n".encode()
        assert (data, at) == (head + mark + whole[max(offset, kept_from) :], len(whole)), offset
    [kept] = (tmp_path / "kept").iterdir()
    assert kept.stat().st_size <= BOUNDS.head + BOUNDS.tail
    output.close()


async def test_offsets_of_an_endless_output_grow_beyond_32_bits(tmp_path: Path) -> None:
    reading, out = _reading(tmp_path)
    _fill(out, 3000 * len(LINE))
    held = _held()
    while await reading.read_behind([held]):
        pass
    output = held.output
    assert output is not None
    output._total += 1 << 33  # type: ignore[attr-defined]  # as after months of a service
    total = output.total_bytes
    with out.open("ab") as more:
        more.write(b"the newest line\n")
    await reading.read_behind([held])
    assert output.read(total, 100) == (b"the newest line\n", total + 16)
    [kept] = (tmp_path / "kept").iterdir()
    assert kept.stat().st_size <= BOUNDS.head + BOUNDS.tail
    output.close()


def _ended(size: int) -> Ended:
    return Ended(
        key="k",
        slot=0,
        output=b"",
        status=0,
        cause="exit",
        sentence="",
        started_at=0.0,
        ended_at=1.0,
        active_seconds=1.0,
        cpu_seconds=0.0,
        peak_bytes=0,
        output_bytes=size,
        reported=False,
        tree_dead=True,
        stragglers=0,
    )
