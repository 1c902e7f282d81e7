"""Puts a backup back: everything is put together and checked apart first, and takes its place at one moment."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cli.backups.archive import NEWER
from cli.backups.checking import Findings, audit_key_in, look_over, scratch
from cli.backups.finding import BEFORE, TIME_FORM, Source
from cli.backups.making import alone
from cli.backups.present import copy_present
from cli.backups.staging import PRESENT, NewSecrets, Staging, Tokens, lay_out_source
from cli.processes.identity import of_agents
from cli.workspace.settling import CONFIG, NEW, RESTORING, Journal, commit, discard, go_forward, managed
from foundation.clock import Clock
from foundation.errors import Conflict, Exhausted, Invalid
from foundation.quantities import format_size
from foundation.secrets import DATABASE_KEY, SecretStore, open_secret_store, user_account
from foundation.workspace import Workspace, WorkspaceLock

_STAGED = "restoring-"


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    """What was put back. `tasks`: how many open ones are in which state. `before` holds what was there, if anything.

    `configuration`: files of the backup that differ from the user's own, which stayed. `carried`: what has closed since
    the backup and stays closed, a sentence each; `unknown`: why that may not be all, empty where it is. `fresh`: how
    many of the workspace's own tokens are new, because the backup's have ended.
    """

    source: Source
    before: Path | None
    tasks: Mapping[str, int]
    mode_before: str
    mode: str
    notes: Sequence[str]
    configuration: Sequence[str]
    carried: Sequence[str] = ()
    unknown: str = ""
    fresh: int = 0


def restore(
    workspace: Workspace,
    secrets: SecretStore,
    environ: Mapping[str, str],
    source: Source,
    key: bytes,
    *,
    clock: Clock,
    tokens: Tokens | None = None,
    renewing: NewSecrets | None = None,
    ready: Callable[[], None] = lambda: None,
) -> Restored:
    """Put `source` in the place of what is there; whenever the process ends, the old state holds, or the new one.

    What has closed since stays closed, as far as what is there tells; where it does not, `tokens` must say what becomes
    of them. `renewing`: after a compromise; nothing of the old secrets is carried over. `ready` is called when all is
    put together and nothing was touched yet. Nothing may run. Raises Conflict while something does, or, code
    `revocations_unknown`, without `tokens`; Denied or Invalid for what cannot be opened or is not whole; then nothing
    was touched.
    """
    if not workspace.state.is_dir():
        workspace.state.mkdir(mode=0o700, parents=True)
        open_secret_store(workspace, environ)  # which one it is, is written down
    _require_no_agents(workspace)
    with WorkspaceLock(workspace.lock_file):
        for left in workspace.state.glob(f"{_STAGED}*"):
            discard(workspace, secrets, left)
        _require_room(workspace, source)
        staging = workspace.state / f"{_STAGED}{clock.now():{TIME_FORM}}"
        try:
            staged = Staging(workspace, secrets, environ, staging).stage(source, key, tokens, renewing)
            secrets.set(DATABASE_KEY, user_account(workspace) + RESTORING, staged["key"])
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
        carried=staged["safety"]["carried"],
        unknown=staged["unknown"],
        fresh=len(staged["safety"]["replaced"]),
    )


def rehearse(
    workspace: Workspace, secrets: SecretStore, environ: Mapping[str, str], source: Source, key: bytes
) -> Findings:
    """Whether `source` would be put back, found out in a scratch folder. Raises what says nothing of it itself.

    Whether what is there tells what was revoked since is found out only while nothing runs.
    """
    with alone(workspace), scratch(workspace, f".checking-{source.id}") as folder, _at_rest(workspace) as at_rest:
        new = folder / NEW
        new.mkdir(mode=0o700)
        try:
            counts = lay_out_source(source, key, new)
            present = None
            if at_rest:
                audit_key = audit_key_in(new, key)
                present = copy_present(workspace, secrets, folder / PRESENT, key=key, audit_key=audit_key)
            return look_over(new, key, counts, workspace, environ, present)
        except Invalid as error:
            if error.code == NEWER:
                raise
            return Findings(faults=(error.message,))


@contextmanager
def _at_rest(workspace: Workspace) -> Iterator[bool]:
    """Whether nothing runs; nothing begins to, meanwhile."""
    lock = WorkspaceLock(workspace.lock_file)
    try:
        lock.acquire()
    except Conflict:
        yield False
        return
    try:
        yield True
    finally:
        lock.release()


def _journal(workspace: Workspace, staging: Path, now: datetime) -> Journal:
    old = [name for name in managed(workspace) if name != workspace.stop_file.name]
    return Journal(
        staging=staging.name,
        before=f"{BEFORE}{now:{TIME_FORM}}",
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
    needed += workspace.safety_db.stat().st_size if workspace.safety_db.exists() else 0
    free = shutil.disk_usage(workspace.state).free
    if free < needed:
        raise Exhausted(
            "no_room_for_restore",
            f"A restore of {source.id} needs {format_size(needed)}, and {workspace.state} has {format_size(free)}.",
            remedy="Make room; nothing was touched.",
        )
