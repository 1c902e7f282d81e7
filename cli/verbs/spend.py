"""`quantum spend`: what is spent, promised and left; prices; caps; putting a charge right."""

from __future__ import annotations

from typing import Any

import click

from cli.groups import Group
from cli.options import json_option, reason_option
from cli.output.documents import document, documents
from cli.output.printing import emit, table, when
from cli.session import Session
from clients.safety_spend_values import AccountView, CapView, SpendView
from foundation.errors import Invalid
from foundation.money import format_dollars, parse_dollars

NO_CAP = "none"


@click.group(cls=Group, invoke_without_command=True)
@json_option
@click.pass_context
def command(context: click.Context, as_json: bool) -> None:
    """Show what is spent, promised and left, and who is paused at a cap.

    Caps come from config/spend.toml, prices from config/prices.toml; a cap that was set goes before both.
    """
    if context.invoked_subcommand is None:
        _show(context.obj, as_json)


@command.command()
@click.argument("scope")
@click.argument("dollars", required=False)
@click.option(
    "--per", type=click.Choice(("total", "day", "month")), default="total", show_default=True, help="Days are UTC."
)
@click.option("--clear", is_flag=True, help="Forget what was set; config/spend.toml holds again.")
@reason_option
@json_option
@click.pass_obj
def cap(session: Session, scope: str, dollars: str | None, per: str, clear: bool, reason: str, as_json: bool) -> None:
    """Set the cap of SCOPE to DOLLARS ("none": no cap) until it is set again or cleared. What is paused goes on.

    SCOPE is fleet, agent:NAME, cloud:PROVIDER or attempt:TASK (with its retries and children); agent, cloud and
    attempt alone mean every one.
    """
    if clear == (dollars is not None):
        raise click.UsageError("Name either an amount in dollars (or none), or --clear.")
    micros = None if dollars is None or dollars == NO_CAP else parse_dollars(dollars)
    with session.connected() as connected:
        spend = connected.safety.spend
        before = None if clear else _set_before(connected.call(spend.get()), scope, per)
        change = (
            spend.clear_cap(scope, per, reason=reason) if clear else spend.set_cap(scope, per, micros, reason=reason)
        )
        now = connected.call(change)
    undo = None if clear else f"quantum spend cap {scope} {before or '--clear'} --per {per}"
    if as_json:
        emit({"cap": None if now is None else document(now), "undo": undo})
        return
    click.echo(f"{scope}, {_per(per)}: {_cap(now)}.")
    if undo:
        click.echo(f"  undo: {undo}")


@command.command()
@json_option
@click.pass_obj
def prices(session: Session, as_json: bool) -> None:
    """List the prices of config/prices.toml: dollars per million tokens, and per call."""
    with session.connected() as connected:
        found = connected.call(connected.safety.spend.prices())
    if as_json:
        emit({"prices": [_dated(price) for price in found.prices], "fault": found.fault or None})
        return
    if found.fault:
        click.echo(f"quantum: {found.fault}", err=True)
    if not found.prices:
        click.echo("No price is known: config/prices.toml names none, and a call of unknown cost is refused.")
        return
    headings = ("PROVIDER", "MODEL", "FROM", "UNTIL", "INPUT", "OUTPUT", "CALL")
    table(
        headings,
        [
            (
                price.provider,
                price.model,
                price.valid_from.isoformat(),
                price.valid_until.isoformat() if price.valid_until else "-",
                *map(format_dollars, (price.input_micros, price.output_micros, price.call_micros)),
            )
            for price in found.prices
        ],
    )


@command.command()
@click.argument("attempt", metavar="TASK:FENCE")
@click.argument("key")
@click.argument("dollars")
@reason_option
@json_option
@click.pass_obj
def settle(session: Session, attempt: str, key: str, dollars: str, reason: str, as_json: bool) -> None:
    """Say what the call KEY of an attempt that has ended really cost, also one that was charged in full."""
    task, _, fence = attempt.rpartition(":")
    if not task or not fence.isdigit():
        raise Invalid("bad_attempt", f"“{attempt}” names no attempt.", remedy="Write it as `quantum spend` does.")
    with session.connected() as connected:
        done = connected.call(
            connected.safety.spend.correct(task, int(fence), key, parse_dollars(dollars), reason=reason)
        )
    if as_json:
        emit({"reservation": document(done)})
        return
    click.echo(f"Call {key} of task {task} has cost {format_dollars(done.actual_micros or 0)}.")


def _show(session: Session, as_json: bool) -> None:
    with session.connected() as connected:
        view = connected.call(connected.safety.spend.get())
    if as_json:
        accounts = [{**document(one), "remaining_micros": one.remaining_micros} for one in view.accounts]
        emit({**document(view), "accounts": accounts, "open": documents(view.open)})
        return
    if view.stopped_by:
        click.echo(f"Nothing new is spent: {view.stopped_by.removeprefix('nothing new is spent: ')}")
    table(("SCOPE", "OVER", "SPENT", "RESERVED", "CAP", "LEFT"), [_row(account) for account in view.accounts])
    _show_open(view)
    for paused in view.paused:
        click.echo(f"Task {paused.task_id} ({paused.agent}) is paused: {paused.reason}.")


def _set_before(view: SpendView, scope: str, per: str) -> str | None:
    """The amount that a person had set for exactly this, as it is typed; None: there was none, or nothing is spent."""
    for account in view.accounts:
        cap = account.cap
        if cap is not None and (cap.scope, cap.per, cap.origin) == (scope, per, "set"):
            return NO_CAP if cap.micros is None else format_dollars(cap.micros).removeprefix("$").replace(",", "")
    return None


def _show_open(view: SpendView) -> None:
    if not view.open:
        return
    click.echo("")
    headings = ("TASK:FENCE", "KEY", "AGENT", "MODEL", "STAGE", "DOLLARS", "SINCE")
    table(
        headings,
        [
            (
                f"{one.task_id}:{one.fence}",
                one.key,
                one.agent,
                f"{one.provider} {one.model}",
                one.stage,
                format_dollars(one.reserved_micros),
                when(one.made_at),
            )
            for one in view.open
        ],
    )


def _row(account: AccountView) -> tuple[str, ...]:
    cap, left = account.cap, account.remaining_micros
    return (
        account.scope,
        account.window or "all time",
        format_dollars(account.spent_micros),
        format_dollars(account.reserved_micros),
        "-" if cap is None or cap.micros is None else f"{format_dollars(cap.micros)} ({cap.origin})",
        "-" if left is None else format_dollars(left),
    )


def _per(per: str) -> str:
    return "in all" if per == "total" else f"per {per}"


def _cap(cap: CapView | None) -> str:
    return "no cap" if cap is None or cap.micros is None else f"a cap of {format_dollars(cap.micros)} ({cap.origin})"


def _dated(price: Any) -> dict[str, Any]:
    until = price.valid_until
    return {
        **document(price),
        "valid_from": price.valid_from.isoformat(),
        "valid_until": until.isoformat() if until else None,
    }
