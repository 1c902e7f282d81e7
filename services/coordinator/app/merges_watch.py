"""Follows a check to its end: how far it is, and the last line that its attempt has written."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, suppress

from foundation.errors import QuantumError
from foundation.log import get_logger
from services.coordinator.app.changes import Changes
from services.coordinator.app.explain import Explain
from services.coordinator.app.log import ReadLog
from services.coordinator.app.merges import Merges, Shown
from services.coordinator.domain.merge_check import Stage

LOOK_AGAIN_SECONDS = 1.0
"""A check may change without its task: somebody leaves it, the sweep ends it, another reason holds it."""
LINE_MAX = 500
_log = get_logger("coordinator")


class WatchCheck:
    """One watcher reads one attempt's output; the runner is asked for it once for each."""

    def __init__(self, merges: Merges, changes: Changes, explain: Explain, read_log: ReadLog) -> None:
        self._merges = merges
        self._changes = changes
        self._explain = explain
        self._read_log = read_log

    async def now(self, check_id: str, last_line: str = "") -> Shown:
        """A check with what is being done. Raises NotFound."""
        found = await self._merges.get(check_id)
        if found.stage is Stage.ENDED:
            return found
        if found.stage is Stage.RUNNING and last_line:
            return found._replace(progress=last_line)
        try:
            _, why = await self._explain(found.check.task_id)
        except QuantumError:
            return found  # its task is gone; the sweep is about to say so
        return found._replace(progress=why.sentence)

    async def __call__(self, check_id: str) -> AsyncGenerator[Shown, None]:
        """Yield it as it stands, and again at every change, until it has ended. Raises NotFound."""
        seen = await self.now(check_id)
        yield seen
        if seen.stage is Stage.ENDED:
            return
        moved = asyncio.Event()
        lines = _LastLine(self._read_log, seen.check.task_id, moved.set)
        unsubscribe = self._changes.subscribe(
            lambda tasks: moved.set() if any(task.id == seen.check.task_id for task in tasks) else None
        )
        reading = asyncio.create_task(lines.read())
        try:
            while not seen.check.ended:
                with suppress(TimeoutError):
                    async with asyncio.timeout(LOOK_AGAIN_SECONDS):
                        await moved.wait()
                moved.clear()
                before, seen = seen, await self.now(check_id, lines.text)
                if seen != before:
                    yield seen
        finally:
            unsubscribe()
            reading.cancel()


class _LastLine:
    """The last whole line of an attempt's output so far."""

    def __init__(self, read_log: ReadLog, task_id: str, tell: Callable[[], None]) -> None:
        self._read_log = read_log
        self._task_id = task_id
        self._tell = tell
        self.text = ""

    async def read(self) -> None:
        """Until the task has ended, or its output cannot be had: then there are no lines, and nothing else is lost."""
        rest = b""
        try:
            async with aclosing(self._read_log(self._task_id, 0, follow=True)) as chunks:
                async for chunk in chunks:
                    *whole, rest = (rest + chunk.data).split(b"\n")
                    rest = rest[-LINE_MAX:]
                    said = [text for line in whole if (text := line.decode(errors="replace").strip())]
                    if said:
                        self.text = said[-1][:LINE_MAX]
                        self._tell()
        except QuantumError as error:
            _log.debug(f"The output of {self._task_id} is out of reach: {error.message}", action="log_out_of_reach")
