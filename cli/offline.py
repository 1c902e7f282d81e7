"""Runs a service's offline verbs, what it does to its database while it does not serve: nobody else opens one."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from foundation.errors import Internal
from foundation.own_python import child_environment
from foundation.workspace import Workspace

SERVICES = ("coordinator", "safety")
"""In the order of copying: safety's copy knows all that the coordinator's takes it to know; so does its log of acts."""
_SECONDS_MAX = 7_200
_WORDS = {
    "provision": "make its database",
    "rekey": "encrypt its database with the new key",
    "snapshot": "copy its database",
    "count-copy": "count what is in a copy of its database",
    "check-copy": "check a copy of its database",
    "put-back": "put a copy of its database back",
}
"""What each verb is for, as people are told when it fails."""


def ask_offline(
    service: str, verb: str, workspace: Workspace, environ: Mapping[str, str], *, asked: Any = None, backup_id: str = ""
) -> Any:
    """Run one verb of a service as a process of its own; JSON in, JSON out. Raises Internal with what it says.

    `asked` travels on standard input, where no list of processes shows it.
    """
    name = service.capitalize() if service == "safety" else f"The {service}"
    arguments = [sys.executable, "-m", f"services.{service}", verb, "--workspace", str(workspace.root)]
    try:
        done = subprocess.run(
            [*arguments, *(["--backup", backup_id] if backup_id else [])],
            input=json.dumps(asked),
            capture_output=True,
            text=True,
            timeout=_SECONDS_MAX,
            check=False,
            env=child_environment(environ),
            cwd=workspace.root,
        )
    except subprocess.TimeoutExpired as error:
        raise Internal("offline_timeout", f"{name} did not {_WORDS[verb]} in {_SECONDS_MAX // 3600} hours.") from error
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines() or ["it did not say why"]
        message, remedy = (lines[-1], "") if "Traceback" in done.stderr else (lines[0], " ".join(lines[1:]))
        raise Internal("offline_failed", f"{name} could not {_WORDS[verb]}: {message}", remedy=remedy)
    return json.loads(done.stdout) if done.stdout.strip() else None


def ask_all(verb: str, workspace: Workspace, environ: Mapping[str, str], asked: Mapping[str, Any]) -> dict[str, Any]:
    """Run one verb of each service named in `asked`, at the same time; what each said. Raises as `ask_offline` does."""
    with ThreadPoolExecutor(max_workers=len(asked)) as pool:
        futures = {
            service: pool.submit(ask_offline, service, verb, workspace, environ, asked=wanted)
            for service, wanted in asked.items()
        }
        return {service: future.result() for service, future in futures.items()}


def database_in(folder: Path, service: str) -> Path:
    """Where a service's database lies in a folder that is laid out like `.quantum`."""
    return folder / f"{service}.db"
