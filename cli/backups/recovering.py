"""A clean workspace from a backup after a compromise: what was known stays, no secret from before opens anything."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from cli.backups.finding import find, key_for
from cli.backups.restoring import Restored, restore
from cli.backups.staging import NewSecrets
from cli.first_start import Initialised, initialise
from cli.keys.recovery_key import readable
from cli.processes.running import require_nothing_runs
from cli.runners.folder import refuse_joined
from cli.workspace.settling import settle
from foundation.clock import Clock
from foundation.ids import random_bytes
from foundation.secrets import KEY_BYTES, open_secret_store
from foundation.workspace import Workspace


def recover(
    root: Path,
    wanted: str,
    typed: str | None,
    environ: Mapping[str, str],
    *,
    cwd: Path,
    clock: Clock,
    show: Callable[[str], None],
) -> tuple[Restored, Initialised]:
    """Make `root` a workspace with the backup's databases, a new key for them, new tokens and a new authority.

    `typed` is the recovery key that opens the backup, None for the one in the keychain. `show` is handed the new one
    before anything takes its place. Raises as `restore` does.
    """
    workspace = Workspace(root.resolve())
    refuse_joined(workspace.root)
    workspace.state.mkdir(mode=0o700, parents=True, exist_ok=True)
    settle(workspace, environ)
    require_nothing_runs(workspace)
    secrets = open_secret_store(workspace, environ)
    source = find(workspace, wanted, cwd, environ)
    key = key_for(source, workspace, secrets, typed)
    renewing = NewSecrets(
        database_key=random_bytes(KEY_BYTES).hex(),
        audit_key=random_bytes(KEY_BYTES).hex(),
    )
    restored = restore(
        workspace,
        secrets,
        environ,
        source,
        key,
        clock=clock,
        renewing=renewing,
        ready=lambda: show(readable(renewing.database_key)),
    )
    return restored, initialise(workspace.root, environ)
