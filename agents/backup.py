#!/usr/bin/env python3
# /// script
# [tool.quantum]
# description = "Makes a backup, restores it apart to see that it is good, and removes those that no rule keeps"
# effects = "idempotent"
# timeout = "4h"
# schedule = "0 3 * * *"
# env = ["DBUS_SESSION_BUS_ADDRESS", "XDG_RUNTIME_DIR"]
# ///
"""Makes one backup of this workspace. Its credential lets it have the databases copied, and do nothing else."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import kit.packages  # noqa: F401  what follows lies there
from kit.attempt import give_up, given, publish, say

from cli.backups.making import Made, make, prune
from cli.backups.retention import RetentionSettings
from clients.backups import COPY_DEADLINE
from clients.coordinator import CoordinatorClient
from foundation.clock import SystemClock
from foundation.errors import Conflict, QuantumError
from foundation.loop import BackgroundLoop
from foundation.quantities import format_size
from foundation.secrets import open_secret_store
from foundation.settings import load
from foundation.workspace import Workspace

_A_LITTLE = timedelta(seconds=35)


@dataclass(frozen=True, kw_only=True, slots=True)
class Params:
    """`prune`: remove afterwards what no rule keeps."""

    prune: bool = True


def main() -> int:
    """Make it, check it, prune; ends with 1 when it is not good."""
    params = given(Params)
    root, credential = os.environ.get("QUANTUM_WORKSPACE"), os.environ.get("QUANTUM_CREDENTIAL")
    if not root or not credential:
        give_up("This agent makes backups for Quantum; by hand it is `quantum backup create`.")
    workspace = Workspace(Path(root))
    try:
        made = _make(workspace, Path(credential).read_text(encoding="ascii").strip())
    except QuantumError as error:
        say(f"No backup was made: {error}")
        if params.prune:  # what is not good may be what leaves no room
            _prune(workspace)
        return 1
    entry = made.entry
    removed = _prune(workspace) if params.prune else []
    standing = "good" if entry.good else f"not good: {entry.fault}"
    summary = f"Backup {entry.id}, {format_size(entry.bytes)}, is {standing}; {len(removed)} older ones were removed."
    data = {"id": entry.id, "bytes": entry.bytes, "good": entry.good, "fault": entry.fault, "removed": removed}
    publish("backup", summary, data)
    return 0 if entry.good else 1


def _make(workspace: Workspace, credential: str) -> Made:
    with BackgroundLoop("backup") as loop:

        async def dial() -> CoordinatorClient:
            return CoordinatorClient.dial(workspace.socket("coordinator"), token=lambda: credential)

        client = loop.run(dial(), _A_LITTLE)
        backups = client.backups
        try:
            return make(
                workspace,
                open_secret_store(workspace, os.environ),
                os.environ,
                lambda backup_id: loop.run(
                    backups.take_snapshot(backup_id, as_attempt=True), COPY_DEADLINE + _A_LITTLE
                ),
                clock=SystemClock(),
                tell=lambda backup_id, fault: loop.run(backups.conclude(backup_id, fault, as_attempt=True), _A_LITTLE),
            )
        finally:
            loop.run(client.close(), _A_LITTLE)


def _prune(workspace: Workspace) -> list[str]:
    rules = load(RetentionSettings, workspace=workspace)
    try:
        going = prune(workspace, os.environ, rules, now=SystemClock().now())
    except Conflict as error:
        say(f"Nothing was removed: {error} The next one does it.")
        return []
    for one in going:
        say(f"Removed {one.entry.id}: {one.why}")
    return [one.entry.id for one in going]


if __name__ == "__main__":
    raise SystemExit(main())
