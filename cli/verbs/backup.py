"""`quantum backup`: makes backups, shows them, checks them again, and removes those that are not kept."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from cli.backups import catalogue
from cli.groups import Group
from cli.options import dry_run_option, json_option
from cli.output.printing import emit
from cli.session import CALL_TIMEOUT, Session
from foundation.errors import Conflict, Internal, NotFound, QuantumError
from foundation.quantities import format_size
from foundation.workspace import WorkspaceLock

if TYPE_CHECKING:
    from cli.backups.catalogue import BackupEntry
    from cli.backups.making import Take, Tell


@click.group(cls=Group, invoke_without_command=True)
@click.pass_context
def command(ctx: click.Context) -> None:
    """Make, list, check and prune backups. Alone, it makes one."""
    if ctx.invoked_subcommand is None:
        ctx.invoke(create)


@command.command()
@json_option
@click.pass_obj
def create(session: Session, as_json: bool) -> None:
    """Make a backup, while everything runs or while nothing does, and restore it apart before it is called good."""
    from cli.backups.making import make

    workspace = session.workspace
    with _copying(session) as (take, tell):
        made = make(workspace, session.secrets, session.environ, take, clock=session.clock, tell=tell)
    entry = made.entry
    if as_json:
        emit({"backup": _document(entry), "notes": list(made.findings.notes)})
    if not entry.good:
        raise Internal("backup_not_good", f"{entry.path} was made and is not good: {entry.fault}")
    if not as_json:
        click.echo(f"{entry.id}  {format_size(entry.bytes)}  good: it was restored apart, and all of it is there.")
        click.echo(f"  {entry.path}")
        for note in made.findings.notes:
            click.echo(f"  As it was already: {note}")
        click.echo("  It opens with the recovery key alone. The agents' own scripts are not in it: they are yours.")


@command.command("list")
@json_option
@click.pass_obj
def show(session: Session, as_json: bool) -> None:
    """Every backup, the newest first, and whether it is good."""
    found = catalogue.entries(session.workspace, session.environ)
    if as_json:
        emit({"backups": [_document(entry) for entry in found]})
        return
    for entry in found:
        standing = "good" if entry.good else f"not good: {entry.fault}"
        click.echo(f"{entry.id}  {format_size(entry.bytes):>9}  {standing}")
    if not found:
        click.echo("There is no backup yet: quantum backup create makes one.")


@command.command()
@click.argument("wanted", required=False)
@json_option
@click.pass_obj
def verify(session: Session, wanted: str | None, as_json: bool) -> None:
    """Restore a backup apart once more (WANTED: an id; else every one) and look whether all of it is there."""
    from cli.backups.making import verify as check

    chosen = _chosen(session, wanted)
    results: list[tuple[str, bool | None, str]] = []
    for entry in chosen:
        try:
            findings = check(entry, session.workspace, session.secrets, session.environ, clock=session.clock)
            results.append((entry.id, not findings.faults, " ".join(findings.faults)))
        except QuantumError as error:  # which says nothing of the backup: its key is not here, or there is no room
            results.append((entry.id, None, error.message))
        if not as_json:
            _, good, fault = results[-1]
            word = "cannot be told" if good is None else "good" if good else "not good"
            click.echo(f"{entry.id}  {word}{': ' if fault else ''}{fault}")
    if as_json:
        emit({"backups": [{"id": name, "good": good, "fault": fault or None} for name, good, fault in results]})
    if any(good is not True for _, good, _ in results):
        raise click.exceptions.Exit(1)


@command.command()
@dry_run_option
@json_option
@click.pass_obj
def prune(session: Session, dry_run: bool, as_json: bool) -> None:
    """Remove backups that no rule keeps (the settings backup_*); never the last good one."""
    from cli.backups.making import prune as remove
    from cli.backups.retention import RetentionSettings
    from foundation.settings import load

    rules = load(RetentionSettings, environ=session.environ, workspace=session.workspace)
    going = remove(session.workspace, session.environ, rules, now=session.clock.now(), dry_run=dry_run)
    for one in going:
        if not as_json:
            click.echo(f"{one.entry.id}  {one.why}")
    size = sum(one.entry.bytes for one in going)
    if as_json:
        removed = [{**_document(one.entry), "why": one.why} for one in going]
        emit({"dry_run": dry_run, "removed": removed, "bytes": size, "undo": None})
    else:
        done = "would be removed" if dry_run else "were removed"
        click.echo(f"{len(going)} backups, {format_size(size)}, {done}.")


@contextmanager
def _copying(session: Session) -> Iterator[tuple[Take, Tell]]:
    """How copies are made just now: by what runs, else by processes of our own, and nothing starts meanwhile."""
    from cli.backups.making import alone, copy_offline
    from cli.processes.running import read_running

    workspace = session.workspace
    lock = WorkspaceLock(workspace.lock_file)
    try:
        lock.acquire()
    except Conflict:
        if read_running(workspace) is None:
            with alone(workspace):  # says so when it is another backup
                raise
        with session.connected() as connected:
            from clients.backups import COPY_DEADLINE

            backups = connected.coordinator.backups
            yield (
                lambda backup_id: connected.call(backups.take_snapshot(backup_id), COPY_DEADLINE + CALL_TIMEOUT),
                lambda backup_id, fault: connected.call(backups.conclude(backup_id, fault)),
            )
        return
    try:
        yield copy_offline(workspace, session.environ), lambda backup_id, fault: None
    finally:
        lock.release()


def _chosen(session: Session, wanted: str | None) -> list[BackupEntry]:
    found = catalogue.entries(session.workspace, session.environ)
    if not found:
        raise NotFound("no_backup", "There is no backup to look at.", remedy="quantum backup create")
    if wanted == "latest":
        return list(found[:1])
    chosen = [entry for entry in found if not wanted or entry.id.startswith(wanted)]
    if wanted and not chosen:
        raise NotFound("no_such_backup", f"There is no backup “{wanted}”.", remedy="quantum backup list")
    return chosen


def _document(entry: BackupEntry) -> dict[str, Any]:
    return {
        "id": entry.id,
        "path": str(entry.path),
        "made_at": entry.made_at.isoformat(),
        "bytes": entry.bytes,
        "good": entry.good,
        "checked_at": entry.checked_at.isoformat() if entry.checked_at else None,
        "fault": entry.fault or None,
    }
