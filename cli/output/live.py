"""A live line on standard error while a task waits or runs, and its output, byte for byte, on standard output."""

from __future__ import annotations

import os
import shutil
import sys
from typing import BinaryIO, TextIO

_FRAMES = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
_ERASE = "\r\x1b[K"


class LiveLine:
    """One line that is drawn over itself; nothing at all where standard error is no terminal."""

    def __init__(self, stream: TextIO, *, shown: bool) -> None:
        self._stream = stream
        self.shown = shown
        """Whether anything is drawn."""
        self._drawn = False
        self._frame = 0

    def draw(self, text: str) -> None:
        """Show a text in place of the last one, cut to the terminal's width."""
        if not self.shown:
            return
        self._frame = (self._frame + 1) % len(_FRAMES)
        width = shutil.get_terminal_size().columns
        self._stream.write(f"{_ERASE}{_FRAMES[self._frame]} {text}"[: width + len(_ERASE) - 1])
        self._stream.flush()
        self._drawn = True

    def erase(self) -> None:
        """Leave no trace, so that something else can be printed there."""
        if self._drawn:
            self._stream.write(_ERASE)
            self._stream.flush()
            self._drawn = False


class Output:
    """Where the bytes of a task go. A reader that has gone does not end the one who follows."""

    def __init__(self, stream: BinaryIO | None) -> None:
        self._stream = stream
        self.at_line_start = True

    def write(self, data: bytes) -> None:
        """Print the bytes at once."""
        if self._stream is None or not data:
            return
        try:
            self._stream.write(data)
            self._stream.flush()
        except BrokenPipeError:
            self._stream = None
            # Python would complain at its end that what is still buffered cannot be written.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return
        self.at_line_start = data.endswith(b"\n")
