"""What lies where a backup is to be put back, copied apart: it knows what was closed since the backup was made."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from foundation.secrets import AUDIT_KEY, DATABASE_KEY, SecretStore, next_key_account, user_account
from foundation.workspace import Workspace

_SIDE_FILES = ("", "-wal")

Present = Mapping[str, Any]
"""A copy of safety's database and of its checkpoint, with the keys that may open it, as safety is asked about it."""


def copy_present(workspace: Workspace, secrets: SecretStore, folder: Path, *, key: bytes, audit_key: str) -> Present:
    """Copy what is there of safety's into `folder`, which is made; nothing may run.

    `key` and `audit_key` are the backup's, for a keychain that has none any more.
    """
    folder.mkdir(mode=0o700)
    for end in _SIDE_FILES:
        path = workspace.safety_db.with_name(workspace.safety_db.name + end)
        if path.is_file():
            shutil.copyfile(path, folder / path.name)
    if workspace.audit.is_dir():
        shutil.copytree(workspace.audit, folder / "audit")
    root = user_account(workspace)
    held = [secrets.get(DATABASE_KEY, account) for account in (root, next_key_account(workspace))]
    keys = dict.fromkeys([*filter(None, held), key.hex()])
    return {
        "path": str(folder / workspace.safety_db.name),
        "keys": list(keys),
        "audit": str(folder / "audit"),
        "audit_key": secrets.get(AUDIT_KEY, root) or audit_key,
    }
