"""The audit log's checkpoint as a small file of its own, replaced whole."""

from __future__ import annotations

import json
import os
from pathlib import Path

from foundation.files import atomic_write, sync_directory
from services.safety.domain.audit import Checkpoint, Head


class FileCheckpoint:
    """`checkpoint.json` in a folder of mode 0700, which is made when it is not there."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._path = folder / "checkpoint.json"
        self._staged = folder / "checkpoint.next"

    def read(self) -> Checkpoint | None:
        """The checkpoint, None without one; raises ValueError for what is none."""
        try:
            content = self._path.read_bytes()
        except FileNotFoundError:
            return None
        try:
            found = json.loads(content)
            head = Head(count=int(found["count"]), digest=str(found["head"]))
            return Checkpoint(head=head, mac=str(found["mac"]))
        except (KeyError, TypeError, ValueError):
            raise ValueError(f"{self._path} holds no checkpoint") from None

    def stage(self, checkpoint: Checkpoint) -> None:
        """Write a checkpoint beside the one that stands, durably."""
        self._folder.mkdir(mode=0o700, exist_ok=True)
        content = {"count": checkpoint.head.count, "head": checkpoint.head.digest, "mac": checkpoint.mac}
        atomic_write(self._staged, f"{json.dumps(content)}\n".encode(), 0o600)

    def publish(self) -> None:
        """Let the staged one take the place of the one that stands, durably."""
        os.replace(self._staged, self._path)
        sync_directory(self._folder)
