"""`quantum doctor`: looks at this installation and says what to do."""

from __future__ import annotations

import click

from cli.checks import Mark, findings
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
    """Check Python, SQLite, files, keychain, disk, sockets, services and manifests. Exit code 1 with a ✗."""
    found = list(findings(session))
    wrong = sum(one.mark is Mark.BAD for one in found)
    if as_json:
        emit({"ok": not wrong, "findings": documents(found)})
        return EXIT_BAD if wrong else 0
    for one in found:
        click.echo(f"{_SIGNS[one.mark]} {one.what:10} {one.found}")
        if one.remedy:
            click.echo(f"  {'':10} → {one.remedy}")
    click.echo(f"\n{counted(wrong, 'thing')} to be put right." if wrong else "\nNothing to be put right.")
    return EXIT_BAD if wrong else 0
