"""Says of a file that the system does not let us touch whose it is, and what to do."""

from __future__ import annotations

import os
import pwd
from pathlib import Path

from foundation.errors import Denied


def refused(error: PermissionError) -> Denied:
    """The refusal as a sentence; in another user's workspace the remedy is to be that user, or to have one's own."""
    if not isinstance(error.filename, str):
        return Denied("not_permitted", f"The system does not let you do this: {error.strerror or error}.")
    path = Path(error.filename)
    owner = _owner_of_nearest(path)
    if owner is None or owner == os.geteuid():
        remedy = f"Look at the rights of the file and its folder: ls -ld {path.parent} {path}"
    else:
        remedy = (
            f"It belongs to {_name_of(owner)}: work as that user, or in a folder of your own (quantum init FOLDER)."
        )
    return Denied("not_permitted", f"{path} may not be read or written by you.", remedy=remedy)


def _owner_of_nearest(path: Path) -> int | None:
    """The owner of the file, or of the innermost folder above it that can be looked at."""
    for place in (path, *path.parents):
        try:
            return place.lstat().st_uid
        except OSError:
            continue
    return None


def _name_of(user: int) -> str:
    try:
        return pwd.getpwuid(user).pw_name
    except KeyError:
        return f"user {user}"
