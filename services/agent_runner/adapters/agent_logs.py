"""`logs/agent_<name>.log`: clean lines, each with its time and task, one write per agent and batch; rotated by size."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

from foundation.clock import Clock
from foundation.files import write_all

_FLUSH_SECONDS = 0.1
_BUFFER_BYTES_MAX = 1 << 18
# More of one agent at once, or in the long run, is a flood: a log that is nothing but that helps nobody.
_BURST_BYTES_MAX = 16 << 20
_BYTES_PER_SECOND_MAX = 8 << 20
# Nobody floods with so little at a time; and most tasks print no more.
_FEW_BYTES = 1 << 12
_MILLISECOND = timedelta(milliseconds=1)


class LogFiles:
    """See `AgentLogs`. The files are opened for each write, so that others may rename them at any time."""

    def __init__(
        self, folder: Path, clock: Clock, loop: asyncio.AbstractEventLoop, *, bytes_max: int, files_max: int
    ) -> None:
        """A log that would grow beyond `bytes_max` is renamed; `files_max` of those that were are kept."""
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = str(folder)
        self._clock = clock
        self._loop = loop
        self._bytes_max = bytes_max
        self._files_max = files_max
        self._waiting: dict[str, list[str]] = {}
        self._size = 0
        self._level: dict[str, tuple[float, float]] = {}  # of each agent: bytes above the steady rate, and as of when
        self._dropped: dict[tuple[str, str], int] = {}  # lines that were not logged, by agent and task
        self._timer: asyncio.TimerHandle | None = None
        self._timed = datetime.min.replace(tzinfo=UTC)
        self._time_text = ""

    def write(self, agent: str, task_id: str, text: str) -> None:
        """See `AgentLogs`."""
        prefix = f"{self._time()} {task_id} "
        if len(text) > _FEW_BYTES and self._floods(agent, len(text) + text.count("\n") * len(prefix)):
            key = agent, task_id
            self._dropped[key] = self._dropped.get(key, 0) + text.count("\n")
        else:
            body = text.removesuffix("\n").replace("\n", "\n" + prefix)
            self._append(agent, f"{prefix}{body}\n")
        if self._size > _BUFFER_BYTES_MAX:
            self._write_out()
        if self._timer is None:
            self._timer = self._loop.call_later(_FLUSH_SECONDS, self.flush)

    def _floods(self, agent: str, size: int) -> bool:
        """Whether there is no room for so many bytes of an agent."""
        now = self._clock.boottime()
        level, then = self._level.get(agent, (0.0, now))
        level = max(level - (now - then) * _BYTES_PER_SECOND_MAX, 0.0)
        floods = level + size > _BURST_BYTES_MAX
        self._level[agent] = level if floods else level + size, now
        return floods

    def _append(self, agent: str, lines: str) -> None:
        self._waiting.setdefault(agent, []).append(lines)
        self._size += len(lines)

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
        for (agent, task_id), lines in self._dropped.items():
            said = f"… [{lines} lines came too fast to be logged here; quantum logs {task_id} shows what is kept]"
            self._append(agent, f"{self._time()} {task_id} {said}\n")
        self._dropped.clear()
        self._write_out()

    def _write_out(self) -> None:
        waiting, self._waiting = self._waiting, {}
        self._size = 0
        for agent, lines in waiting.items():
            data = "".join(lines).encode()
            handle = self._open(f"{self._folder}/agent_{agent}.log", len(data))
            try:
                write_all(handle, data)
            finally:
                os.close(handle)

    def _open(self, path: str, more: int) -> int:
        """The log, in which there is room for so many bytes more, unless it is new."""
        while True:
            handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
            size = os.fstat(handle).st_size
            if not size or size + more <= self._bytes_max:
                return handle
            try:
                self._rotate(path, handle)
            finally:
                os.close(handle)

    def _rotate(self, path: str, handle: int) -> None:
        """Rename the log that is open, unless another runner on this workspace has just done so."""
        fcntl.flock(handle, fcntl.LOCK_EX)
        ours = os.fstat(handle)
        with contextlib.suppress(FileNotFoundError):
            if not os.path.samestat(os.stat(path), ours):
                return
            for number in range(self._files_max, 1, -1):
                with contextlib.suppress(FileNotFoundError):
                    os.rename(f"{path}.{number - 1}", f"{path}.{number}")
            os.rename(path, f"{path}.1")
