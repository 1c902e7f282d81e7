"""`logs/agent_<name>.log`: clean lines, each with its time and task, one write per agent and batch."""

from __future__ import annotations

import asyncio
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

from foundation.clock import Clock
from foundation.files import write_all

_FLUSH_SECONDS = 0.1
_BUFFER_BYTES_MAX = 1 << 18
_MILLISECOND = timedelta(milliseconds=1)


class LogFiles:
    """See `AgentLogs`. The files are opened for each write, so that rotation may rename them at any time."""

    def __init__(self, folder: Path, clock: Clock, loop: asyncio.AbstractEventLoop) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = str(folder)
        self._clock = clock
        self._loop = loop
        self._waiting: dict[str, list[str]] = {}
        self._size = 0
        self._timer: asyncio.TimerHandle | None = None
        self._timed = datetime.min.replace(tzinfo=UTC)
        self._time_text = ""

    def write(self, agent: str, task_id: str, text: str) -> None:
        """See `AgentLogs`."""
        prefix = f"{self._time()} {task_id} "
        body = text.removesuffix("\n").replace("\n", "\n" + prefix)
        self._waiting.setdefault(agent, []).append(f"{prefix}{body}\n")
        self._size += len(body)
        if self._size > _BUFFER_BYTES_MAX:
            self.flush()
        elif self._timer is None:
            self._timer = self._loop.call_later(_FLUSH_SECONDS, self.flush)

    def _time(self) -> str:
        # Put into words once for all that come in the same millisecond.
        now = self._clock.now()
        if not self._timed <= now < self._timed + _MILLISECOND:
            self._timed = now.replace(microsecond=now.microsecond // 1000 * 1000)
            self._time_text = f"{self._timed.isoformat(timespec='milliseconds')[:-6]}Z"
        return self._time_text

    def flush(self) -> None:
        """See `AgentLogs`."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        waiting, self._waiting = self._waiting, {}
        self._size = 0
        for agent, lines in waiting.items():
            handle = os.open(f"{self._folder}/agent_{agent}.log", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
            try:
                write_all(handle, "".join(lines).encode())
            finally:
                os.close(handle)
