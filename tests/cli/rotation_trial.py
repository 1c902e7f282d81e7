"""Rotates the databases' key in children that kill themselves, each one step later than the one before.

`python -m tests.cli.rotation_trial FOLDER` prints one JSON line per child: how it ended, and with which of the keys in
the secret store both databases opened then, and after the rotation was begun again.
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cli.keys import key_rotation
from foundation.database_key import DatabaseKeys
from foundation.secrets import DATABASE_KEY, FileStore, next_key_account, user_account
from foundation.sqlite.connection import Location, connect
from foundation.sqlite.rekey import rekey
from foundation.workspace import Workspace
from tests.cli.children import in_child

FIRST = "01" * 32
STEPS_MAX = 100


def main(folder: Path) -> None:
    """Kill at the first step, at the second, and so on, until a child comes to its end."""
    made = Workspace(folder / "made")
    made.state.mkdir(parents=True)
    in_child(lambda: _make(made))
    for number in itertools.count(1):
        workspace = Workspace(folder / f"{number}")
        shutil.copytree(made.root, workspace.root)
        _move_secrets(workspace)
        killed = in_child(lambda: _rotate(workspace, number))  # noqa: B023 - it has ended before the next round
        after = _opened_by(workspace)
        again = in_child(lambda: _rotate(workspace, 0))  # noqa: B023
        line = {"step": number, "killed": killed, "after": after, "again_killed": again, "end": _opened_by(workspace)}
        print(json.dumps(line), flush=True)
        if not killed or number == STEPS_MAX:
            return


def _make(workspace: Workspace) -> None:
    for path in (workspace.coordinator_db, workspace.safety_db):
        connection = connect(Location(path=path, key=bytes.fromhex(FIRST)))
        connection.execute("create table t (x); insert into t values (7)")
        connection.close()


def _move_secrets(workspace: Workspace) -> None:
    _store(workspace).set(DATABASE_KEY, user_account(workspace), FIRST)


def _store(workspace: Workspace) -> FileStore:
    return FileStore(workspace.credentials)


def _rotate(workspace: Workspace, step: int) -> None:
    """Rotate, and die of SIGKILL at the step of that number; 0: come to the end."""
    steps = itertools.count(1)

    def at_step() -> None:
        if next(steps) == step:
            os.kill(os.getpid(), signal.SIGKILL)

    def watched(work: Callable[..., Any]) -> Callable[..., Any]:
        def step_by_step(*arguments: Any, **more: Any) -> Any:
            at_step()
            result = work(*arguments, **more)
            at_step()
            return result

        return step_by_step

    def encrypt(service: str, workspace: Workspace, environ: object) -> None:
        """What the service does in a process of its own."""
        path = workspace.coordinator_db if service == "coordinator" else workspace.safety_db
        keys = _keys(workspace)
        rekey(path, keys.keys[0], keys.keys[-1])

    secrets = _store(workspace)
    for name in ("set", "delete"):
        setattr(secrets, name, watched(getattr(secrets, name)))
    key_rotation._encrypt = watched(encrypt)
    key_rotation._remove_copies = watched(key_rotation._remove_copies)
    key_rotation.rotate_key(workspace, secrets, {}, show=watched(lambda key: None))


def _keys(workspace: Workspace) -> DatabaseKeys:
    accounts = (user_account(workspace), next_key_account(workspace))
    found = [_store(workspace).get(DATABASE_KEY, account) for account in accounts]
    return DatabaseKeys(tuple(bytes.fromhex(text) for text in found if text is not None))


def _opened_by(workspace: Workspace) -> list[str | None]:
    """For each database, which key of the store opens it with its row in it: `first`, `new`, or None."""
    keys = _keys(workspace)
    found: list[str | None] = []
    for path in (workspace.coordinator_db, workspace.safety_db):
        key = keys.key_of(path)
        connection = connect(Location(path=path, key=key))
        value = connection.execute("select x from t").get
        connection.close()
        found.append(None if value != 7 else "first" if key.hex() == FIRST else "new")
    if len(keys.keys) > 1:
        found.append("two keys")
    return found


if __name__ == "__main__":
    main(Path(sys.argv[1]))
