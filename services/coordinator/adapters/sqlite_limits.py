"""Writes the same limits once, however many tasks have them."""

import apsw

from services.coordinator.adapters.queries import SQL
from services.coordinator.adapters.rows import written_limits
from services.coordinator.domain.task import LimitUse

# Whoever gives each task limits of its own must not fill a table that nothing ever empties.
LIMIT_SETS_MAX = 1_000


class LimitSets:
    """What one transaction has found out about them; what it adds may be undone with it."""

    def __init__(self, connection: apsw.Connection) -> None:
        self._execute = connection.execute
        self._placed: dict[tuple[LimitUse, ...], tuple[str | None, int | None]] = {(): (None, None)}

    def place(self, limits: tuple[LimitUse, ...]) -> tuple[str | None, int | None]:
        """Return the values of `limits` and `limit_set` for a row: one of them, or neither where there are none."""
        placed = self._placed.get(limits)
        if placed is None:
            text = written_limits(limits)
            number = self._execute(SQL["limit_set"], (text,)).get
            if number is None:
                number = self._execute(SQL["add_limit_set"], (text, LIMIT_SETS_MAX)).get
            placed = self._placed[limits] = (text, None) if number is None else (None, number)
        return placed
