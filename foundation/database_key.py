"""The databases' key as a service takes it from the keychain; while it is being changed there are two."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from foundation.errors import Invalid, NotFound
from foundation.secrets import DATABASE_KEY, next_key_account, user_account
from foundation.secrets_apart import read_secrets_apart
from foundation.sqlite.pages import key_fits
from foundation.workspace import Workspace


@dataclass(frozen=True, slots=True)
class DatabaseKeys:
    """The key, and behind it the one that is to take its place, as long as that has not been done to the end."""

    keys: tuple[bytes, ...]

    def key_of(self, path: Path) -> bytes:
        """The one that opens a database; the first for one that is not there yet, or that none opens."""
        return next((key for key in self.keys if key_fits(path, key)), self.keys[0])


def read_with_keys(
    workspace: Workspace, others: Sequence[tuple[str, str]], *, within: timedelta
) -> tuple[DatabaseKeys, list[str]]:
    """The databases' keys, and each other (service, account) in turn, asked for until `within` has passed.

    A service never makes a secret: raises NotFound for the first that is not there, Invalid for a damaged key.
    """
    present = (DATABASE_KEY, user_account(workspace))
    coming = (DATABASE_KEY, next_key_account(workspace))
    where, found = read_secrets_apart(workspace, [present, *others], within=within, at_once=[coming])
    current, *rest, following = found
    missing = [service for (service, _), secret in zip(others, rest, strict=True) if secret is None]
    texts = [text for text in (current, following) if text is not None]
    if not texts or missing:
        raise NotFound(
            "no_secret",
            f"“{missing[0] if texts else DATABASE_KEY}” of {workspace.root} is not in its keychain ({where}).",
            remedy="`quantum init` makes it in a new workspace; `quantum init --recovery-key` brings back an old key.",
        )
    return DatabaseKeys(tuple(map(key_from, texts))), [secret for secret in rest if secret is not None]


def key_from(text: str) -> bytes:
    """The bytes of a key as the keychain has it; raises Invalid."""
    try:
        return bytes.fromhex(text)
    except ValueError:
        raise Invalid("bad_database_key", "The databases' key in the keychain is not hexadecimal.") from None
