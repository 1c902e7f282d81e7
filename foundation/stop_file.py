"""The order that everything stop: a file, which stands whatever a database says."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from foundation.files import sync, sync_directory, write_all


@dataclass(frozen=True, slots=True, kw_only=True)
class StopOrder:
    """The order that everything stop and nothing start."""

    who: str
    why: str
    at: datetime | None
    """When it was given; None when the file does not say."""


class StopFile:
    """`.quantum/STOP`: means STOPPED whatever a database says, as long as it is there, whatever is in it."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def is_set(self) -> bool:
        """Whether the order stands; one system call, to be asked before every start. In doubt, it stands."""
        try:
            os.lstat(self._path)
        except FileNotFoundError:
            return False
        except OSError:
            return True
        return True

    def read(self) -> StopOrder | None:
        """The order, None when there is none. A file that cannot be read is an order all the same."""
        try:
            content = self._path.read_bytes()
        except FileNotFoundError:
            return None if not self.is_set() else StopOrder(who="unknown", why="it does not say", at=None)
        except OSError as error:
            return StopOrder(who="unknown", why=f"the file cannot be read: {error.strerror}", at=None)
        return _parse_order(content)

    def write(self, *, who: str, why: str, now: datetime) -> StopOrder:
        """Gives the order and returns once it survives a power cut; one that stands already stays."""
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        order = json.dumps({"who": who, "why": why, "at": now.isoformat()}, ensure_ascii=False)
        try:
            descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        except FileExistsError:
            sync_directory(self._path.parent)
            return self.read() or self.write(who=who, why=why, now=now)
        try:
            write_all(descriptor, f"{order}\n".encode())
            sync(descriptor)
        finally:
            os.close(descriptor)
        sync_directory(self._path.parent)
        return StopOrder(who=who, why=why, at=now)

    def clear(self) -> bool:
        """Takes the order back and returns once that is durable; says whether there was one."""
        try:
            os.unlink(self._path)
        except FileNotFoundError:
            return False
        sync_directory(self._path.parent)
        return True


def _parse_order(content: bytes) -> StopOrder:
    """Reads an order; a person may have made the file with `touch`, or written a plain sentence into it."""
    try:
        order = json.loads(content)
        at = datetime.fromisoformat(order["at"])
        return StopOrder(who=str(order["who"]), why=str(order["why"]), at=at)
    except (ValueError, KeyError, TypeError):
        said = content[:200].decode(errors="replace").strip()
        return StopOrder(who="unknown", why=said or "it does not say", at=None)
