"""Has the workspace's authority sign in a process of its own: no service holds its key, or the library that uses it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from foundation.errors import Internal, Kind, NotFound, QuantumError, for_kind
from foundation.own_python import child_environment
from foundation.secrets import AUTHORITY_KEY, SecretStore, open_secret_store, user_account
from foundation.workspace import Workspace

if TYPE_CHECKING:
    from foundation.authority import Authority

_SIGN_SECONDS = 30.0


def open_authority(workspace: Workspace, secrets: SecretStore) -> Authority:
    """The authority; raises NotFound naming the line that makes one."""
    from foundation.authority import Authority

    key = secrets.get(AUTHORITY_KEY, user_account(workspace))
    if key is None or not workspace.authority.exists():
        missing = workspace.authority if key is not None else f"its key in {secrets.describe}"
        raise NotFound(
            "no_authority", f"This workspace has no authority: {missing} is missing.", remedy="quantum ca init"
        )
    return Authority(key.encode(), workspace.authority.read_bytes())


def issue_apart(workspace: Workspace, role: str, name: str, *, now: datetime, lifetime: timedelta) -> bytes:
    """As `Authority.issue`; blocks for a moment. Raises what that raises, and what the keychain does."""
    return _ask(workspace, {"role": role, "name": name, "now": now, "lifetime": lifetime})


def answer_apart(
    workspace: Workspace, request: bytes, role: str, name: str, *, now: datetime, lifetime: timedelta
) -> bytes:
    """As `Authority.answer`; blocks for a moment. Raises what that raises, and what the keychain does."""
    asked = {"role": role, "name": name, "now": now, "lifetime": lifetime, "request": request.decode(errors="replace")}
    return _ask(workspace, asked)


def _ask(workspace: Workspace, asked: Mapping[str, Any]) -> bytes:
    question = {**asked, "now": asked["now"].timestamp(), "lifetime": asked["lifetime"].total_seconds()}
    done = subprocess.run(
        [sys.executable, "-m", "foundation.signing_apart", str(workspace.root)],
        input=json.dumps(question),
        stdout=subprocess.PIPE,
        env=child_environment(os.environ),
        text=True,
        check=False,
        timeout=_SIGN_SECONDS,
    )
    if done.returncode != 0 or not done.stdout:
        raise Internal("not_signed", f"The process that signs certificates ended with {done.returncode}.")
    answer = json.loads(done.stdout)
    if "error" in answer:
        told = answer["error"]
        raise for_kind(Kind(told["kind"]))(told["code"], told["message"], remedy=told["remedy"])
    pem: str = answer["pem"]
    return pem.encode()


def _answer(root: Path, question: str) -> dict[str, object]:
    asked = json.loads(question)
    workspace = Workspace(root)
    now, lifetime = datetime.fromtimestamp(asked["now"], UTC), timedelta(seconds=asked["lifetime"])
    role, name = asked["role"], asked["name"]
    try:
        authority = open_authority(workspace, open_secret_store(workspace, os.environ))
        if "request" in asked:
            request = asked["request"].encode()
            pem = authority.answer(workspace.key12, request, role, name, now=now, lifetime=lifetime)
        else:
            pem = authority.issue(workspace.key12, role, name, now=now, lifetime=lifetime)
    except QuantumError as error:
        told = {"kind": error.kind, "code": error.code, "message": error.message, "remedy": error.remedy}
        return {"error": told}
    return {"pem": pem.decode()}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(_answer(Path(sys.argv[1]), sys.stdin.read())))
