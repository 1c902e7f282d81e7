"""What tells one start of a process from any later holder of the same pid."""

from __future__ import annotations

from pathlib import Path

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_HAS_PROC = _BOOT_ID.exists()
_STATE, _STARTED = 0, 19
"""Places in /proc/<pid>/stat, counted behind the name, which may itself hold spaces and brackets."""


def identity_of(pid: int) -> str:
    """What tells this start of a process from any other; empty when it does not run."""
    return _identity_on_linux(pid) if _HAS_PROC else _identity_elsewhere(pid)


def _identity_on_linux(pid: int) -> str:
    # Ticks since boot: unlike a time of day, they do not move when the clock is set.
    try:
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    except OSError:
        return ""
    if fields[_STATE] in (b"Z", b"X"):
        return ""
    return f"{_BOOT_ID.read_text()[:8]}-{fields[_STARTED].decode()}"


def _identity_elsewhere(pid: int) -> str:
    import psutil

    try:
        found = psutil.Process(pid)
        return "" if found.status() == psutil.STATUS_ZOMBIE else f"{found.create_time():.6f}"
    except psutil.Error:
        return ""
