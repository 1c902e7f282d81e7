"""Restores a backup into a folder of its own and looks whether all is there: only what passed this is called good."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cli.backups.archive import NEWER, Counts, unpack
from cli.backups.present import Present
from cli.offline import SERVICES, ask_all, database_in
from cli.workspace.settling import open_entries
from foundation.errors import Invalid
from foundation.secrets import AUDIT_KEY
from foundation.workspace import Workspace

ENTRIES = "keychain.sealed"
"""The workspace's secrets within a backup; sealed once more, so that they lie nowhere open while it is checked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """`faults`: why it is not good, a sentence each. `notes`: what was so already when it was made.

    `unknown`: why what lies in its place does not tell what was revoked since; empty, it does. None: it was not asked.
    """

    faults: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    unknown: str | None = None


def audit_key_in(folder: Path, key: bytes) -> str:
    """The key of the audit log among a backup's secrets. Raises Invalid for a backup without one."""
    for service, behind, secret in open_entries(folder / ENTRIES, key):
        if (service, behind) == (AUDIT_KEY, ""):
            return secret
    raise Invalid("no_audit_key", "There is no key of the audit log in it.")


def look_over(
    folder: Path,
    key: bytes,
    counts: Counts | None,
    workspace: Workspace,
    environ: Mapping[str, str],
    present: Present | None = None,
) -> Findings:
    """What the services find in what was unpacked: pages, references, counts, invariants, the audit log's chain.

    With `present` also whether that has gone on from there.
    """
    asked: dict[str, dict[str, Any]] = {}
    for service in SERVICES:
        path = database_in(folder, service)
        asked[service] = {"path": str(path), "key": key.hex(), "counts": counts and counts.get(path.name, {})}
    asked["safety"] |= {"audit": str(folder / "audit"), "audit_key": audit_key_in(folder, key)}
    if present is not None:
        asked["safety"]["present"] = present
    said = ask_all("check-copy", workspace, environ, asked)
    return Findings(
        faults=tuple(fault for one in said.values() for fault in one["faults"]),
        notes=tuple(note for one in said.values() for note in one["notes"]),
        unknown=said["safety"].get("unknown"),
    )


def check(path: Path, key: bytes, workspace: Workspace, environ: Mapping[str, str], backup_id: str) -> Findings:
    """Restore the backup at `path` into a scratch folder and look it over there; nothing else is touched.

    Raises what says nothing of the backup itself, like Denied, `wrong_key`, or Internal for want of room.
    """
    with scratch(workspace, f".checking-{backup_id}") as folder:
        try:
            counts = unpack(path, key, folder, backup_id)
            return look_over(folder, key, counts, workspace, environ)
        except Invalid as error:
            if error.code == NEWER:
                raise
            return Findings(faults=(error.message,))


@contextmanager
def scratch(workspace: Workspace, name: str) -> Iterator[Path]:
    """An empty folder that only its owner can look into, gone at the end; what a crash left of it goes first."""
    folder = workspace.state / "backups" / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700, parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
