"""Writes one line per request to logs/access.log: who, from where, what, the answer; never a token."""

from __future__ import annotations

import json
import threading
from datetime import datetime, timedelta
from pathlib import Path

from foundation.log import json_line
from foundation.log_files import LogFile
from foundation.tokens import mask


class AccessLog:
    """A file of JSON lines that is renamed when it is full; the oldest of the renamed ones goes."""

    def __init__(self, path: Path, *, bytes_max: int, files_max: int) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = LogFile(path, bytes_max=bytes_max, files_max=files_max, stays_open=True)
        self._one_at_a_time = threading.Lock()
        self._missing = 0

    def write(
        self,
        *,
        at: datetime,
        who: str | None,
        source: str,
        method: str,
        path: str,
        route: str | None,
        status: int,
        took: timedelta,
    ) -> None:
        """Adds a line. `who` is the token's id (None: no token, or no good one), `route` the rule that answered."""
        line = json_line(
            {
                "at": at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
                "who": who,
                "from": source,
                "method": method,
                "path": path[:500],
                "route": route,
                "status": status,
                "ms": round(took / timedelta(milliseconds=1), 1),
            }
        )
        data = f"{mask(line)}\n".encode(errors="backslashreplace")
        with self._one_at_a_time:
            # A full disk keeps no request from its answer; how many are missing is said by the next that has room.
            try:
                if self._missing:
                    missing = json.dumps({"missing": self._missing})
                    data = f"{missing}\n".encode() + data
                self._file.append(data)
                self._missing = 0
            except OSError:
                self._missing += 1

    def close(self) -> None:
        """Closes the file."""
        with self._one_at_a_time:
            self._file.close()
