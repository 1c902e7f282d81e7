"""The manifest block: its text, and a script with it in the right place, byte by byte."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence

from cli.adopting.reading import MARK
from cli.output.printing import printable

Values = Mapping[str, object]
_OPEN = re.compile(rb"^# /// script[ \t]*\r?$", re.MULTILINE)
_CLOSE = re.compile(rb"^# ///[ \t]*\r?$", re.MULTILINE)
_CODING = re.compile(rb"^[ \t\f]*#.*?coding[:=][ \t]*[-\w.]+")


def toml_lines(values: Values, remarks: Sequence[str] = ()) -> list[str]:
    """The keys as lines of TOML, remarks behind them."""
    # A remark quotes other people's files: whatever stands there, it must not end the line that it is behind.
    said = (f"# {printable(remark)}" for remark in remarks)
    return [*(f"{key} = {_value(value)}" for key, value in values.items()), *said]


def _value(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{key} = {_value(item)}" for key, item in value.items()) + " }"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_value(item) for item in value) + "]"
    # A text of JSON is one of TOML, but for DEL, which no description holds.
    return json.dumps(value, ensure_ascii=False)


def block_of(values: Values, remarks: Sequence[str] = ()) -> str:
    """The block as it stands in a script."""
    lines = ["# /// script", "# [tool.quantum]", *(f"# {line}" for line in toml_lines(values, remarks)), "# ///"]
    return "".join(f"{line}\n" for line in lines)


def agent_toml(values: Values, remarks: Sequence[str] = ()) -> str:
    """The same as an agent.toml."""
    return "".join(f"{line}\n" for line in toml_lines(values, remarks))


def with_block(data: bytes, values: Values, remarks: Sequence[str] = ()) -> bytes | None:
    """A script with the block below its first line; every other byte, and its line ends, stay as they are.

    Below a line that names the text's encoding, which Python wants among the first two. A block that is there for
    other tools (PEP 723) is added to. None where there is no good place: without a first line that names a program
    but with a byte order mark, or with a block that is not closed.
    """
    end = b"\r\n" if data.split(b"\n", 1)[0].endswith(b"\r") else b"\n"
    opened = _OPEN.search(data)
    if opened:
        closed = _CLOSE.search(data, opened.end())
        if closed is None:
            return None
        lines = ["# [tool.quantum]", *(f"# {line}" for line in toml_lines(values, remarks))]
        return data[: closed.start()] + _encoded(lines, end) + data[closed.start() :]
    at = _below_first_line(data)
    if at is None:
        return None
    head = data[:at] if data[:at].endswith(b"\n") or not at else data[:at] + end
    return head + _encoded(block_of(values, remarks).splitlines(), end) + data[at:]


def _encoded(lines: Sequence[str], end: bytes) -> bytes:
    return b"".join(line.encode() + end for line in lines)


def _below_first_line(data: bytes) -> int | None:
    at, seen = 0, False
    for number, line in enumerate(data.splitlines(keepends=True)[:6]):
        text = line.removeprefix(MARK).strip() if number == 0 else line.strip()
        if not seen and text.startswith(b"#!"):
            seen = True
        elif seen and _CODING.match(line) and number <= 1:
            return at + len(line)
        elif seen:
            return at
        elif text:
            if number == 0 and _CODING.match(line) and not data.startswith(MARK):
                return at + len(line)
            break
        at += len(line)
    if seen:
        return at
    return None if data.startswith(MARK) else 0
