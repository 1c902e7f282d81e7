"""Reads secrets in a process of its own: a service then carries no cipher library (6 MB) for life."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

from foundation.clock import SystemClock
from foundation.errors import Internal, Kind, QuantumError, for_kind
from foundation.own_python import child_environment
from foundation.secrets import open_secret_store, wait_for_secret
from foundation.workspace import Workspace

_START_SECONDS = 30.0


def read_secrets_apart(
    workspace: Workspace,
    wanted: Sequence[tuple[str, str]],
    *,
    within: timedelta,
    at_once: Sequence[tuple[str, str]] = (),
) -> tuple[str, list[str | None]]:
    """Where the secrets lie, for people, and the secret of each (service, account) in turn, None when there is none.

    Each is asked for again until `within` has passed; those of `at_once`, which come last, only once. Raises what the
    secret store raises. The secrets travel through a pipe; never through an argument, an environment or a file.
    """
    seconds = within.total_seconds()
    asked = [(*account, seconds) for account in wanted] + [(*account, 0.0) for account in at_once]
    question = json.dumps({"wanted": asked})
    done = subprocess.run(
        [sys.executable, "-m", "foundation.secrets_apart", str(workspace.root)],
        input=question,
        stdout=subprocess.PIPE,
        env=child_environment(os.environ),
        text=True,
        check=False,
        timeout=_START_SECONDS + seconds * max(1, len(wanted)),
    )
    if done.returncode != 0 or not done.stdout:
        raise Internal("secrets_unread", f"The process that reads the secrets ended with {done.returncode}.")
    answer = json.loads(done.stdout)
    if "error" in answer:
        raise _error_from(answer["error"])
    return answer["describe"], answer["secrets"]


def _error_from(told: dict[str, str]) -> QuantumError:
    return for_kind(Kind(told["kind"]))(told["code"], told["message"], remedy=told["remedy"])


def _answer(root: Path, question: str) -> dict[str, object]:
    asked = json.loads(question)
    try:
        store = open_secret_store(Workspace(root), os.environ)
        clock = SystemClock()
        found = [
            wait_for_secret(store, service, account, within=timedelta(seconds=seconds), clock=clock)
            for service, account, seconds in asked["wanted"]
        ]
    except QuantumError as error:
        told = {"kind": error.kind, "code": error.code, "message": error.message, "remedy": error.remedy}
        return {"error": told}
    return {"describe": store.describe, "secrets": found}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(_answer(Path(sys.argv[1]), sys.stdin.read())))
