"""The one thread that writes: all that waits shares a transaction, and nobody hears before it is durable."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import apsw

from foundation.errors import Internal
from foundation.sqlite.checkpointer import Checkpointer, OnFatal, move_log
from foundation.sqlite.cursors import Cursors
from foundation.sqlite.jobs import Job, JobQueue, deliver, in_our_words

# Bounds how long the first asker of a batch waits for the last one's work.
BATCH_WORKS_MAX = 512
# 16 MiB: a page that is written again and again is moved once.
CHECKPOINT_PAGES = 4_000
# Past this the writer waits for the checkpointer, and for a reader that keeps the log from beginning anew.
LOG_PAGES_MAX = 4 * CHECKPOINT_PAGES
# 1 GiB: while the database is being copied nobody waits for that reader, as long as the log is shorter.
COPY_LOG_PAGES_MAX = 262_144

# After one of these the file or the disk cannot be trusted. A failed sync must never be tried again:
# the kernel has dropped the pages, and the second sync would report success for bytes that are gone.
FATAL = (apsw.IOError, apsw.CorruptError, apsw.NotADBError)


class Writer:
    """Runs works in groups on one connection of its own, which it closes at the end."""

    def __init__(self, connection: apsw.Connection, checkpointer: Checkpointer, on_fatal: OnFatal) -> None:
        self._connection = connection
        self._cursors = Cursors(connection)
        self._on_fatal = on_fatal
        self._checkpointer = checkpointer
        self._pages = 0  # in the log
        self._moved = 0  # of these, into the database already
        self._copies = 0
        self.jobs = JobQueue()
        connection.set_wal_hook(self._count_pages)
        self._thread = threading.Thread(target=self._run, name="sqlite-writer", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Finish what is queued, then close the connection; returns when that is done."""
        self.jobs.close()
        self._thread.join()

    @contextmanager
    def patient(self) -> Iterator[Callable[[], bool]]:
        """Within the block, let the log grow instead of waiting for whoever copies the database.

        What it gives says whether the log has grown so long that the copying has to be given up.
        """
        self._copies += 1
        try:
            yield lambda: self._pages >= COPY_LOG_PAGES_MAX
        finally:
            self._copies -= 1

    def _run(self) -> None:
        batch: list[Job] = []
        try:
            while (waiting := self.jobs.take_waiting(BATCH_WORKS_MAX)) is not None:
                batch = waiting
                self._commit_together(batch)
                deliver(batch)
                batch = []
                self._tend_log()
            self._checkpointer.close()
            self._connection.close()
        except BaseException as error:  # noqa: BLE001 - whatever ends this thread must end the process
            self._die(error, batch)

    def _commit_together(self, batch: list[Job]) -> None:
        """Run the batch in one transaction; on return every job holds an outcome that is durable."""
        try:
            self._connection.execute("begin immediate")
            for job in batch:
                self._attempt(job)
            self._connection.execute("commit")
        except FATAL:
            raise
        except Exception as error:  # noqa: BLE001 - goes to the askers
            # Busy, full, or a constraint deferred to the commit: nothing was stored, so all may hear it.
            if self._connection.in_transaction:
                self._connection.execute("rollback")
            for job in batch:
                job.fail(in_our_words(error))

    def _attempt(self, job: Job) -> None:
        """Run one work in its own savepoint; what it raises undoes its own changes only."""
        if job.future.cancelled():
            return
        execute = self._connection.execute
        execute("savepoint work")
        try:
            try:
                job.result = job.work(self._connection)
            finally:
                self._cursors.close()
        except FATAL:
            raise
        except Exception as error:
            if not self._connection.in_transaction:
                raise  # SQLite undid the whole transaction (a full disk): the others' works are gone too
            execute("rollback to work")
            job.fail(in_our_words(error))
        execute("release work")

    def _count_pages(self, _connection: apsw.Connection, _database: str, pages: int) -> int:
        if pages < self._pages:
            self._moved = 0  # the log began anew
        self._pages = pages
        return apsw.SQLITE_OK

    def _tend_log(self) -> None:
        """Keep the log short; called when the askers have been told."""
        too_long = self._pages >= LOG_PAGES_MAX and not self._copies
        if self._checkpointer.take_end(wait=too_long):
            move_log(self._connection, wait_for_readers=too_long)
            self._moved = self._pages
        elif self._pages - self._moved >= CHECKPOINT_PAGES:
            self._checkpointer.start()

    def _die(self, error: BaseException, batch: list[Job]) -> None:
        """Stop the process; what stands behind it answers the askers only where a test replaced that."""
        self._on_fatal(error)
        self.jobs.close()
        gone = Internal("database_failed", "The database failed and was closed; the outcome is not known.")
        gone.__cause__ = error
        waiting: list[Job] | None = batch
        while waiting is not None:
            for job in waiting:
                job.fail(gone)
            deliver(waiting)
            waiting = self.jobs.take_waiting(BATCH_WORKS_MAX)
