"""`quantum budget`: error budgets: what is left, how fast it burns, what is in force, and a new beginning."""

from __future__ import annotations

import click

from cli.groups import Group
from cli.options import json_option
from cli.output.documents import document, documents
from cli.output.printing import emit, share, table, when
from cli.session import Session
from cli.verbs.breaker import scope_of
from clients.safety_budgets_values import BudgetView

_SHOWN = {60: "BURN 1h", 6 * 60: "6h", 24 * 60: "1d", 3 * 24 * 60: "3d"}
_IN_FORCE = {
    "normal": "-",
    "retries_halved": "retries halved",
    "one_at_a_time": "one at a time",
    "spent": "spent",
}


@click.group(cls=Group, invoke_without_command=True)
@click.option("--acting", is_flag=True, help="Only those for which something is in force.")
@json_option
@click.pass_context
def command(context: click.Context, acting: bool, as_json: bool) -> None:
    """Show error budgets: what is left of seven days, how fast it burns, what is in force.

    A scope is an agent's name, or agent:…, cloud:…, project:…, fleet.
    """
    if context.invoked_subcommand is None:
        _list(context.obj, acting, as_json)


@command.command()
@click.argument("scope")
@click.option("--reason", required=True, help="Why; kept with the budget and in the audit log.")
@json_option
@click.pass_obj
def reset(session: Session, scope: str, reason: str, as_json: bool) -> None:
    """Forget what SCOPE has counted; what was in force for it is not any more. There is no undoing it."""
    with session.connected() as connected:
        budget = connected.call(connected.safety.budgets.reset(scope_of(scope), reason=reason))
    if as_json:
        emit({"budget": document(budget), "undo": None})
    else:
        click.echo(f"The error budget of {budget.scope} begins anew.")


def _list(session: Session, acting: bool, as_json: bool) -> None:
    with session.connected() as connected:
        found = connected.call(connected.safety.budgets.list(not_normal=acting))
    if as_json:
        emit({"budgets": documents(found)})
        return
    if not found:
        click.echo("Nothing is in force." if acting else "Nothing has ended yet that a budget counts.")
        return
    headings = ("SCOPE", "OBJECTIVE", "LEFT", "FAILED", *_SHOWN.values(), "IN FORCE", "UNTIL", "WHY")
    table(headings, [_row(budget) for budget in found])


def _row(budget: BudgetView) -> tuple[str, ...]:
    burns = {window.minutes: window.burn for window in budget.windows}
    return (
        budget.scope,
        f"{budget.objective:.4g}",
        share(max(0.0, budget.left)),
        f"{budget.failures}/{budget.attempts}",
        *(_burn(burns.get(minutes)) for minutes in _SHOWN),
        _IN_FORCE.get(budget.grade, budget.grade),
        when(budget.thaws_at),
        budget.evidence or "-",
    )


def _burn(burn: float | None) -> str:
    return "-" if burn is None else f"{burn:.3g}×"
