"""Puts a backup back: everything is put together and checked apart first, and takes its place at one moment."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cli.backups.archive import Counts, header_of, unpack
from cli.backups.catalogue import entries
from cli.backups.checking import ENTRIES, Findings, audit_key_in, check, look_over, scratch
from cli.backups.making import alone
from cli.first_start import DONE
from cli.keys.recovery_key import read_key
from cli.offline import SERVICES, ask_all, database_in
from cli.processes.identity import of_agents
from cli.workspace.settling import (
    CONFIG,
    KEYCHAIN,
    NEW,
    RESTORING,
    Entries,
    Journal,
    commit,
    discard,
    go_forward,
    managed,
    open_entries,
    seal_entries,
)
from foundation.clock import Clock
from foundation.errors import Conflict, Denied, Exhausted, Invalid, NotFound, did_you_mean
from foundation.files import sync, sync_directory
from foundation.quantities import format_size
from foundation.secrets import AUDIT_KEY, DATABASE_KEY, SecretStore, open_secret_store, user_account
from foundation.workspace import Workspace, WorkspaceLock

BEFORE = "before-restore-"
_STAGED = "restoring-"
_TIME_FORM = "%Y%m%dT%H%M%S.%fZ"


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """What is put back: a backup, or with `folder` what an earlier restore has set aside."""

    id: str
    path: Path
    made_at: datetime

    @property
    def is_folder(self) -> bool:
        """Whether it is a state that was set aside, not a backup."""
        return self.path.is_dir()


@dataclass(frozen=True, slots=True, kw_only=True)
class NewSecrets:
    """What takes the place of every secret of a workspace after a compromise; hexadecimal, 32 bytes each."""

    database_key: str
    audit_key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    """What was put back. `tasks`: how many open ones are in which state. `before` holds what was there, if anything.

    `configuration`: files of the backup that differ from the user's own, which stayed.
    """

    source: Source
    before: Path | None
    tasks: Mapping[str, int]
    mode_before: str
    mode: str
    notes: Sequence[str]
    configuration: Sequence[str]


def find(workspace: Workspace, wanted: str, cwd: Path, environ: Mapping[str, str]) -> Source:
    """The source that a person names: `latest`, an id or its beginning, a file, or `before-restore-…`.

    Raises NotFound with the nearest name, Invalid for a beginning that several have or a file that is no backup.
    """
    if (aside := _set_aside(workspace, wanted)) is not None:
        return aside
    known = entries(workspace, environ)
    if wanted == "latest":
        good = [entry for entry in known if entry.good]
        if not good:
            raise NotFound("no_good_backup", "There is no good backup here.", remedy="quantum backup list")
        return Source(id=good[0].id, path=good[0].path, made_at=good[0].made_at)
    named = [entry for entry in known if entry.id.startswith(wanted)] if wanted else []
    if len(named) == 1:
        return Source(id=named[0].id, path=named[0].path, made_at=named[0].made_at)
    if named:
        raise Invalid("ambiguous_backup", f"{len(named)} backups begin with “{wanted}”: {named[0].id}, {named[1].id} …")
    path = cwd / Path(wanted).expanduser()
    if path.is_file():
        header = header_of(path)
        return Source(id=header.id, path=path.resolve(), made_at=header.made_at)
    near = did_you_mean(wanted, [entry.id for entry in known])
    meant = f" Did you mean {near}?" if near else ""
    raise NotFound("no_such_backup", f"There is no backup “{wanted}”.{meant}", remedy="quantum backup list")


def _set_aside(workspace: Workspace, wanted: str) -> Source | None:
    path = workspace.state / wanted
    if not wanted.startswith(BEFORE) or not path.is_dir():
        return None
    try:
        made_at = datetime.strptime(wanted.removeprefix(BEFORE), _TIME_FORM).replace(tzinfo=UTC)
    except ValueError:
        return None  # somebody's own folder
    return Source(id=wanted, path=path, made_at=made_at)


def key_for(source: Source, workspace: Workspace, secrets: SecretStore, typed: str | None) -> bytes:
    """The key that opens a source: the recovery key that was typed, else the keychain's. Raises Denied without one."""
    if typed is not None:
        return read_key(typed)
    root = user_account(workspace)
    own = secrets.get(DATABASE_KEY, f"{root}#{source.id}") if source.is_folder else None
    key = own or secrets.get(DATABASE_KEY, root)
    if key is None:
        raise Denied(
            "key_needed",
            f"The databases' key is not in {secrets.describe}, and nothing else opens a backup.",
            remedy="Give the recovery key: --recovery-key asks for it, or reads it from standard input.",
        )
    return bytes.fromhex(key)


def restore(
    workspace: Workspace,
    secrets: SecretStore,
    environ: Mapping[str, str],
    source: Source,
    key: bytes,
    *,
    clock: Clock,
    renewing: NewSecrets | None = None,
    ready: Callable[[], None] = lambda: None,
) -> Restored:
    """Put `source` in the place of what is there; whenever the process ends, the old state holds, or the new one.

    `renewing`: after a compromise; nothing of the old secrets is carried over. `ready` is called when all is put
    together and nothing was touched yet. Nothing may run. Raises Conflict while
    something does, Denied or Invalid for what cannot be opened or is not whole; then nothing was touched.
    """
    if not workspace.state.is_dir():
        workspace.state.mkdir(mode=0o700, parents=True)
        open_secret_store(workspace, environ)  # which one it is, is written down
    _require_no_agents(workspace)
    with WorkspaceLock(workspace.lock_file):
        for left in workspace.state.glob(f"{_STAGED}*"):
            discard(workspace, secrets, left)
        _require_room(workspace, source)
        staging = workspace.state / f"{_STAGED}{clock.now():{_TIME_FORM}}"
        try:
            staged = _stage(workspace, environ, source, key, staging, renewing)
            coming = renewing.database_key if renewing else key.hex()
            secrets.set(DATABASE_KEY, user_account(workspace) + RESTORING, coming)
            differing = _differing(workspace, staging / CONFIG)
            journal = _journal(workspace, staging, clock.now())
            ready()
        except BaseException:
            discard(workspace, secrets, staging)
            raise
        commit(workspace, journal)
        go_forward(workspace, secrets)
    before = workspace.state / journal.before
    if not any(before.iterdir()):
        before.rmdir()
    return Restored(
        source=source,
        before=before if before.exists() else None,
        tasks=staged["coordinator"],
        mode_before=staged["safety"]["mode_before"],
        mode=staged["safety"]["mode"],
        notes=staged["notes"],
        configuration=differing,
    )


def rehearse(workspace: Workspace, environ: Mapping[str, str], source: Source, key: bytes) -> Findings:
    """Whether `source` would be put back, found out in a scratch folder. Raises what says nothing of it itself."""
    with alone(workspace):
        if not source.is_folder:
            return check(source.path, key, workspace, environ, source.id)
        with scratch(workspace, f".checking-{source.id}") as folder:
            return look_over(folder, key, _copy_kept(source.path, folder), workspace, environ)


def _stage(
    workspace: Workspace,
    environ: Mapping[str, str],
    source: Source,
    key: bytes,
    staging: Path,
    renewing: NewSecrets | None,
) -> dict[str, Any]:
    """Put everything together in `staging`, durably; what the services said."""
    new = staging / NEW
    new.mkdir(mode=0o700, parents=True)
    counts = _copy_kept(source.path, new) if source.is_folder else unpack(source.path, key, new, source.id)
    found = look_over(new, key, counts, workspace, environ)
    if found.faults:
        raise Invalid("backup_not_whole", f"{source.id} is not restored: {' '.join(found.faults)}")
    said: dict[str, Any] = {"notes": found.notes}
    asked = {service: {"path": str(database_in(new, service)), "key": key.hex()} for service in SERVICES}
    asked["safety"] |= {"audit": str(new / "audit"), "audit_key": audit_key_in(new, key), "backup_id": source.id}
    if renewing is not None:
        for one in asked.values():
            one |= {"new_key": renewing.database_key, "new_audit_key": renewing.audit_key}
    said |= ask_all("put-back", workspace, environ, asked)
    _lay_out(workspace, new, staging, key, renewing)
    _sync_all(staging)
    sync_directory(workspace.state)
    return said


def _lay_out(workspace: Workspace, new: Path, staging: Path, key: bytes, renewing: NewSecrets | None) -> None:
    """What is not for `.quantum` goes elsewhere; after a compromise, what could open a door is left out."""
    carried = open_entries(new / ENTRIES, key)
    (new / ENTRIES).unlink()
    if renewing is None:
        kept: Entries = carried
        (new / DONE).touch(mode=0o600)
    else:
        kept = [(AUDIT_KEY, "", renewing.audit_key)]
        key = bytes.fromhex(renewing.database_key)
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


def _journal(workspace: Workspace, staging: Path, now: datetime) -> Journal:
    old = [name for name in managed(workspace) if name != workspace.stop_file.name]
    return Journal(
        staging=staging.name,
        before=f"{BEFORE}{now:{_TIME_FORM}}",
        new=sorted(path.name for path in (staging / NEW).iterdir()),
        old=old,
    )


def _differing(workspace: Workspace, folder: Path) -> Sequence[str]:
    """Files of the user's configuration that are not as they were when the backup was made."""
    if not folder.is_dir():
        return ()
    own = workspace.config_file.parent
    return [
        path.name
        for path in sorted(folder.iterdir())
        if (own / path.name).is_file() and (own / path.name).read_bytes() != path.read_bytes()
    ]


def _require_no_agents(workspace: Workspace) -> None:
    """What outlived its runner would go on beside the task that is to go on by itself, or be decided on."""
    if left := of_agents(workspace.root):
        raise Conflict(
            "agents_left",
            f"Processes of agents still run in {workspace.root}: {', '.join(str(one.pid) for one in left)}.",
            remedy="quantum stop --all ends them, and stays in force until quantum resume.",
        )


def _require_room(workspace: Workspace, source: Source) -> None:
    kept = source.path.rglob("*") if source.is_folder else (source.path,)
    needed = 2 * sum(path.stat().st_size for path in kept if path.is_file())
    free = shutil.disk_usage(workspace.state).free
    if free < needed:
        raise Exhausted(
            "no_room_for_restore",
            f"A restore of {source.id} needs {format_size(needed)}, and {workspace.state} has {format_size(free)}.",
            remedy="Make room; nothing was touched.",
        )


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
