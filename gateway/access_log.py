"""Writes one line per request to logs/access.log: who, from where, what, the answer; never a token."""

from __future__ import annotations

import json
import logging
import logging.handlers
from datetime import datetime, timedelta
from io import TextIOWrapper
from pathlib import Path
from typing import cast

from foundation.log import open_private
from foundation.tokens import mask


class _PrivateFile(logging.handlers.RotatingFileHandler):
    """Who asked for what is for the system's user alone."""

    def _open(self) -> TextIOWrapper:
        opened = open(  # noqa: SIM115 - the handler closes it
            self.baseFilename, self.mode, encoding=self.encoding, errors=self.errors, opener=open_private
        )
        return cast(TextIOWrapper, opened)  # the mode is one for text


class AccessLog:
    """A file of JSON lines that is renamed when it is full; the oldest of the renamed ones goes."""

    def __init__(self, path: Path, *, bytes_max: int, files_max: int) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._handler = _PrivateFile(path, maxBytes=bytes_max, backupCount=files_max, encoding="utf-8")

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
        line = json.dumps(
            {
                "at": at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
                "who": who,
                "from": source,
                "method": method,
                "path": path[:500],
                "route": route,
                "status": status,
                "ms": round(took / timedelta(milliseconds=1), 1),
            },
            ensure_ascii=False,
        )
        self._handler.handle(logging.makeLogRecord({"msg": "%s", "args": (mask(line),), "levelno": logging.INFO}))

    def close(self) -> None:
        """Closes the file."""
        self._handler.close()
