"""Tells when a script on the disk has changed."""

from __future__ import annotations

import os
import stat


class LocalScripts:
    """See `ScriptFiles`."""

    def stamp(self, path: str) -> tuple[int, ...] | None:
        """See `ScriptFiles`: inode, size, time of change and mode."""
        try:
            status = os.stat(path)
        except OSError:
            return None
        if not stat.S_ISREG(status.st_mode):
            return None
        return status.st_ino, status.st_size, status.st_mtime_ns, status.st_mode
