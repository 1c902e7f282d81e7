"""Looks at what is in a scratch folder, so many entries at a time: one of a million files costs no more at once than
a small one."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator

# A name costs about a microsecond, its size four: at most 1 % of the time between two passes, 3 % where a look did not
# reach the end. That overtakes whoever makes files as fast as the system lets them.
NAMES_PER_LOOK = 2_000
NAMES_PER_LONG_LOOK = 6_000
SIZES_PER_LOOK = 500
SIZES_PER_LONG_LOOK = 1_000


class Survey:
    """Goes through one folder again and again; what it has found so far in a round counts at once."""

    __slots__ = ("_found", "_paths", "_scan", "_weighs", "fathomed", "found", "path", "rounds")

    def __init__(self, path: str, *, weighs: bool) -> None:
        """Counts entries, or (`weighs`) the room that they take."""
        self.path = path
        self.fathomed = True  # nothing was nested too deep to be looked at
        self.found = 0  # in the last round, or in this one when it is more already
        self.rounds = 0
        self._weighs = weighs
        self._begin()

    def _begin(self) -> None:
        self._paths = [self.path]
        self._scan: Iterator[os.DirEntry[str]] = iter(())
        self._found = 0

    def look(self, entries: int) -> bool:
        """Go on for so many entries; true when a round is complete, and the next look begins a new one."""
        for _ in range(entries):
            entry = next(self._scan, None)
            if entry is not None:
                self._count(entry)
            elif self._paths:
                self._open(self._paths.pop())
            else:
                self.found = self._found
                self.rounds += 1
                self._begin()
                return True
        self.found = max(self.found, self._found)
        return False

    def _open(self, path: str) -> None:
        try:
            self._scan = os.scandir(path)
        except OSError as error:
            self._note(error)

    def _count(self, entry: os.DirEntry[str]) -> None:
        try:
            is_folder = entry.is_dir(follow_symlinks=False)
            if is_folder:
                self._paths.append(entry.path)
            if self._weighs:
                status = entry.stat(follow_symlinks=False)
                # A file of several names is counted once in all.
                self._found += status.st_blocks * 512 // (1 if is_folder else max(status.st_nlink, 1))
            else:
                self._found += 1
        except OSError as error:
            self._note(error)

    def _note(self, error: OSError) -> None:
        # Anything else has gone meanwhile, or is something else now: the next round will see it as it is.
        if error.errno in (errno.ENAMETOOLONG, errno.EACCES):
            self.fathomed = False


class WorkWatch:
    """The scratch folder of one attempt under its limits."""

    __slots__ = ("_names", "_sizes", "_unfinished")

    def __init__(self, path: str, *, counts: bool, weighs: bool) -> None:
        self._names = Survey(path, weighs=False) if counts else None
        self._sizes = Survey(path, weighs=True) if weighs else None
        self._unfinished = False

    @property
    def files(self) -> int:
        """Entries found, folders too."""
        return self._names.found if self._names else 0

    @property
    def taken_bytes(self) -> int:
        """Room found taken on the disk; holes take none."""
        return self._sizes.found if self._sizes else 0

    @property
    def fathomed(self) -> bool:
        """Whether everything in it could be looked at."""
        return all(survey.fathomed for survey in (self._names, self._sizes) if survey)

    def look(self) -> None:
        """The share of one pass."""
        long = self._unfinished
        done = True
        if self._names:
            done &= self._names.look(NAMES_PER_LONG_LOOK if long else NAMES_PER_LOOK)
        if self._sizes:
            done &= self._sizes.look(SIZES_PER_LONG_LOOK if long else SIZES_PER_LOOK)
        self._unfinished = not done

    def look_once_more(self) -> Iterator[None]:
        """A whole round of what is there now, by and by."""
        for survey, entries in ((self._names, NAMES_PER_LONG_LOOK), (self._sizes, SIZES_PER_LONG_LOOK)):
            if survey:
                last = Survey(survey.path, weighs=survey is self._sizes)
                while not last.look(entries):
                    survey.found = max(survey.found, last.found)
                    yield
                survey.found = max(survey.found, last.found)
                survey.fathomed &= last.fathomed
