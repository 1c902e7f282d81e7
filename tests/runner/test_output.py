"""Output is made harmless and bounded, whatever pieces it comes in."""

from __future__ import annotations

import itertools
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.agent_runner.adapters.kept_output import OutputBounds, SlotOutput
from services.agent_runner.domain.report import read_report
from services.agent_runner.domain.text import CUT_MARK, Cleaner, inert, last_bytes


def _clean(pieces: list[bytes], line_bytes_max: int = 1000) -> str:
    cleaner = Cleaner(line_bytes_max, str)
    return "".join(map(cleaner.feed, pieces)) + cleaner.feed(b"", final=True)


def test_control_characters_are_written_out() -> None:
    assert inert("a\tb\nc") == "a\tb\nc"
    assert inert("\x1b[2J\x07\x00\x9b\u202e") == "\\x1b[2J\\x07\\x00\\x9b\\u202e"
    assert inert("a\r\nb\rc") == "a\nb\\rc"


@given(st.binary(max_size=300), st.lists(st.integers(0, 300)))
def test_the_pieces_do_not_matter(data: bytes, cuts: list[int]) -> None:
    ends = sorted({min(cut, len(data)) for cut in cuts} | {0, len(data)})
    pieces = [data[start:end] for start, end in itertools.pairwise(ends)]
    assert _clean(pieces) == _clean([data])


@given(st.lists(st.binary(max_size=60), max_size=20))
def test_no_line_is_longer_than_allowed_and_nothing_acts(pieces: list[bytes]) -> None:
    text = _clean(pieces, line_bytes_max=20)
    assert all(char.isprintable() or char in "\t\n" or ord(char) > 0x9F for char in text)
    # An unprintable byte takes up to four characters, a broken one becomes a mark of three bytes.
    assert all(len(line) <= 20 * 4 + len(CUT_MARK) for line in text.split("\n"))


def test_a_line_without_an_end_is_passed_on_and_cut() -> None:
    cleaner = Cleaner(10, str)
    assert cleaner.feed(b"x" * 25) == "x" * 10 + CUT_MARK + "\n"
    assert cleaner.feed(b"x" * 25) == ""
    assert cleaner.feed(b"x\nnext\n") == "next\n"


def test_a_partial_line_waits_for_its_end() -> None:
    cleaner = Cleaner(100, str)
    assert cleaner.feed(b"caf\xc3") == ""
    assert cleaner.feed(b"\xa9\nx") == "café\n"
    assert cleaner.feed(b"", final=True) == "x"


def test_last_bytes_begin_at_a_character() -> None:
    assert last_bytes("aé".encode(), 2) == "é"
    assert last_bytes("éb".encode(), 2) == "b"


@pytest.fixture
def slot(tmp_path: Path) -> Path:
    path = tmp_path / "out"
    path.touch()
    return path


def _output(slot: Path, logged: list[str]) -> SlotOutput:
    bounds = OutputBounds(result=10, head=20, tail=30, line=1000, report=100)
    return SlotOutput(
        lambda: os.open(slot, os.O_RDWR), str(slot.parent / "kept" / "a"), bounds, logged.append, forget=lambda _: None
    )


def _all(output: SlotOutput, size: int = 7) -> bytes:
    data, offset = b"", 0
    while True:
        piece, offset = output.read(offset, size)
        if not piece:
            return data
        data += piece


def test_short_output_stays_in_memory(slot: Path) -> None:
    logged: list[str] = []
    output = _output(slot, logged)
    slot.write_bytes(b"one\ntwo")
    output.read_behind()
    assert _all(output) == b"one\n"
    output.finish(1000)
    assert (_all(output), output.tail(), output.cut) == (b"one\ntwo", "one\ntwo", False)
    assert not (slot.parent / "kept").exists()
    assert logged == ["one\n", "two"]


@pytest.mark.parametrize("lines", [5, 11, 12, 100, 1000])
def test_long_output_keeps_head_and_tail(slot: Path, lines: int) -> None:
    output = _output(slot, [])
    whole = b"".join(b"%03d\n" % (number % 1000) for number in range(lines))
    for end in range(0, len(whole), 36):
        slot.write_bytes(whole[: end + 36])
        output.read_behind()
    output.finish(len(whole))
    assert output.total_bytes == len(whole)
    assert output.tail().encode() == whole[-10:]
    kept = _all(output)
    if len(whole) <= 50:
        assert kept == whole
    else:
        mark = f"\n… [{len(whole) - 50} bytes were cut here]\n".encode()
        assert kept == whole[:20] + mark + whole[-30:]
    output.close()


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"no json", "not JSON"),
        (b"[1]", "not a JSON object"),
        (b'{"summary": "x"}', "`type`"),
        (b'{"type": "A b"}', "`type`"),
        (b'{"type": "a", "data": []}', "`data` must be an object"),
        (b'{"type": "a", "colour": 1}', "colour"),
        (rb'{"type": "a", "\ud800\u001b[2J\n": 1}', r"\ud800\x1b[2J\n"),
        (b'{"' + b'": 1, "'.join(b"%02d" % n for n in range(10)) + b'": 1}', "00, 01, 02, 03, 04 …"),
        (b'{"type": "a", "data": {"x": "' + b"y" * 100 + b'"}}', "over 100 bytes"),
    ],
)
def test_a_report_of_another_shape_is_not_taken(raw: bytes, words: str) -> None:
    reading = read_report(raw, 100)
    assert reading.text == "" and words in reading.fault


def test_a_report_is_taken_as_it_stands() -> None:
    raw = b'{"type": "coverage", "project": "x", "summary": "95 %", "data": {"lines": 1}}'
    assert read_report(raw, 1000) == (raw.decode(), "")
