"""Makes what a script printed harmless and bounded: whole lines, valid UTF-8, control characters inert."""

from __future__ import annotations

import re
from collections.abc import Callable

# C0 but tab and newline, DEL, C1, and the marks that turn the direction of text round: on a terminal or in a
# page they could hide or rewrite what stands there.
_UNSAFE = re.compile("([\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069])\\1*")
CUT_MARK = " … [line cut]"


def inert(text: str) -> str:
    """The text with every character that could act on a terminal written out, like `\\x1b`."""
    if _UNSAFE.search(text) is None:
        return text
    return _UNSAFE.sub(lambda found: ascii(found.group())[1:-1], text.replace("\r\n", "\n"))


class Cleaner:
    """Turns raw output, in whatever pieces it comes, into clean text of whole lines."""

    def __init__(self, line_bytes_max: int, mask: Callable[[str], str]) -> None:
        self._line_bytes_max = line_bytes_max
        self._mask = mask
        self._carry = b""
        self._skipping = False  # inside a line that was cut

    def feed(self, raw: bytes, *, final: bool = False) -> str:
        """The clean text of the lines that are now whole; with `final`, of the rest too."""
        data = self._carry + raw if self._carry else raw
        if final:
            self._carry = b""
        else:
            end = data.rfind(b"\n") + 1
            self._carry = data[end:]
            data = data[:end]
        if self._skipping or len(data) > self._line_bytes_max:
            data = self._cut_lines(data)
        if len(self._carry) > self._line_bytes_max:
            data += self._cut_carry()
        if not data:
            return ""
        return self._mask(inert(data.decode("utf-8", "replace")))

    def _cut_lines(self, data: bytes) -> bytes:
        if self._skipping:
            newline = data.find(b"\n")
            if newline < 0:
                return b""
            self._skipping = False
            data = data[newline + 1 :]
        most = self._line_bytes_max
        if not _has_longer_line(data, most):
            return data
        lines = data.split(b"\n")
        return b"\n".join(line if len(line) <= most else _cut(line, most) for line in lines)

    def _cut_carry(self) -> bytes:
        """A line without an end is over the limit already: pass on its beginning and skip to its end."""
        head = b"" if self._skipping else _cut(self._carry, self._line_bytes_max) + b"\n"
        self._skipping = True
        self._carry = b""
        return head


def _has_longer_line(data: bytes, most: int) -> bool:
    """Whether so many bytes and one more follow one another without a line end; looks at few of them."""
    begin = 0
    while len(data) - begin > most:
        end = data.rfind(b"\n", begin, begin + most + 1)
        if end < 0:
            return True
        begin = end + 1
    return False


def _cut(line: bytes, most: int) -> bytes:
    return line[:most].decode("utf-8", "ignore").encode() + CUT_MARK.encode()


def last_bytes(data: bytes, most: int) -> str:
    """The end of some UTF-8, at most `most` bytes, beginning at a character."""
    return data[-most:].decode("utf-8", "ignore") if len(data) > most else data.decode("utf-8", "replace")
