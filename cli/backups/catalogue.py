"""Which backups there are, as their folder shows without a key."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cli.backups.archive import header_of
from foundation.backup_ids import made_at_of
from foundation.errors import QuantumError
from foundation.files import atomic_write, sync_directory
from foundation.settings import load
from foundation.workspace import Workspace

SUFFIX = ".qbk"
VERDICT_SUFFIX = ".checked.json"
NOT_CHECKED = "It was never checked to its end."


@dataclass(frozen=True, slots=True, kw_only=True)
class BackupEntry:
    """One backup. `good`: it was restored into a scratch folder and found whole there, at `checked_at`.

    `fault` says as a sentence why it is not good; empty for one that is. `made_at` is in UTC, by the clock of then;
    `number` is what tells which was made later, also where a clock was ahead.
    """

    id: str
    number: int
    path: Path
    made_at: datetime
    bytes: int
    good: bool
    checked_at: datetime | None
    fault: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaceSettings:
    """Where backups lie."""

    backup_folder: str


def folder_of(workspace: Workspace, environ: Mapping[str, str] = os.environ) -> Path:
    """The folder of a workspace's backups: `.quantum/backups`, or its own one in what `backup_folder` says.

    That is from the workspace's root, and may be shared: each would else prune the others' as older ones of its own.
    """
    chosen = load(PlaceSettings, environ=environ, workspace=workspace).backup_folder
    if not chosen:
        return workspace.state / "backups"
    return (workspace.root / Path(chosen).expanduser()).resolve() / f"{workspace.root.name}-{workspace.key12}"


def entries(workspace: Workspace, environ: Mapping[str, str] = os.environ) -> Sequence[BackupEntry]:
    """Every backup of a workspace, the one that was made last first; no key is needed.

    What was found when one was checked is believed here as it was written down beside it; `quantum backup verify` finds
    it out anew. Raises Invalid for settings that cannot be read.
    """
    folder = folder_of(workspace, environ)
    found = [_entry(path) for path in folder.glob(f"*{SUFFIX}")] if folder.is_dir() else []
    return sorted(
        (entry for entry in found if entry is not None), key=lambda entry: (entry.number, entry.id), reverse=True
    )


def next_number(workspace: Workspace, environ: Mapping[str, str]) -> int:
    """The number of the backup that is made next: beyond each that is there."""
    return 1 + max((entry.number for entry in entries(workspace, environ)), default=0)


def note_verdict(path: Path, *, fault: str, now: datetime) -> None:
    """Write down, durably, what a check of the backup at `path` has found; an empty `fault` means that it is good."""
    verdict = {"checked_at": now.isoformat(), "bytes": path.stat().st_size, "fault": fault}
    atomic_write(_verdict_of(path), f"{json.dumps(verdict)}\n".encode(), 0o600)


def remove(entry: BackupEntry) -> None:
    """Remove a backup, and then what was found of it; durable on return."""
    entry.path.unlink(missing_ok=True)
    _verdict_of(entry.path).unlink(missing_ok=True)
    sync_directory(entry.path.parent)


def _verdict_of(path: Path) -> Path:
    return path.with_name(path.name.removesuffix(SUFFIX) + VERDICT_SUFFIX)


def _entry(path: Path) -> BackupEntry | None:
    backup_id = path.name.removesuffix(SUFFIX)
    made_at = made_at_of(backup_id)
    if made_at is None:
        return None  # somebody's own file
    try:
        size = path.stat().st_size
    except FileNotFoundError:
        return None  # pruned just now
    checked_at, fault = _verdict(path, size)
    try:
        number = header_of(path).number
    except FileNotFoundError:
        return None
    except QuantumError as error:
        number, fault = 0, fault or error.message
    except OSError as error:
        number, fault = 0, fault or f"It cannot be read: {error.strerror}."
    return BackupEntry(
        id=backup_id,
        number=number,
        path=path,
        made_at=made_at,
        bytes=size,
        good=checked_at is not None and not fault,
        checked_at=checked_at,
        fault=fault,
    )


def _verdict(path: Path, size: int) -> tuple[datetime | None, str]:
    try:
        verdict = json.loads(_verdict_of(path).read_bytes())
        checked_at, fault = datetime.fromisoformat(verdict["checked_at"]), str(verdict["fault"])
        same = int(verdict["bytes"]) == size
    except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return None, NOT_CHECKED
    if checked_at.tzinfo is None:
        return None, NOT_CHECKED  # not written by us
    return checked_at, fault if same else f"Its size has changed since it was checked ({verdict['bytes']} bytes then)."
