"""The notes that the command line leaves about secrets, as safety reads them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from foundation.errors import Unavailable
from foundation.secret_acts import SecretAct, SecretActs


class SecretNoteFiles:
    """Files in a folder; raises Unavailable naming it when they cannot be read or removed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._acts = SecretActs(folder)

    def waiting(self, most: int) -> tuple[Sequence[SecretAct], Sequence[str]]:
        """The oldest, and the ids of those that say nothing."""
        with self._told():
            return self._acts.waiting(most)

    def forget(self, ids: Iterable[str]) -> None:
        """Take them away, durably."""
        with self._told():
            self._acts.forget(ids)

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise Unavailable(
                "secret_notes_unreadable",
                f"{self._folder} cannot be read or written: {error.strerror}.",
            ) from error
