"""The machine: what Quantum needs of it, whatever the workspace."""

from __future__ import annotations

import os
import platform
import resource
import shutil
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cli.doctor.findings import Finding, fail, ok, quoted
from cli.doctor.subject import Subject
from foundation.quantities import format_duration

PYTHON_MIN = (3, 11)
SQLITE_MIN = (3, 51, 3)
OPEN_FILES_MIN = 256
CLOCK_SLACK = timedelta(minutes=2)
"""Files on a network drive carry its server's time."""


def python(subject: Subject) -> Iterator[Finding]:
    """Whether it is new enough, and has what Quantum is made of."""
    found = f"{platform.python_version()} at {sys.executable}"
    if sys.version_info[:2] < PYTHON_MIN:
        yield fail(
            "python", f"{found}; {'.'.join(map(str, PYTHON_MIN))} is the oldest that works.", _install("python3")
        )
    else:
        yield ok("python", found)


def system(subject: Subject) -> Iterator[Finding]:
    """What it is."""
    said = f"{platform.system()} {platform.release()}, {os.cpu_count()} processors"
    yield ok("platform", f"{said}; designed for, not run there yet" if sys.platform == "darwin" else said)


def sqlite(subject: Subject) -> Iterator[Finding]:
    """Older ones can damage a database in WAL mode."""
    import apsw

    version = apsw.sqlite_lib_version()
    wanted = ".".join(map(str, SQLITE_MIN))
    if tuple(map(int, version.split(".")[:3])) < SQLITE_MIN:
        install = f"{quoted(sys.executable)} -m pip install --upgrade --force-reinstall 'apsw-sqlite3mc>={wanted}'"
        yield fail("sqlite", f"{version} of {apsw.__file__} can damage a database in WAL mode.", install)
    else:
        yield ok("sqlite", f"{version}, from {wanted} on")


def git(subject: Subject) -> Iterator[Finding]:
    """Agents that look at repositories and the merge guard need it."""
    path = shutil.which("git", path=subject.session.environ.get("PATH"))
    if path:
        yield ok("git", path)
    else:
        yield fail(
            "git",
            "It is not on the PATH; the merge guard and agents that look at repositories need it.",
            _install("git"),
        )


def _install(package: str) -> str:
    return f"brew install {package}" if sys.platform == "darwin" else f"sudo apt-get install -y {package}"


def open_files(subject: Subject) -> Iterator[Finding]:
    """How many files a process may have open that is started from here."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < OPEN_FILES_MIN:
        wanted = 1024 if hard == resource.RLIM_INFINITY else min(hard, 1024)
        yield fail(
            "open files", f"A process may have {soft} open, and {OPEN_FILES_MIN} are needed.", f"ulimit -n {wanted}"
        )
    else:
        yield ok("open files", "no limit" if soft == resource.RLIM_INFINITY else f"{soft} for each process")


def clock(subject: Subject) -> Iterator[Finding]:
    """A clock that stands before what was written here is behind; leases, tokens and schedules go by it."""
    now = subject.session.clock.now()
    path, newest = _newest(subject)
    if newest is None or newest <= now + CLOCK_SLACK:
        yield ok("clock", f"{now.astimezone():%Y-%m-%d %H:%M:%S %Z}, behind nothing that was written here")
        return
    ahead = format_duration(timedelta(seconds=int((newest - now).total_seconds())))
    yield fail("clock", f"It is {ahead} behind the newest file of this workspace, {path}.", _set_clock(subject, newest))


def _newest(subject: Subject) -> tuple[Path | None, datetime | None]:
    if not subject.initialised:
        return None, None
    workspace = subject.here
    paths = (
        workspace.system_log,
        workspace.runtime,
        workspace.audit / "checkpoint.json",
        *(Path(f"{path}{tail}") for path in (workspace.coordinator_db, workspace.safety_db) for tail in ("", "-wal")),
    )
    times = [(path.stat().st_mtime, path) for path in paths if path.exists()]
    if not times:
        return None, None
    seconds, path = max(times)
    return path, datetime.fromtimestamp(seconds, UTC)


def _set_clock(subject: Subject, newest: datetime) -> str:
    """By whatever keeps the time here; without any, to the newest time that is known to have been."""
    if sys.platform == "darwin":
        return "sudo sntp -sS time.apple.com"
    search = subject.session.environ.get("PATH")
    if shutil.which("timedatectl", path=search):
        return "sudo timedatectl set-ntp true"
    if shutil.which("chronyc", path=search):
        return "sudo chronyc makestep"
    return f"sudo date -u -s {quoted(f'{newest:%Y-%m-%d %H:%M:%S}')}"


CHECKS = (python, system, sqlite, git, open_files, clock)
