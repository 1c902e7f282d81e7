"""First start: folders, the key, the databases, one credential per service and the user's token, each made once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from cli.keys.authority import make_authority
from cli.keys.recovery_key import read_key
from cli.offline import ask_offline
from cli.runners.folder import refuse_joined
from cli.workspace.settling import settle
from foundation.auth import USER_SCOPES
from foundation.clock import SystemClock
from foundation.errors import Denied, Internal, NotFound, QuantumError
from foundation.files import atomic_write
from foundation.ids import random_bytes
from foundation.secrets import (
    AUDIT_KEY,
    DATABASE_KEY,
    KEY_BYTES,
    SERVICE_TOKEN,
    USER_TOKEN,
    SecretStore,
    next_key_account,
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
SERVICE_SCOPES: Mapping[str, tuple[str, ...]] = {
    "coordinator": ("service:coordinator", "read", "rotate"),
    "safety": ("service:safety", "read", "rotate"),
    "runner": ("service:runner", "runner", "read", "rotate"),
    "gateway": ("service:gateway", "read", "rotate"),
}
DONE = "initialised"
"""Name of the file in `.quantum/` that is made last: with it, nothing of the first start is missing."""


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
    when its result is there, so that a crash at any point is mended by running it again. Raises Denied when the
    folder cannot be written, NotFound when databases are there and their key is not.
    """
    workspace = Workspace(root.resolve())
    refuse_joined(workspace.root)
    settle(workspace, environ)
    try:
        made = _make_folders(workspace)
    except OSError as error:
        raise _not_writable(workspace.root, error) from error
    if _complete(workspace, environ):
        secrets = open_secret_store(workspace, environ)
        return Initialised(workspace=workspace, secrets=secrets.describe, recovery_key=None, made=tuple(made))
    with WorkspaceLock(workspace.lock_file):
        secrets = open_secret_store(workspace, environ)
        recovery_key = _make_key(workspace, secrets)
        if recovery_key is not None:
            made.append("a database key")
        made += _make_the_rest(workspace, secrets, environ)
    return Initialised(workspace=workspace, secrets=secrets.describe, recovery_key=recovery_key, made=tuple(made))


def restore_key(root: Path, key: str, environ: Mapping[str, str]) -> Initialised:
    """Put a recovery key back into the keychain and complete the workspace with it.

    Raises Invalid for what is no recovery key; Denied for one that does not open the databases, which is then not
    kept; Conflict when another key is there already.
    """
    workspace = Workspace(root.resolve())
    text = read_key(key).hex()
    settle(workspace, environ)
    made = _make_folders(workspace)
    with WorkspaceLock(workspace.lock_file):
        secrets, account = open_secret_store(workspace, environ), user_account(workspace)
        before = secrets.get(DATABASE_KEY, account)
        secrets.set(DATABASE_KEY, account, text)
        try:
            made += _make_the_rest(workspace, secrets, environ)
        except QuantumError as error:
            if before is None:
                secrets.delete(DATABASE_KEY, account)
            else:
                secrets.set(DATABASE_KEY, account, before)
            raise Denied("wrong_key", f"That key was not kept: {error.message}", remedy=error.remedy) from error
    return Initialised(workspace=workspace, secrets=secrets.describe, recovery_key=None, made=tuple(made))


def require_initialised(workspace: Workspace) -> None:
    """Raise NotFound, with the line to type, for a workspace whose first start is still to come."""
    if not (workspace.state / DONE).exists():
        raise NotFound(
            "not_initialised",
            f"The first start of {workspace.root} is still to come.",
            remedy=f"quantum init {workspace.root}",
        )


def _not_writable(root: Path, error: OSError) -> Denied:
    return Denied(
        "workspace_not_writable",
        f"{root} cannot be made a workspace: {error.strerror or error}: {error.filename}.",
        remedy="Choose a folder of your own: quantum init FOLDER.",
    )


def _complete(workspace: Workspace, environ: Mapping[str, str]) -> bool:
    """Whether nothing is missing; looked at without the lock, so that it can be asked while everything runs."""
    files = (workspace.state / DONE, workspace.safety_db, workspace.coordinator_db)
    if not all(path.exists() for path in files):
        return False
    secrets = open_secret_store(workspace, environ)
    account = user_account(workspace)
    held = [secrets.get(kind, account) for kind in (DATABASE_KEY, AUDIT_KEY, USER_TOKEN)]
    held += [secrets.get(SERVICE_TOKEN, service_account(workspace, service)) for service in SERVICE_SCOPES]
    return None not in held


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
    added = _ignore(workspace.root / ".gitignore")
    if added:
        made.append(f".gitignore ({added} lines)")
    return made


def _ignore(path: Path) -> int:
    """Append the lines that are not there yet; not a byte of the user's own is touched."""
    before = path.read_bytes() if path.exists() else b""
    present = {line.strip().strip("/") for line in before.decode(errors="replace").splitlines()}
    missing = [line for line in IGNORED if line.strip("/") not in present]
    if missing:
        gap = b"" if not before or before.endswith(b"\n") else b"\n"
        with path.open("ab") as file:
            file.write(gap + "".join(f"{line}\n" for line in missing).encode())
    return len(missing)


def _make_key(workspace: Workspace, secrets: SecretStore) -> str | None:
    account = user_account(workspace)
    if secrets.get(DATABASE_KEY, account) is not None:
        return None
    if secrets.get(DATABASE_KEY, next_key_account(workspace)) is not None:
        return None  # a rotation was cut short just where one key takes the other's place; services open with this one
    present = [path.name for path in (workspace.safety_db, workspace.coordinator_db) if path.exists()]
    if present:
        verb = "exist" if len(present) > 1 else "exists"
        raise NotFound(
            "key_missing",
            f"{' and '.join(present)} {verb}, but the key is not in {secrets.describe}.",
            remedy="A new key could not open them. Put the recovery key back: quantum init --recovery-key.",
        )
    key = random_bytes(KEY_BYTES).hex()
    secrets.set(DATABASE_KEY, account, key)
    if secrets.get(DATABASE_KEY, account) != key:
        raise Internal("keychain_unreliable", f"{secrets.describe} did not give back the key that was just stored.")
    return key


def _make_the_rest(workspace: Workspace, secrets: SecretStore, environ: Mapping[str, str]) -> list[str]:
    """Tokens, databases, and the mark that all is there; what was made, for people."""
    made = []
    databases = [path for path in (workspace.safety_db, workspace.coordinator_db) if not path.exists()]
    had_token = secrets.get(USER_TOKEN, user_account(workspace)) is not None
    tokens = [
        _token(secrets, SERVICE_TOKEN, service_account(workspace, name), f"service {name}", scopes)
        for name, scopes in SERVICE_SCOPES.items()
    ]
    tokens.append(_token(secrets, USER_TOKEN, user_account(workspace), "user", USER_SCOPES))
    if secrets.get(AUDIT_KEY, user_account(workspace)) is None:
        secrets.set(AUDIT_KEY, user_account(workspace), random_bytes(KEY_BYTES).hex())
    ask_offline("safety", "provision", workspace, environ, asked={"tokens": tokens})  # as digests
    ask_offline("coordinator", "provision", workspace, environ)
    if make_authority(workspace, secrets, now=SystemClock().now()):
        made.append("an authority for certificates")
    atomic_write(workspace.state / DONE, b"", 0o600)
    made += [f"{path.relative_to(workspace.root)} (encrypted)" for path in databases]
    if not had_token:
        made.append("your token, and one for each service")
    return made


def _token(secrets: SecretStore, kind: str, account: str, name: str, scopes: Iterable[str]) -> dict[str, object]:
    text = secrets.get(kind, account)
    if text is None:
        text = mint(random_bytes).text
        secrets.set(kind, account, text)
    parsed = parse(text)
    return {"id": parsed.id, "digest": parsed.digest, "name": name, "scopes": sorted(scopes), "expires_at": None}
