"""When each person last looked in the morning: a small file of the workspace that only the command line reads."""

from __future__ import annotations

import getpass
import json
import os
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from foundation.files import atomic_write
from foundation.workspace import Workspace


@dataclass(frozen=True, slots=True)
class Looked:
    """`.quantum/morning.json`: a moment for each user. What cannot be read counts as never."""

    path: Path

    @classmethod
    def of(cls, workspace: Workspace) -> Looked:
        """That of a workspace."""
        return cls(workspace.state / "morning.json")

    def last(self) -> datetime | None:
        """When you did; None: never, or it is not known any more."""
        try:
            return datetime.fromisoformat(self._read()[_user()])
        except (KeyError, TypeError, ValueError):
            return None

    def note(self, now: datetime) -> None:
        """You have, now. What others have stays. Raises OSError."""
        atomic_write(self.path, json.dumps({**self._read(), _user(): now.isoformat()}).encode(), 0o600)

    def _read(self) -> dict[str, str]:
        try:
            found = json.loads(self.path.read_bytes())
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a uid without a name
        return str(os.geteuid())
