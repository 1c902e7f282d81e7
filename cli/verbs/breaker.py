"""`quantum breaker`: circuit breakers: list, show, force, reset."""

from __future__ import annotations

from datetime import timedelta

import click

from cli.groups import Group
from cli.options import Duration, json_option
from cli.output.documents import document, documents
from cli.output.printing import emit, printable, table, when
from cli.session import Session
from clients.safety_values import BreakerView
from foundation.errors import NotFound, did_you_mean


@click.group(cls=Group)
def command() -> None:
    """Circuit breakers. A scope is an agent's name, or agent:…, cloud:…, project:…, fleet."""


@command.command("list")
@click.option("--open", "not_closed", is_flag=True, help="Leave out the closed ones.")
@json_option
@click.pass_obj
def list_breakers(session: Session, not_closed: bool, as_json: bool) -> None:
    """List the breakers that have counted anything."""
    with session.connected() as connected:
        found = connected.call(connected.safety.list_breakers(not_closed=not_closed))
    if as_json:
        emit({"breakers": documents(found)})
        return
    if not found:
        click.echo("No breaker is open." if not_closed else "No breaker has counted anything yet.")
        return
    rows = [
        (
            one.scope,
            one.state,
            str(one.consecutive_failures),
            f"{one.window_failures}/{one.window_attempts}",
            when(one.until),
            one.reason or "-",
        )
        for one in found
    ]
    table(("SCOPE", "STATE", "IN A ROW", "FAILED", "UNTIL", "REASON"), rows)


@command.command()
@click.argument("scope")
@json_option
@click.pass_obj
def show(session: Session, scope: str, as_json: bool) -> None:
    """Show the breaker of SCOPE with its history: what moved it, when, and who."""
    wanted = scope_of(scope)
    with session.connected() as connected:
        found = {one.scope: one for one in connected.call(connected.safety.list_breakers())}
    breaker = found.get(wanted)
    if breaker is None:
        near = did_you_mean(wanted, found)
        raise NotFound(
            "no_breaker",
            f"There is no breaker for {wanted}: nothing was counted there yet.",
            remedy=f"Did you mean {near}?" if near else "quantum breaker list",
        )
    if as_json:
        emit({"breaker": document(breaker)})
        return
    until = f" until {when(breaker.until)}" if breaker.until else ""
    click.echo(f"{breaker.scope} is {breaker.state.replace('_', ' ')}{until}. {printable(breaker.reason)}".rstrip())
    click.echo(
        f"  {breaker.consecutive_failures} failures in a row; {breaker.window_failures} of the last"
        f" {breaker.window_attempts} counted attempts failed"
    )
    if breaker.probe_task_id:
        click.echo(f"  its probe is task {breaker.probe_task_id}")
    rows = [
        (when(change.at), change.before, change.after, change.actor or "by itself", printable(change.reason) or "-")
        for change in breaker.history
    ]
    if rows:
        table(("AT", "FROM", "TO", "WHO", "WHY"), rows)


@command.command("force-open")
@click.argument("scope")
@click.option("--reason", default="forced by hand", show_default=True, help="Why; kept in its history.")
@json_option
@click.pass_obj
def force_open(session: Session, scope: str, reason: str, as_json: bool) -> None:
    """Hold SCOPE until it is reset, also over restarts."""
    with session.connected() as connected:
        breaker = connected.call(connected.safety.force_open(scope_of(scope), reason=reason))
    _say(breaker, as_json)


@command.command("force-close")
@click.argument("scope")
@click.option("--for", "lasting", type=Duration(), required=True, help="How long, at most 7d; then it counts again.")
@click.option("--reason", default="forced by hand", show_default=True, help="Why; kept in its history.")
@json_option
@click.pass_obj
def force_close(session: Session, scope: str, lasting: timedelta, reason: str, as_json: bool) -> None:
    """Let SCOPE through for a time, whatever it counts."""
    with session.connected() as connected:
        breaker = connected.call(connected.safety.force_closed(scope_of(scope), lasting=lasting, reason=reason))
    _say(breaker, as_json)


@command.command()
@click.argument("scope")
@click.option("--reason", default="", help="Why; kept in its history.")
@json_option
@click.pass_obj
def reset(session: Session, scope: str, reason: str, as_json: bool) -> None:
    """Close the breaker of SCOPE and forget what it had counted."""
    with session.connected() as connected:
        breaker = connected.call(connected.safety.reset_breaker(scope_of(scope), reason=reason))
    _say(breaker, as_json, undo=False)


def scope_of(text: str) -> str:
    """A scope as typed; a bare name means an agent."""
    return text if ":" in text or text == "fleet" else f"agent:{text}"


def _say(breaker: BreakerView, as_json: bool, *, undo: bool = True) -> None:
    line = f"quantum breaker reset {breaker.scope}" if undo else None
    if as_json:
        emit({"breaker": document(breaker), "undo": line})
        return
    until = f" until {when(breaker.until)}" if breaker.until else ""
    click.echo(f"{breaker.scope} is {breaker.state.replace('_', ' ')}{until}.")
    if line:
        click.echo(f"  undo: {line}")
