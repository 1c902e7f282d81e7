"""Notes of what was done to secrets, for the audit log: a keychain is changed whether safety runs or not.

Each note is a small file, durable before its act; safety takes it up within a second, or at its next start. It holds
the name of the secret, never the secret.
"""

from __future__ import annotations

import json
import os
import pwd
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from foundation.files import atomic_write, sync_directory
from foundation.ids import is_id

SECRET_SET, SECRET_REMOVE = "secret_set", "secret_remove"
BYTES_MAX = 1024
_MODE = 0o600


class SecretAct(NamedTuple):
    """One act; `user` is who owns the note, by name where there is one."""

    id: str
    at: datetime
    user: str
    act: str
    name: str


class SecretActs:
    """The notes in a folder, which is made with the first."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def note(self, act: str, name: str, *, id: str, now: datetime) -> None:
        """Note an act that is about to be done. Durable on return; raises OSError."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        text = json.dumps({"at": now.isoformat(), "act": act, "name": name})
        atomic_write(self._folder / id, text.encode(), _MODE)

    def waiting(self, most: int) -> tuple[Sequence[SecretAct], Sequence[str]]:
        """The oldest notes, at most so many, and the ids of those among them that say nothing. Raises OSError."""
        good: list[SecretAct] = []
        bad: list[str] = []
        for id in islice(self._ids(), most):
            act = self._read(id)
            if act is None:
                bad.append(id)
            else:
                good.append(act)
        return good, bad

    def forget(self, ids: Iterable[str]) -> None:
        """Take notes away, durably. Raises OSError."""
        for id in ids:
            (self._folder / id).unlink(missing_ok=True)
        sync_directory(self._folder)

    def _ids(self) -> Iterator[str]:
        return iter(sorted(filter(is_id, os.listdir(self._folder))) if self._folder.is_dir() else ())

    def _read(self, id: str) -> SecretAct | None:
        descriptor = os.open(self._folder / id, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            text, owner = os.read(descriptor, BYTES_MAX), os.fstat(descriptor).st_uid
        finally:
            os.close(descriptor)
        try:
            said = json.loads(text)
            at, act, name = datetime.fromisoformat(said["at"]), said["act"], said["name"]
        except (ValueError, KeyError, TypeError):
            return None
        known = act in (SECRET_SET, SECRET_REMOVE) and isinstance(name, str) and at.tzinfo is not None
        return SecretAct(id, at, _user(owner), act, name) if known else None


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"
