"""A gate before which scripts wait until the test opens it, however many; nothing is forked meanwhile."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from types import TracebackType

MANY = 1000


class Gate:
    """A FIFO out of which each script reads one line."""

    def __init__(self, path: Path) -> None:
        os.mkfifo(path)
        self.wait = f"read -r word < {shlex.quote(str(path))}"
        """What a shell script says to wait."""
        self._ends = os.open(path, os.O_RDWR)  # both, so that no script waits for somebody who writes

    def open(self) -> None:
        """Let through who waits, and who comes later."""
        os.write(self._ends, b"\n" * MANY)

    def __enter__(self) -> Gate:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        os.close(self._ends)
