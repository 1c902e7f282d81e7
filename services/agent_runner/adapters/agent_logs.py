"""`logs/agent_<name>.log`: clean lines, each with its time and task, one write per agent and batch."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

from foundation.clock import Clock
from foundation.log_files import LogFile
from foundation.log_keeping import LogKeeper

_FLUSH_SECONDS = 0.1
_BUFFER_BYTES_MAX = 1 << 18
# More of one agent at once, or in the long run, is a flood: a log that is nothing but that helps nobody.
_BURST_BYTES_MAX = 16 << 20
_BYTES_PER_SECOND_MAX = 8 << 20
# Nobody floods with so little at a time; and most tasks print no more.
_FEW_BYTES = 1 << 12
_MILLISECOND = timedelta(milliseconds=1)


class LogFiles:
    """See `AgentLogs`. The files are opened for each write: there may be more agents than descriptors."""

    def __init__(
        self,
        folder: Path,
        clock: Clock,
        loop: asyncio.AbstractEventLoop,
        *,
        bytes_max: int,
        files_max: int,
        keeper: LogKeeper | None = None,
    ) -> None:
        """A log that would grow beyond `bytes_max` is renamed; `files_max` of those that were are kept.

        The keeper, where there is one, keeps all together within a quota.
        """
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = str(folder)
        self._clock = clock
        self._loop = loop
        self._bytes_max = bytes_max
        self._files_max = files_max
        self._keeper = keeper
        self._files: dict[str, LogFile] = {}
        self._waiting: dict[str, list[str]] = {}
        self._size = 0
        self._level: dict[str, tuple[float, float]] = {}  # of each agent: bytes above the steady rate, and as of when
        self._dropped: dict[tuple[str, str], int] = {}  # lines that were not logged, by agent and task
        self._unwritten: dict[str, int] = {}  # lines that the disk did not take, by agent
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
            missing = self._unwritten.get(agent, 0)
            if missing:
                data = (
                    f"{self._time()} - … [{missing} lines could not be written here: the disk was full]\n".encode()
                    + data
                )
            try:
                if self._keeper is not None:
                    self._keeper.spend(len(data))
                renamed = self._file(agent).append(data)
                if renamed and self._keeper is not None:
                    self._keeper.wake()
                self._unwritten.pop(agent, None)
            except OSError:
                # The task's output is kept elsewhere, and its end is what matters: a log stands in the way of neither.
                self._unwritten[agent] = missing + sum(text.count("\n") for text in lines)

    def _file(self, agent: str) -> LogFile:
        file = self._files.get(agent)
        if file is None:
            path = f"{self._folder}/agent_{agent}.log"
            file = self._files[agent] = LogFile(path, bytes_max=self._bytes_max, files_max=self._files_max)
        return file
