"""`logs/errors/`: a file for each failed attempt, the oldest removed beyond a number and a size."""

import contextlib
import os
from collections.abc import Sequence
from pathlib import Path

from foundation.files import atomic_write
from foundation.tokens import mask
from services.coordinator.domain.error_report import ErrorReport


class ErrorFiles:
    """See `ErrorFolder`. A name stands for one attempt, so that writing one again changes nothing."""

    def __init__(self, folder: Path, bytes_max: int, files_max: int) -> None:
        self._folder = folder
        self._bytes_max = bytes_max
        self._files_max = files_max

    def write(self, reports: Sequence[ErrorReport]) -> None:
        """See `ErrorFolder`."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for report in reports:
            text = mask(report.text).encode(errors="backslashreplace")
            atomic_write(self._folder / report.name, text, durable=False)
        self._forget_oldest()

    def _forget_oldest(self) -> None:
        """Whole files only; the newest stays in any case."""
        sizes = {}
        with os.scandir(self._folder) as entries:
            for entry in entries:
                with contextlib.suppress(FileNotFoundError):
                    if entry.name.endswith(".txt") and entry.is_file(follow_symlinks=False):
                        sizes[entry.name] = entry.stat(follow_symlinks=False).st_blocks * 512
        total = sum(sizes.values())
        for name in sorted(sizes)[:-1]:
            if total <= self._bytes_max and len(sizes) <= self._files_max:
                return
            total -= sizes.pop(name)
            with contextlib.suppress(FileNotFoundError):
                (self._folder / name).unlink()
