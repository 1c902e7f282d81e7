"""Puts together, apart and durably, what is to take the place of what is there; nothing else is touched."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from cli.backups.archive import Counts, unpack
from cli.backups.checking import ENTRIES, Findings, audit_key_in, look_over
from cli.backups.finding import Source
from cli.backups.own_tokens import exchanged, fresh_for
from cli.backups.present import copy_present
from cli.first_start import DONE
from cli.offline import SERVICES, ask_all, database_in
from cli.workspace.settling import CONFIG, KEYCHAIN, NEW, Entries, open_entries, seal_entries
from foundation.errors import Conflict, Invalid, NotFound
from foundation.files import sync, sync_directory
from foundation.secrets import AUDIT_KEY, DATABASE_KEY, SecretStore, user_account
from foundation.workspace import Workspace

PRESENT = "present"
"""Where a copy of what is there lies beside what is put together."""
UNKNOWN = "revocations_unknown"


class Tokens(StrEnum):
    """What becomes of the tokens of then where nothing tells which were revoked since."""

    AS_THEN = "as-then"
    NEW = "new"
    """None of them is good any more; the workspace's own are made anew."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewSecrets:
    """What takes the place of every secret of a workspace after a compromise; hexadecimal, 32 bytes each."""

    database_key: str
    audit_key: str


@dataclass(frozen=True, slots=True)
class Staging:
    """A folder in which everything is put together, durably, before anything is touched."""

    workspace: Workspace
    secrets: SecretStore
    environ: Mapping[str, str]
    folder: Path

    def stage(self, source: Source, key: bytes, tokens: Tokens | None, renewing: NewSecrets | None) -> dict[str, Any]:
        """What the services said, the `key` that the databases have then, `notes`, and `unknown` as in `Restored`."""
        new = self.folder / NEW
        new.mkdir(mode=0o700, parents=True)
        counts = lay_out_source(source, key, new)
        audit_key, present = audit_key_in(new, key), None
        if renewing is None:
            present = copy_present(self.workspace, self.secrets, self.folder / PRESENT, key=key, audit_key=audit_key)
        found = look_over(new, key, counts, self.workspace, self.environ, present)
        if found.faults:
            raise Invalid("backup_not_whole", f"{source.id} is not restored: {' '.join(found.faults)}")
        if found.unknown and tokens is None:
            raise _unknown(source, found.unknown)
        coming = renewing.database_key if renewing else self._key_then(key, found)
        entries = open_entries(new / ENTRIES, key)
        fresh = fresh_for(entries)
        keys = {"key": key.hex(), **({"new_key": coming} if coming != key.hex() else {})}
        asked: dict[str, dict[str, Any]] = {one: {"path": str(database_in(new, one)), **keys} for one in SERVICES}
        asked["safety"] |= {"audit": str(new / "audit"), "audit_key": audit_key, "backup_id": source.id}
        if renewing is not None:
            asked["safety"]["new_audit_key"] = renewing.audit_key
        else:
            asked["safety"] |= {
                "present": present,
                "config": str(self.workspace.config_file.parent),
                "own": {old: [token.id, token.digest] for old, token in fresh.items()},
                "new_tokens": tokens is Tokens.NEW,
            }
        said = ask_all("put-back", self.workspace, self.environ, asked)
        shutil.rmtree(self.folder / PRESENT, ignore_errors=True)
        kept = exchanged(entries, fresh, said["safety"]["replaced"])
        _lay_out(self.workspace, new, self.folder, bytes.fromhex(coming), kept, renewing)
        _sync_all(self.folder)
        sync_directory(self.workspace.state)
        return {**said, "key": coming, "notes": found.notes, "unknown": found.unknown or ""}

    def _key_then(self, key: bytes, found: Findings) -> str:
        """The databases' key after a restore: a key that took the backup's place since then keeps it."""
        present = self.secrets.get(DATABASE_KEY, user_account(self.workspace))
        return present if present is not None and found.unknown == "" else key.hex()


def _unknown(source: Source, why: str) -> Conflict:
    return Conflict(
        UNKNOWN,
        f"{why}: nothing tells which tokens were revoked since {source.made_at:%Y-%m-%d %H:%M} UTC, and they would be"
        " good again. Nothing was touched.",
        remedy="Add --tokens new: none of then is good, yours and the services' are made anew. Or --tokens as-then:"
        " they are as they were. After a compromise, quantum init --recover makes every secret new.",
    )


def _lay_out(
    workspace: Workspace, new: Path, staging: Path, key: bytes, kept: Entries, renewing: NewSecrets | None
) -> None:
    """What is not for `.quantum` goes elsewhere; after a compromise, what could open a door is left out."""
    (new / ENTRIES).unlink()
    if renewing is None:
        (new / DONE).touch(mode=0o600)
    else:
        kept = [(AUDIT_KEY, "", renewing.audit_key)]
        for name in ("tls", "hooks", "secrets"):
            shutil.rmtree(new / name, ignore_errors=True)
    seal_entries(staging / KEYCHAIN, key, kept)
    if (new / "config").is_dir():
        os.rename(new / "config", staging / CONFIG)
    # An order to stop that stands now goes on standing, whatever is put back.
    if workspace.stop_file.exists():
        (new / workspace.stop_file.name).unlink(missing_ok=True)
    for left in (*new.glob("*.db-*"), *new.glob("*.db.before-*"), *new.glob("*.db.rekeyed*")):
        left.unlink()


def lay_out_source(source: Source, key: bytes, new: Path) -> Counts | None:
    return _copy_kept(source.path, new) if source.is_folder else unpack(source.path, key, new, source.id)


def _copy_kept(before: Path, new: Path) -> Counts | None:
    """What an earlier restore has set aside; its databases have their logs beside them."""
    for path in sorted(before.iterdir()):
        if path.name.endswith("-shm") or ".db.before-" in path.name:
            continue
        if path.is_dir():
            shutil.copytree(path, new / path.name, symlinks=True)
        else:
            shutil.copyfile(path, new / path.name)
    if not (new / ENTRIES).exists():
        raise NotFound(
            "nothing_kept",
            f"{before.name} holds no secrets: there were none.",
            remedy="quantum backup list shows what else can be put back.",
        )
    return None


def _sync_all(folder: Path) -> None:
    """Returns when everything in a folder survives a power cut."""
    for path in (*folder.rglob("*"), folder):
        if path.is_dir():
            sync_directory(path)
        elif path.is_file():
            descriptor = os.open(path, os.O_RDONLY)
            try:
                sync(descriptor)
            finally:
                os.close(descriptor)
