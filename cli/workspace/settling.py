"""Lets what a restore has put together take its place: once that has begun it is brought to its end, by whoever comes.

Everything is staged and durable in `.quantum/restoring-…` before `restore.json` is written: the one moment at which the
old state becomes the new one. From then on, what is left to do can be done again from any point, and no service opens a
database until it is done. Before it, nothing has been touched.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from foundation.errors import Conflict, Internal, NotFound
from foundation.files import atomic_write, sync_directory
from foundation.sealed import SealedReader, SealedWriter
from foundation.secrets import (
    AGENT_SECRET,
    AUDIT_KEY,
    AUTHORITY_KEY,
    DATABASE_KEY,
    SERVICE_TOKEN,
    USER_TOKEN,
    SecretStore,
    open_secret_store,
    user_account,
)
from foundation.workspace import Workspace, WorkspaceLock

NEW, CONFIG, KEYCHAIN = "new", "config", "keychain.sealed"
"""What lies in the staging folder: files for `.quantum`, the user's configuration, and secrets for the keychain."""
RESTORING = "#restoring"
"""Behind the workspace's root, the account of the key with which what is staged opens."""
_PLAIN = ("coordinator.db", "safety.db", "audit", "tls", "hooks", "repositories.toml", "secrets", "initialised", "STOP")
_SIDE_FILES = ("-wal", "-shm", "-journal")

Entries = Sequence[tuple[str, str, str]]
"""Secrets as (service, what follows the workspace's root in the account, the secret)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Journal:
    """What takes whose place: names in `.quantum`. `new` come from the folder `staging`, `old` go to `before`."""

    staging: str
    before: str
    new: Sequence[str]
    old: Sequence[str]


def managed(workspace: Workspace) -> list[str]:
    """The names in `.quantum` that a restore replaces, as far as they are there."""
    databases = [f"{name}{end}" for name in _PLAIN if name.endswith(".db") for end in _SIDE_FILES]
    copies = [path.name for path in workspace.state.glob("*.db.before-[0-9][0-9][0-9][0-9]")]
    return [name for name in (*_PLAIN, *databases, *copies) if os.path.lexists(workspace.state / name)]


def commit(workspace: Workspace, journal: Journal) -> None:
    """Begin: from here on the staged state is the one that holds."""
    atomic_write(workspace.restore_journal, f"{json.dumps(asdict(journal))}\n".encode(), 0o600)


def settle(workspace: Workspace, environ: Mapping[str, str]) -> bool:
    """Bring a restore that was cut short to its end; False where there is none. Raises Conflict while one goes on."""
    if not workspace.restore_journal.exists():
        return False
    try:
        with WorkspaceLock(workspace.lock_file):
            if workspace.restore_journal.exists():
                go_forward(workspace, open_secret_store(workspace, environ))
    except Conflict as error:
        raise Conflict(
            "restore_goes_on", f"{workspace.root} is being restored just now.", remedy="Try again when that is done."
        ) from error
    return True


def go_forward(workspace: Workspace, secrets: SecretStore) -> None:
    """Do what the journal says, from wherever it was left; the workspace is locked by the caller."""
    journal = _read(workspace)
    staging, before = workspace.state / journal.staging, workspace.state / journal.before
    before.mkdir(mode=0o700, exist_ok=True)
    sync_directory(workspace.state)
    for name in dict.fromkeys((*journal.old, *journal.new)):
        _take_place(workspace.state / name, staging / NEW / name, before / name, is_new=name in journal.new)
    for folder in (before, staging / NEW, workspace.state):
        if folder.is_dir():
            sync_directory(folder)
    if (staging / KEYCHAIN).exists():
        _hand_over(workspace, secrets, staging / KEYCHAIN, before)
    _put_configuration_back(workspace, staging / CONFIG)
    workspace.restore_journal.unlink()
    sync_directory(workspace.state)
    discard(workspace, secrets, staging)


def discard(workspace: Workspace, secrets: SecretStore, staging: Path) -> None:
    """Take away what was staged, and the key that opens it."""
    # A process of a restore that was killed may be writing there still: what it leaves goes the next time.
    shutil.rmtree(staging, ignore_errors=True)
    secrets.delete(DATABASE_KEY, f"{user_account(workspace)}{RESTORING}")


def _take_place(place: Path, new: Path, kept: Path, *, is_new: bool) -> None:
    """Each of the two renames happens once; which of them is still to come shows by where the file is."""
    if is_new and not os.path.lexists(new):
        return
    if os.path.lexists(place):
        os.rename(place, kept)
    if is_new:
        os.rename(new, place)


def _hand_over(workspace: Workspace, secrets: SecretStore, sealed: Path, before: Path) -> None:
    root = user_account(workspace)
    key = secrets.get(DATABASE_KEY, root + RESTORING)
    if key is None:
        raise NotFound(
            "restoring_key_missing",
            f"The key of what is being restored is not in {secrets.describe} any more.",
            remedy="Put the recovery key there, under the account that ends with #restoring, and type any command.",
        )
    coming = open_entries(sealed, bytes.fromhex(key))
    present = secrets.get(DATABASE_KEY, root)
    kept = collect(workspace, secrets, before / "secrets")
    if not (before / KEYCHAIN).exists() and (kept or present is not None):
        # The key first: what is sealed with it is taken for done by whoever comes after a crash.
        if present not in (None, key):
            secrets.set(DATABASE_KEY, f"{root}#{before.name}", present)
        # Where the databases' own is lost, what takes its place keeps the other secrets, which may be all there is.
        seal_entries(before / KEYCHAIN, bytes.fromhex(present or key), kept)
    wanted = {(service, root + behind): secret for service, behind, secret in coming}
    for service, behind, _ in kept:
        if (service, root + behind) not in wanted:
            secrets.delete(service, root + behind)
    for (service, account), secret in wanted.items():
        secrets.set(service, account, secret)
    secrets.set(DATABASE_KEY, root, key)
    if secrets.get(DATABASE_KEY, root) != key:
        raise Internal("keychain_unreliable", f"{secrets.describe} did not give back the key that was just stored.")
    sealed.unlink()
    sync_directory(sealed.parent)


def collect(workspace: Workspace, secrets: SecretStore, *more_names: Path) -> Entries:
    """The workspace's secrets in this machine's keychain, but for the databases' key.

    Those of agents go by their names in `.quantum/secrets`, and in such folders elsewhere.
    """
    root = user_account(workspace)
    folders = [folder for folder in (workspace.secret_names, *more_names) if folder.is_dir()]
    agents = sorted({path.name for folder in folders for path in folder.iterdir()})
    services = ("coordinator", "safety", "runner", "gateway")
    places = [(USER_TOKEN, ""), (AUDIT_KEY, ""), (AUTHORITY_KEY, "")]
    places += [(SERVICE_TOKEN, f"#{name}") for name in services] + [(AGENT_SECRET, f"#{name}") for name in agents]
    found = [(service, behind, secrets.get(service, root + behind)) for service, behind in places]
    return [(service, behind, secret) for service, behind, secret in found if secret is not None]


def seal_entries(path: Path, key: bytes, entries: Entries) -> None:
    """Write secrets into a sealed file, whole or not at all, durably."""
    from io import BytesIO

    buffer = BytesIO()
    writer = SealedWriter(buffer, key, {"kind": "keychain"})
    writer.write(json.dumps(list(entries)).encode())
    writer.finish()
    atomic_write(path, buffer.getvalue(), 0o600)


def open_entries(path: Path, key: bytes) -> Entries:
    """What `seal_entries` has written. Raises Denied for another key, Invalid for what was changed."""
    with path.open("rb") as file:
        reader = SealedReader(file)
        reader.unlock(key)
        text = reader.read(path.stat().st_size)
    return [(str(service), str(behind), str(secret)) for service, behind, secret in json.loads(text)]


def _put_configuration_back(workspace: Workspace, folder: Path) -> None:
    """Files that are not there; the user's own stay as they are."""
    if not folder.is_dir():
        return
    target = workspace.config_file.parent
    target.mkdir(exist_ok=True)
    for file in sorted(folder.iterdir()):
        if not os.path.lexists(target / file.name):
            with suppress(FileNotFoundError):
                atomic_write(target / file.name, file.read_bytes(), 0o644)


def _read(workspace: Workspace) -> Journal:
    try:
        return Journal(**json.loads(workspace.restore_journal.read_bytes()))
    except (ValueError, TypeError) as error:
        raise Internal(
            "bad_restore_journal",
            f"{workspace.restore_journal} cannot be read: {error}.",
            remedy="It is written whole or not at all, so somebody has changed it: put it back as it was.",
        ) from None
