"""Writes a document as a JSON file for people: whole, only when it changed, and over every hand that edits it."""

import json
import os
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from foundation.files import atomic_write
from foundation.log import get_logger

Stamp = tuple[int, int, int]

_log = get_logger("coordinator")

QUEUE_REMEDY = "`quantum queue clear` empties the queue, and can be undone."
AGENTS_REMEDY = (
    "`quantum stop --all` ends what runs; `quantum recover --all` lets held agents go, `quantum breaker reset` one."
)
"""What to type instead of editing an export."""


def text_of(document: Mapping[str, object]) -> str:
    """The document as it stands in its file."""
    return json.dumps(document, ensure_ascii=False, separators=(",", ":"))


def size_of(document: Mapping[str, object]) -> int:
    """How many bytes a document takes in its file."""
    return len(text_of(document).encode())


class ExportFile:
    """One export. `remedy` names what to do instead of editing it."""

    def __init__(self, path: Path, remedy: str) -> None:
        self._path = path
        self._remedy = remedy
        self._text = ""
        self._written: Stamp | None = None
        self._failed = False

    def put(self, document: Mapping[str, object], *, now: datetime) -> bool:
        """Write the document if it is another than the last one; return whether it was written."""
        text = text_of(document)
        if text == self._text and not self._failed:
            return False
        self._text = text
        return self._write(now)

    def restore(self, *, now: datetime) -> bool:
        """Write it again when somebody else wrote or removed it, or when that failed; return whether it was so."""
        if not self._text or not (self._failed or self._touched()):
            return False
        return self._write(now)

    def _touched(self) -> bool:
        return self._written is not None and self._stamp() != self._written

    def _write(self, now: datetime) -> bool:
        if self._touched():
            _log.warning(
                f"{self._path.name} was changed by hand and is written anew: nothing reads it. {self._remedy}",
                action="export_restored",
                file=str(self._path),
            )
        head = {"written_at": now.isoformat(timespec="seconds"), "note": f"An export, never read. {self._remedy}"}
        # The document's own text goes in as it is: it was made once already.
        text = json.dumps(head, ensure_ascii=False)[:-1] + "," + self._text[1:] + "\n"
        try:
            atomic_write(self._path, text.encode(), 0o644, durable=False)
        except OSError as error:
            self._complain(error)
            return False
        self._written, self._failed = self._stamp(), False
        return True

    def _complain(self, error: OSError) -> None:
        if not self._failed:
            _log.warning(f"{self._path} cannot be written: {error.strerror}.", action="export_failed")
        self._written, self._failed = None, True

    def _stamp(self) -> Stamp | None:
        try:
            status = os.lstat(self._path)
        except OSError:
            return None
        return (status.st_ino, status.st_size, status.st_mtime_ns)
