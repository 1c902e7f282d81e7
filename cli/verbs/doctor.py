"""`quantum doctor`: looks at this installation and its protections, and says what to do."""

from __future__ import annotations

import click

from cli.doctor.findings import Finding, Mark, Protection
from cli.doctor.installation import findings
from cli.doctor.protections import protections
from cli.doctor.standing import standing
from cli.documents import documents
from cli.options import json_option
from cli.printing import counted, emit
from cli.session import Session

_SIGNS = {Mark.GOOD: "✓", Mark.NOTE: "!", Mark.BAD: "✗"}
EXIT_BAD = 1


@click.command()
@json_option
@click.pass_obj
def command(session: Session, as_json: bool) -> int:
    """Check the installation, and show each protection as on or off with the line that turns it on.

    Exit code 1 when something is to be put right.
    """
    found = list(findings(session))
    protected = [*protections(session), *standing(session)]
    wrong = sum(one.mark is Mark.BAD for one in found) + sum(one.wrong for one in protected)
    if as_json:
        emit({"ok": not wrong, "findings": documents(found), "protections": documents(protected)})
        return EXIT_BAD if wrong else 0
    for one in found:
        _say_finding(one)
    click.echo("\nProtections")
    for protection in protected:
        _say_protection(protection)
    click.echo(f"\n{counted(wrong, 'thing')} to be put right." if wrong else "\nNothing to be put right.")
    return EXIT_BAD if wrong else 0


def _say_finding(one: Finding) -> None:
    click.echo(f"{_SIGNS[one.mark]} {one.what:10} {one.found}")
    if one.remedy:
        click.echo(f"  {'':10} → {one.remedy}")


def _say_protection(one: Protection) -> None:
    sign = _SIGNS[Mark.GOOD if one.on else Mark.BAD if one.wrong else Mark.NOTE]
    click.echo(f"{sign} {'on' if one.on else 'off':4}{one.what:20} {one.found}")
    if one.remedy:
        click.echo(f"  {'':24} → {one.remedy}")
