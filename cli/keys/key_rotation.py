"""Gives the databases a new key while nothing runs, so that a crash at any point leaves them readable."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from cli.offline import SERVICES, ask_offline
from foundation.errors import Conflict, Internal, NotFound
from foundation.ids import random_bytes
from foundation.secrets import DATABASE_KEY, KEY_BYTES, SecretStore, next_key_account, user_account
from foundation.workspace import Workspace, WorkspaceLock


@dataclass(frozen=True, slots=True, kw_only=True)
class Rotated:
    """What was done; `resumed` when an earlier change of the key had been cut short and was now brought to its end."""

    resumed: bool
    copies_removed: int


def rotate_key(
    workspace: Workspace,
    secrets: SecretStore,
    environ: Mapping[str, str],
    *,
    show: Callable[[str], None],
) -> Rotated:
    """Store the next key beside the present one, encrypt both databases with it, and let it take the other's place.

    `show` is handed the new key before anything is encrypted with it: it is the recovery key from then on. Done again
    after a crash, it goes on with the same next key. Raises Conflict while the system runs, NotFound without a key.
    """
    with WorkspaceLock(workspace.lock_file):
        missing = [path for path in (workspace.coordinator_db, workspace.safety_db) if not path.exists()]
        if missing:
            raise NotFound("no_database", f"There is no {missing[0]}.", remedy=f"quantum init {workspace.root}")
        present, coming = user_account(workspace), next_key_account(workspace)
        following = secrets.get(DATABASE_KEY, coming)
        resumed = following is not None
        if following is None:
            following = _make_next(secrets, present, coming)
        show(following)
        for service in SERVICES:  # safety is the last: its audit log then says that the databases have a new key
            _encrypt(service, workspace, environ)
        _keep(secrets, present, following)
        secrets.delete(DATABASE_KEY, coming)
        return Rotated(resumed=resumed, copies_removed=_remove_copies(workspace))


def _make_next(secrets: SecretStore, present: str, coming: str) -> str:
    if secrets.get(DATABASE_KEY, present) is None:
        raise NotFound(
            "key_missing",
            f"The databases' key is not in {secrets.describe}.",
            remedy="Put the recovery key back: quantum init --recovery-key.",
        )
    following = random_bytes(KEY_BYTES).hex()
    _keep(secrets, coming, following)
    return following


def _keep(secrets: SecretStore, account: str, key: str) -> None:
    secrets.set(DATABASE_KEY, account, key)
    if secrets.get(DATABASE_KEY, account) != key:
        raise Internal("keychain_unreliable", f"{secrets.describe} did not give back the key that was just stored.")


def _encrypt(service: str, workspace: Workspace, environ: Mapping[str, str]) -> None:
    """Let the service that owns it encrypt its database; it takes both keys from the keychain itself."""
    try:
        ask_offline(service, "rekey", workspace, environ)
    except Internal as error:
        raise Conflict(
            "key_not_rotated",
            error.message,
            remedy="Both keys are kept, and everything starts as before; quantum rotate key goes on from here.",
        ) from error


def _remove_copies(workspace: Workspace) -> int:
    """Remove the copies that were made before migrations: the old key, which alone opens them, is gone."""
    copies = list(workspace.state.glob("*.db.before-[0-9][0-9][0-9][0-9]"))
    for copy in copies:
        copy.unlink()
    return len(copies)
