"""The STOP file of the workspace as safety's stop signal."""

from __future__ import annotations

from foundation.stop_file import StopFile
from services.safety.domain.mode import StopOrder


class WorkspaceStopSignal:
    """Reads and clears `.quantum/STOP`; one system call as long as there is none."""

    def __init__(self, file: StopFile) -> None:
        self._file = file

    def read(self) -> StopOrder | None:
        """The order in the file; also when it cannot be read, as long as it is there."""
        if not self._file.is_set():
            return None
        order = self._file.read()
        return None if order is None else StopOrder(actor=order.who, reason=order.why, since=order.at)

    def clear(self) -> None:
        """Remove the file, durably."""
        self._file.clear()
