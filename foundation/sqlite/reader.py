"""Threads that read beside the writer, each work in one consistent snapshot."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import apsw

from foundation.sqlite.cursors import Cursors
from foundation.sqlite.jobs import Job, JobQueue, deliver, in_our_words


class Readers:
    """One thread per connection, fed from one queue."""

    def __init__(self, connections: Sequence[apsw.Connection]) -> None:
        self.jobs = JobQueue()
        self._threads = [
            threading.Thread(target=self._run, args=(connection,), name=f"sqlite-reader-{number}", daemon=True)
            for number, connection in enumerate(connections)
        ]
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """Finish what is queued, then close the connections; returns when that is done."""
        self.jobs.close(takers=len(self._threads))
        for thread in self._threads:
            thread.join()

    def _run(self, connection: apsw.Connection) -> None:
        cursors = Cursors(connection)
        while (job := self.jobs.take()) is not None:
            _read(connection, cursors, job)
            deliver((job,))
        connection.close()


def _read(connection: apsw.Connection, cursors: Cursors, job: Job) -> None:
    if job.future.cancelled():
        return
    try:
        connection.execute("begin")
        job.result = job.work(connection)
    except apsw.ReadOnlyError as error:
        job.fail(error)  # the work wanted to write: its own fault, not the machine's
    except BaseException as error:  # noqa: BLE001 - goes to the asker
        job.fail(in_our_words(error))
    finally:
        # The snapshot ends here; a rollback alone does not end one that a cursor holds.
        if connection.in_transaction:
            connection.execute("rollback")
        cursors.close()
