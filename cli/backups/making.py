"""Makes a backup: both databases copied, the rest put beside them, sealed into one file, and checked at once."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cli.backups.archive import Counts, pack
from cli.backups.catalogue import SUFFIX, BackupEntry, entries, folder_of, next_number, note_verdict, remove
from cli.backups.checking import ENTRIES, Findings, check
from cli.backups.retention import Pruning, RetentionSettings, prunings
from cli.offline import SERVICES, ask_all, ask_offline, database_in
from cli.workspace.settling import collect, seal_entries
from foundation.backup_ids import new_backup_id
from foundation.clock import Clock
from foundation.errors import Conflict, Exhausted, Internal, NotFound, QuantumError
from foundation.quantities import format_size
from foundation.secrets import DATABASE_KEY, SecretStore, next_key_account, user_account
from foundation.workspace import Workspace, WorkspaceLock

Take = Callable[[str], None]
"""Has both databases copied into the workspace's folder of a backup, given its id."""
Tell = Callable[[str, str], None]
"""Says of a backup, by its id, why it is not good, or with an empty text that it is."""
_BESIDE = ("tls", "hooks", "repositories.toml", "secrets", "STOP")
"""What of `.quantum` belongs to a workspace beside its databases."""
GOES_ON = "backup_goes_on"
_TRIES = 5
_COPIES = 3
"""Of both databases at once, at most: as they were taken, sealed, and unpacked again to be checked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A backup, and what was noticed about it."""

    entry: BackupEntry
    findings: Findings


def make(
    workspace: Workspace,
    secrets: SecretStore,
    environ: Mapping[str, str],
    take: Take,
    *,
    clock: Clock,
    tell: Tell = lambda backup_id, fault: None,
) -> Made:
    """Make a backup and check it. The entry is good, or says why it is not; `tell` is told, whatever becomes of it.

    Raises Conflict while another one is being made, NotFound without the databases' key, Exhausted without room,
    Internal for what the system refuses, and what `take` raises; then there is no backup.
    """
    backup_id = new_backup_id(clock.now())
    try:
        findings = _make(workspace, secrets, environ, take, backup_id, clock)
    except QuantumError as error:
        if error.code != GOES_ON:
            tell(backup_id, f"It could not be made: {error.message}")
        raise
    except OSError as error:
        what = f"{error.filename}: {error.strerror}" if error.filename else str(error)
        fault = Internal("backup_failed", f"The system refused something: {what}.", remedy="quantum doctor")
        tell(backup_id, f"It could not be made: {fault.message}")
        raise fault from error
    tell(backup_id, " ".join(findings.faults))
    return Made(entry=next(one for one in entries(workspace, environ) if one.id == backup_id), findings=findings)


def _make(
    workspace: Workspace,
    secrets: SecretStore,
    environ: Mapping[str, str],
    take: Take,
    backup_id: str,
    clock: Clock,
) -> Findings:
    key = database_key(workspace, secrets)
    with alone(workspace):
        _require_room(workspace, folder_of(workspace, environ))
        now = clock.now()
        target = _folder(workspace, environ) / f"{backup_id}{SUFFIX}"
        making = workspace.making(backup_id)
        try:
            _copy(workspace, secrets, take, backup_id, key)
            _put_beside(workspace, making)
            counts = _count(making, key, workspace, environ)
            number = next_number(workspace, environ)
            pack(making, target, key, backup_id=backup_id, made_at=now, number=number, counts=counts)
        finally:
            shutil.rmtree(making, ignore_errors=True)
        findings = check(target, key, workspace, environ, backup_id)
        note_verdict(target, fault=" ".join(findings.faults), now=clock.now())
    return findings


def verify(
    entry: BackupEntry, workspace: Workspace, secrets: SecretStore, environ: Mapping[str, str], *, clock: Clock
) -> Findings:
    """Check a backup anew, and write down what was found. Raises Denied, `wrong_key`, and leaves it as it was."""
    with alone(workspace):
        findings = check(entry.path, database_key(workspace, secrets), workspace, environ, entry.id)
        note_verdict(entry.path, fault=" ".join(findings.faults), now=clock.now())
    return findings


def copy_offline(workspace: Workspace, environ: Mapping[str, str]) -> Take:
    """Copies by processes of the services' own, where none of them serves."""

    def take(backup_id: str) -> None:
        for service in SERVICES:
            ask_offline(service, "snapshot", workspace, environ, backup_id=backup_id)

    return take


def database_key(workspace: Workspace, secrets: SecretStore) -> bytes:
    """The databases' key. Raises NotFound without it, Conflict while it is being changed."""
    if secrets.get(DATABASE_KEY, next_key_account(workspace)) is not None:
        raise Conflict(
            "key_changing",
            "A change of the databases' key was cut short, so that they may have different ones.",
            remedy="quantum down, then quantum rotate key, which goes on from there.",
        )
    key = secrets.get(DATABASE_KEY, user_account(workspace))
    if key is None:
        raise NotFound(
            "key_missing",
            f"The databases' key is not in {secrets.describe}.",
            remedy="Put the recovery key back: quantum init --recovery-key.",
        )
    return bytes.fromhex(key)


def prune(
    workspace: Workspace, environ: Mapping[str, str], rules: RetentionSettings, *, now: datetime, dry_run: bool = False
) -> Sequence[Pruning]:
    """Remove what no rule keeps; what was, or with `dry_run` would be. Raises Conflict while one is made or checked."""
    if dry_run:
        return prunings(entries(workspace, environ), rules, now)
    with alone(workspace):
        going = prunings(entries(workspace, environ), rules, now)
        for one in going:
            remove(one.entry)
    return going


@contextmanager
def alone(workspace: Workspace) -> Iterator[None]:
    """One backup at a time; what an earlier one left when it was killed is taken away."""
    folder = workspace.state / "backups"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = WorkspaceLock(folder / "lock")
    try:
        lock.acquire()
    except Conflict as error:
        raise Conflict(
            GOES_ON, "A backup is being made or checked just now.", remedy="Try again when it is done."
        ) from error
    try:
        for left in (*folder.glob(".making-*"), *folder.glob(".checking-*")):
            shutil.rmtree(left, ignore_errors=True)
        yield
    finally:
        lock.release()


def _folder(workspace: Workspace, environ: Mapping[str, str]) -> Path:
    folder = folder_of(workspace, environ)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for left in folder.glob(f".*{SUFFIX}.partial"):
        left.unlink(missing_ok=True)
    return folder


def _require_room(workspace: Workspace, folder: Path) -> None:
    databases = (workspace.coordinator_db, workspace.safety_db)
    needed = _COPIES * sum(path.stat().st_size for path in databases if path.exists())
    for place in (workspace.state, folder):
        if place.is_dir() and (free := shutil.disk_usage(place).free) < needed:
            raise Exhausted(
                "no_room_for_backup",
                f"A backup needs up to {format_size(needed)} while it is made, and {place} has {format_size(free)}.",
                remedy="quantum backup prune makes room, as does the setting backup_folder on another disk.",
            )


def _copy(workspace: Workspace, secrets: SecretStore, take: Take, backup_id: str, key: bytes) -> None:
    """Have both databases copied, and seal the secrets that stood from before the copies until after them.

    A token that is replaced meanwhile would be one that safety's copy does not know: who puts that back is shut out.
    """
    making = workspace.making(backup_id)
    for _ in range(_TRIES):
        shutil.rmtree(making, ignore_errors=True)
        making.mkdir(mode=0o700, parents=True)
        before = collect(workspace, secrets)
        take(backup_id)
        if collect(workspace, secrets) == before:
            seal_entries(making / ENTRIES, key, before)
            return
    raise Conflict(
        "secrets_changing",
        f"Secrets were changed during each of {_TRIES} copies.",
        remedy="Try again when nobody changes them.",
    )


def _put_beside(workspace: Workspace, making: Path) -> None:
    for name in _BESIDE:
        path = workspace.state / name
        if path.is_dir():
            shutil.copytree(path, making / name, symlinks=True)
        elif path.is_file():
            shutil.copyfile(path, making / name)
    config = workspace.config_file.parent
    (making / "config").mkdir(mode=0o700)
    for path in sorted(config.iterdir()):
        if path.is_file():
            shutil.copyfile(path, making / "config" / path.name)


def _count(making: Path, key: bytes, workspace: Workspace, environ: Mapping[str, str]) -> Counts:
    paths = {service: database_in(making, service) for service in SERVICES}
    asked = {service: {"path": str(path), "key": key.hex()} for service, path in paths.items()}
    counts = ask_all("count-copy", workspace, environ, asked)
    return {path.name: counts[service] for service, path in paths.items()}
