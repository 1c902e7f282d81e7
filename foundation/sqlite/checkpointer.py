"""Moves the write-ahead log into the database beside the writer, so that no reply waits for it."""

from __future__ import annotations

import threading
from collections.abc import Callable

import apsw

OnFatal = Callable[[BaseException], None]

# The writer moves the rest while its askers wait: a millisecond or two.
REST_PAGES_MAX = 100
# Against a writer that appends as fast as pages are moved, chasing it helps nobody.
ROUNDS_MAX = 5


class Checkpointer:
    """A thread with a connection of its own; asked by the writer, which finishes what this one has all but done.

    Only a log that is moved to its last page can begin anew, and only the writer can see to that, between two
    commits; but moving thousands of pages there made one reply in a hundred 40 ms late.
    """

    def __init__(self, connection: apsw.Connection, on_fatal: OnFatal) -> None:
        self._connection = connection
        self._on_fatal = on_fatal
        self._wanted = threading.Semaphore(0)
        self._started = False  # and its end not yet taken
        self._at_rest = threading.Event()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="sqlite-checkpointer", daemon=True)
        self._thread.start()

    def start(self) -> None:
        """Begin to move the log; does nothing while it is being moved already."""
        if not self._started:
            self._started = True
            self._at_rest.clear()
            self._wanted.release()

    def take_end(self, *, wait: bool) -> bool:
        """Say, once for each start, that the log is moved but for a rest; `wait` until it is."""
        if not self._started or not (self._at_rest.wait() if wait else self._at_rest.is_set()):
            return False
        self._started = False
        return True

    def close(self) -> None:
        """Finish and close the connection; returns when that is done."""
        self._closing = True
        self._wanted.release()
        self._thread.join()

    def _run(self) -> None:
        try:
            while self._wanted.acquire() and not self._closing:
                self._move_log()
                self._at_rest.set()
            self._connection.close()
        except BaseException as error:  # noqa: BLE001 - whatever ends this thread must end the process
            self._on_fatal(error)
            self._at_rest.set()

    def _move_log(self) -> None:
        moved = 0
        for _ in range(ROUNDS_MAX):
            pages, moved_now = move_log(self._connection)
            if pages - moved < REST_PAGES_MAX:
                return
            moved = moved_now


def move_log(connection: apsw.Connection, *, wait_for_readers: bool = False) -> tuple[int, int]:
    """Move what can be moved, without waiting unless told, and return the pages in the log and those moved.

    Raises apsw.IOError when a sync fails. SQLite's own automatic checkpoint would swallow that, and the next sync
    would report success for pages that the kernel has dropped.
    """
    mode = apsw.SQLITE_CHECKPOINT_RESTART if wait_for_readers else apsw.SQLITE_CHECKPOINT_PASSIVE
    try:
        return connection.wal_checkpoint(mode=mode)
    except apsw.BusyError:
        return (0, 0)  # a reader outlasted the busy timeout: the log grows a little until the next attempt
