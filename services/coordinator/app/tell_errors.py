"""Puts failed attempts where a person looks for them: noted with the attempt's end, a file soon after, each once."""

import asyncio

from foundation.log import get_logger
from services.coordinator.ports import ErrorFolder, Store

BATCH = 100

_log = get_logger("coordinator")


class TellErrors:
    """What was noted and is no file yet is written again after a crash: under the same name, with the same text."""

    def __init__(self, store: Store, folder: ErrorFolder) -> None:
        self._store = store
        self._folder = folder
        self._failed = False

    async def step(self) -> None:
        """Write what waits, oldest first; while the disk does not take it, it waits on."""
        while noted := await self._store.read(lambda tx: tx.failed_attempts(limit=BATCH)):
            try:
                await asyncio.to_thread(self._folder.write, [report for _, report in noted])
            except OSError as error:
                if not self._failed:
                    said = f"logs/errors cannot be written: {error.strerror}; it is written later."
                    _log.warning(said, action="errors_wait")
                self._failed = True
                return
            self._failed = False
            last = noted[-1][0]
            await self._store.write(lambda tx: tx.forget_failed_attempts(last))  # noqa: B023 - done before the next
