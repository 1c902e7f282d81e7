"""Remembers the cursors of one connection, so that none outlives the work that opened it."""

from __future__ import annotations

import apsw


class Cursors:
    """Every cursor that a connection has made since the last `close`.

    A statement that was left half read (by an iterator that somebody keeps, or by the traceback of an error) holds
    its snapshot. On a reader every later read would be as old; on the writer no checkpoint could be made.
    """

    def __init__(self, connection: apsw.Connection) -> None:
        self._made: list[apsw.Cursor] = []
        connection.cursor_factory = self._make

    def close(self) -> None:
        """Close them all, whatever state they are in."""
        for cursor in self._made:
            cursor.close(True)
        self._made.clear()

    def _make(self, connection: apsw.Connection) -> apsw.Cursor:
        cursor = apsw.Cursor(connection)
        self._made.append(cursor)
        return cursor
