"""`quantum audit`: what was done with privilege, whether the log was changed, and who asked for what."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import click

from cli.logs.access_summary import Access, summed_up
from cli.options import Duration, json_option
from cli.output.documents import document, documents
from cli.output.printing import counted, emit, lately, table
from cli.session import Connected, Session
from clients.safety_audit_values import AuditRecordView, AuditVerdict

CHANGED = 1
"""The exit code when the log is not what was written."""
_PAGE = 1_000


@click.command()
@click.option("--verify", is_flag=True, help="Read the whole log and say whether it is as it was written.")
@click.option("--access", is_flag=True, help="Sum up logs/access.log: who asked for what, and what was answered.")
@click.option("--since", type=Duration(), help="Only the last 2h, 7d, … (without: everything that --limit lets).")
@click.option("--limit", type=click.IntRange(1, 1_000_000), default=100, show_default=True, help="At most so many.")
@json_option
@click.pass_obj
def command(
    session: Session, verify: bool, access: bool, since: timedelta | None, limit: int, as_json: bool
) -> int | None:
    """Show privileged acts (tokens, mode, breakers, budgets, caps, cancels by others), newest first."""
    if verify and access:
        raise click.UsageError("Name one of --verify and --access.")
    if access:
        _show_access(session, since, as_json)
        return None
    with session.connected() as connected:
        if verify:
            return _say(connected.call(connected.safety.audit.verify(), timedelta(minutes=5, seconds=5)), as_json)
        records = list(_records(connected, session, since, limit))
    if as_json:
        emit({"records": documents(records)})
        return None
    if not records:
        click.echo("Nothing is recorded in that time." if since else "Nothing is recorded yet.")
        return None
    now = session.clock.now()
    rows = [
        (
            str(record.number),
            lately(record.at, now),
            record.actor,
            record.act,
            record.target,
            _change(record),
            record.reason or "-",
        )
        for record in records
    ]
    table(("NUMBER", "AT", "ACTOR", "ACT", "TARGET", "CHANGE", "REASON"), rows)
    return None


def _records(connected: Connected, session: Session, since: timedelta | None, limit: int) -> Iterator[AuditRecordView]:
    start = session.clock.now() - since if since is not None else None
    cursor: str | None = None
    while limit > 0:
        page = connected.call(connected.safety.audit.page(since=start, limit=min(limit, _PAGE), cursor=cursor))
        yield from page.records
        limit -= len(page.records)
        cursor = page.next
        if cursor is None:
            return


def _change(record: AuditRecordView) -> str:
    if record.before and record.after:
        return f"{record.before} → {record.after}"
    return record.before or record.after or "-"


def _say(verdict: AuditVerdict, as_json: bool) -> int:
    fault = verdict.fault
    if as_json:
        emit({"good": fault is None, **document(verdict)})
    elif fault is None:
        click.echo(f"The audit log is as it was written: {counted(verdict.records, 'record')}.")
        if verdict.unconfirmed:
            click.echo(f"  {counted(verdict.unconfirmed, 'record')} of them beyond the checkpoint, which follows.")
        click.echo(f"  head: {verdict.head}")
    else:
        click.echo(f"The audit log was changed. {fault.sentence}", err=True)
        click.echo(f"  {counted(verdict.records, 'record')} before that are as they were written.", err=True)
    return 0 if fault is None else CHANGED


def _show_access(session: Session, since: timedelta | None, as_json: bool) -> None:
    start = session.clock.now() - since if since is not None else None
    summary = summed_up(session.workspace.logs, since=start)
    if as_json:
        emit(document(summary))
        return
    rows = [_row(line) for line in summary.lines]
    if not rows:
        click.echo("logs/access.log holds nothing of that time.")
        return
    table(("WHO", "FROM", "ROUTE", "REQUESTS", "REFUSED", "FAILED", "LAST"), rows)
    if summary.unreadable:
        click.echo(f"{counted(summary.unreadable, 'line')} could not be read.", err=True)


def _row(line: Access) -> tuple[str, ...]:
    last = line.last.astimezone().strftime("%Y-%m-%d %H:%M:%S")
    return (
        line.who or "(no good token)",
        line.source,
        f"{line.method} {line.route or '(none)'}",
        f"{line.requests:,}",
        f"{line.refused:,}",
        f"{line.failed:,}",
        last,
    )
