"""First start: folders, the key, the databases, one credential per service and the user's token, each made once."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from foundation.errors import Conflict, Internal, QuantumError
from foundation.files import atomic_write
from foundation.ids import random_bytes
from foundation.secrets import (
    DATABASE_KEY,
    SERVICE_TOKEN,
    USER_TOKEN,
    SecretStore,
    open_secret_store,
    service_account,
    user_account,
)
from foundation.tokens import mint, parse
from foundation.workspace import Workspace, WorkspaceLock

CONFIG = """{
  "max_concurrent_agents": 10,
  "cpu_limit": 80,
  "memory_limit": "2GB",
  "timeout_seconds": 300,
}
"""
IGNORED = (".quantum/", "logs/", "agent_status.json", "task_queue.json")
USER_SCOPES = ("read", "submit", "cancel", "operate", "rotate", "admin")
SERVICE_SCOPES: Mapping[str, tuple[str, ...]] = {
    "coordinator": ("service:coordinator", "read"),
    "safety": ("service:safety", "read"),
    "runner": ("service:runner", "runner", "read"),
    "gateway": ("service:gateway", "read"),
}
KEY_BYTES = 32
PROVISION_SECONDS = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Initialised:
    """What `init` did. `recovery_key` is set only when the key was made now: it is shown once and kept nowhere else."""

    workspace: Workspace
    secrets: str
    recovery_key: str | None
    made: tuple[str, ...]


def initialise(root: Path, environ: Mapping[str, str]) -> Initialised:
    """Make a folder a workspace, or complete one whose first start was interrupted. Overwrites nothing.

    The order is that of dependence: folders → key → keychain → read back → tokens → databases; each step is skipped
    when its result is there, so that a crash at any point is mended by running it again. Raises Denied or Internal as
    a sentence when the folder cannot be written.
    """
    workspace = Workspace(root.resolve())
    try:
        made = _make_folders(workspace)
    except OSError as error:
        raise Conflict(
            "workspace_not_writable",
            f"{workspace.root} cannot be made a workspace: {error.strerror}: {error.filename}.",
            remedy="Choose a folder of your own: `quantum init FOLDER`.",
        ) from error
    with WorkspaceLock(workspace.lock_file):
        secrets = open_secret_store(workspace, environ)
        recovery_key = _make_key(workspace, secrets)
        tokens = [_credential(workspace, secrets, name, scopes) for name, scopes in SERVICE_SCOPES.items()]
        tokens.append(_user_token(workspace, secrets))
        _provision("safety", workspace, {"tokens": tokens})
        _provision("coordinator", workspace, {})
    return Initialised(
        workspace=workspace, secrets=secrets.describe, recovery_key=recovery_key, made=tuple(made)
    )


def _make_folders(workspace: Workspace) -> list[str]:
    made = []
    workspace.root.mkdir(parents=True, exist_ok=True)
    for folder, mode in ((workspace.state, 0o700), (workspace.agents, 0o755), (workspace.logs, 0o755)):
        if not folder.exists():
            folder.mkdir(mode=mode)
            made.append(f"{folder.relative_to(workspace.root)}/")
    if not workspace.config_file.exists():
        workspace.config_file.parent.mkdir(exist_ok=True)
        atomic_write(workspace.config_file, CONFIG.encode(), 0o644)
        made.append(str(workspace.config_file.relative_to(workspace.root)))
    ignore = workspace.root / ".gitignore"
    present = ignore.read_text().splitlines() if ignore.exists() else []
    missing = [line for line in IGNORED if line not in present]
    if missing:
        text = "\n".join([*present, *missing])
        atomic_write(ignore, f"{text}\n".encode(), 0o644)
        made.append(f".gitignore ({len(missing)} lines added)")
    return made


def _make_key(workspace: Workspace, secrets: SecretStore) -> str | None:
    account = user_account(workspace)
    if secrets.get(DATABASE_KEY, account) is not None:
        return None
    present = [path.name for path in (workspace.safety_db, workspace.coordinator_db) if path.exists()]
    if present:
        raise Conflict(
            "key_missing",
            f"{' and '.join(present)} exist, but their key is not in {secrets.describe}.",
            remedy="A new key could not open them. Put the recovery key back: `quantum init --recovery-key`.",
        )
    key = random_bytes(KEY_BYTES).hex()
    secrets.set(DATABASE_KEY, account, key)
    if secrets.get(DATABASE_KEY, account) != key:
        raise Internal("keychain_unreliable", f"{secrets.describe} did not give back the key that was just stored.")
    return key


def restore_key(root: Path, key: str, environ: Mapping[str, str]) -> None:
    """Put a recovery key back into the keychain. Raises Conflict when it is not one."""
    workspace = Workspace(root.resolve())
    text = "".join(key.split()).replace("-", "").lower()
    if len(text) != 2 * KEY_BYTES or any(letter not in "0123456789abcdef" for letter in text):
        raise Conflict("not_a_key", "That is not a recovery key: it has 64 hexadecimal digits.")
    with WorkspaceLock(workspace.lock_file):
        open_secret_store(workspace, environ).set(DATABASE_KEY, user_account(workspace), text)


def readable(key: str) -> str:
    """A key in groups of eight, to be written down."""
    return "-".join(key[at : at + 8] for at in range(0, len(key), 8))


def _credential(
    workspace: Workspace, secrets: SecretStore, service: str, scopes: tuple[str, ...]
) -> dict[str, object]:
    return _token(secrets, SERVICE_TOKEN, service_account(workspace, service), f"service {service}", scopes)


def _user_token(workspace: Workspace, secrets: SecretStore) -> dict[str, object]:
    return _token(secrets, USER_TOKEN, user_account(workspace), "user", USER_SCOPES)


def _token(
    secrets: SecretStore, kind: str, account: str, name: str, scopes: tuple[str, ...]
) -> dict[str, object]:
    text = secrets.get(kind, account)
    if text is None:
        text = mint(random_bytes).text
        secrets.set(kind, account, text)
    parsed = parse(text)
    return {"id": parsed.id, "digest": parsed.digest, "name": name, "scopes": list(scopes), "expires_at": None}


def _provision(service: str, workspace: Workspace, document: Mapping[str, object]) -> None:
    """Let the service that owns it make its database. Tokens travel as digests, on standard input."""
    try:
        done = subprocess.run(
            [sys.executable, "-m", f"services.{service}", "provision", "--workspace", str(workspace.root)],
            input=json.dumps(document),
            capture_output=True,
            text=True,
            timeout=PROVISION_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise Internal("provision_timeout", f"The {service} service did not make its database in time.") from error
    if done.returncode != 0:
        raise _as_error(service, done.stderr.strip())


def _as_error(service: str, said: str) -> QuantumError:
    last = said.splitlines()[-1] if said else "it did not say why"
    return Internal("provision_failed", f"The {service} service could not make its database: {last}")
