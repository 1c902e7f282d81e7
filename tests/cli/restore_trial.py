"""Lets a staged state take its place in children that kill themselves, each one step later than the one before.

`python -m tests.cli.restore_trial FOLDER STRIDE [without-journal]` prints one JSON line per child: how it ended, and
what lay there once whoever came next had looked: `old`, `new` or `between`.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cli.workspace import settling
from cli.workspace.settling import CONFIG, KEYCHAIN, NEW, RESTORING, Journal
from foundation.secrets import (
    AGENT_SECRET,
    AUDIT_KEY,
    DATABASE_KEY,
    SERVICE_TOKEN,
    USER_TOKEN,
    open_secret_store,
    service_account,
    user_account,
)
from foundation.workspace import Workspace
from tests.cli.children import in_child

STEPS_MAX = 200
ENVIRON = {"QUANTUM_KEYCHAIN": "file"}
OLD_KEY, NEW_KEY = "01" * 32, "02" * 32
OLD = {
    **{f"{name}.db{end}": "old" for name in ("coordinator", "safety") for end in ("", "-wal")},
    "audit/checkpoint.json": "old",
    "hooks/token": "old",
    "secrets/openai": "",
    "initialised": "",
}
COMING = {
    **{f"{name}.db": "new" for name in ("coordinator", "safety")},
    "audit/checkpoint.json": "new",
    "tls/authority.pem": "new",
    "initialised": "",
    "STOP": "new",
}


def main(folder: Path, stride: int, *, without_journal: bool) -> None:
    """Kill at the first step, at the one `stride` later, and so on, until a child comes to its end."""
    for number in itertools.count(1, stride):
        workspace = Workspace(folder / f"{number}")
        _prepare(workspace)
        old, kept = _state(workspace), workspace.restore_journal
        killed = in_child(lambda: _swap(workspace, number, without_journal))  # noqa: B023 - ended before the next
        begun = kept.exists()
        if not without_journal:
            in_child(lambda: settling.settle(workspace, ENVIRON))  # noqa: B023
        found = _state(workspace)
        state = "old" if found == old else "new" if _is_new(workspace, found) else "between"
        left = sorted(path.name for path in workspace.state.glob("restoring-*")) if state == "new" and begun else []
        print(json.dumps({"step": number, "killed": killed, "begun": begun, "state": state, "left": left}), flush=True)
        shutil.rmtree(workspace.root)
        if not killed or number >= STEPS_MAX:
            return


def _prepare(workspace: Workspace) -> None:
    """An old state, and a new one that is staged."""
    workspace.state.mkdir(parents=True, mode=0o700)
    secrets, root = open_secret_store(workspace, ENVIRON), user_account(workspace)
    _write(workspace.state, OLD)
    secrets.set(DATABASE_KEY, root, OLD_KEY)
    for service in (USER_TOKEN, AUDIT_KEY):
        secrets.set(service, root, "old")
    secrets.set(SERVICE_TOKEN, service_account(workspace, "coordinator"), "old")
    secrets.set(AGENT_SECRET, service_account(workspace, "openai"), "old")
    staging = workspace.state / "restoring-x"
    _write(staging / NEW, COMING)
    _write(staging / CONFIG, {"agent_config.json": "{}"})
    entries = [(USER_TOKEN, "", "new"), (AUDIT_KEY, "", "new"), (SERVICE_TOKEN, "#coordinator", "new")]
    settling.seal_entries(staging / KEYCHAIN, bytes.fromhex(NEW_KEY), entries)


def _write(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def _swap(workspace: Workspace, step: int, without_journal: bool) -> None:
    """Do what a restore does once all is staged, and die of SIGKILL at the step of that number."""
    steps = itertools.count(1)

    def watched(work: Callable[..., Any]) -> Callable[..., Any]:
        def step_by_step(*arguments: Any, **more: Any) -> Any:
            if next(steps) == step:
                os.kill(os.getpid(), signal.SIGKILL)
            result = work(*arguments, **more)
            if next(steps) == step:
                os.kill(os.getpid(), signal.SIGKILL)
            return result

        return step_by_step

    secrets = open_secret_store(workspace, ENVIRON)
    journal = Journal(
        staging="restoring-x",
        before="before-restore-x",
        new=sorted(path.name for path in (workspace.state / "restoring-x" / NEW).iterdir()),
        old=settling.managed(workspace),
    )
    for name in ("set", "delete"):
        setattr(secrets, name, watched(getattr(secrets, name)))
    for name in ("rename", "replace", "unlink", "mkdir", "link"):
        setattr(os, name, watched(getattr(os, name)))
    secrets.set(DATABASE_KEY, user_account(workspace) + RESTORING, NEW_KEY)
    if without_journal:
        settling._read = lambda workspace: journal
        workspace.restore_journal.write_text("{}")
    else:
        settling.commit(workspace, journal)
    settling.go_forward(workspace, secrets)


def _state(workspace: Workspace) -> dict[str, str]:
    """Everything that a restore replaces: files by their content, secrets by what they are."""
    found = {}
    for name in sorted({*OLD, *COMING}):
        path = workspace.state / name
        if path.is_file():
            found[name] = hashlib.sha256(path.read_bytes()).hexdigest()
    secrets, root = open_secret_store(workspace, ENVIRON), user_account(workspace)
    for service, behind in (
        *((DATABASE_KEY, ""), (USER_TOKEN, ""), (AUDIT_KEY, "")),
        *((SERVICE_TOKEN, "#coordinator"), (AGENT_SECRET, "#openai")),
    ):
        found[service] = secrets.get(service, root + behind) or ""
    return found


def _is_new(workspace: Workspace, found: dict[str, str]) -> bool:
    expected = {name: hashlib.sha256(text.encode()).hexdigest() for name, text in COMING.items()}
    expected |= {DATABASE_KEY: NEW_KEY, USER_TOKEN: "new", AUDIT_KEY: "new", SERVICE_TOKEN: "new", AGENT_SECRET: ""}
    before = workspace.state / "before-restore-x"
    kept = {name: (before / name).read_text() for name in OLD if (before / name).is_file()}
    return found == expected and kept == OLD and (before / KEYCHAIN).exists()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), without_journal="without-journal" in sys.argv[3:])
