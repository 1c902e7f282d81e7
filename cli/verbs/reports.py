"""`quantum reports`: what agents have reported, the latest per project and type."""

from __future__ import annotations

import json

import click

from cli.options import json_option
from cli.output.documents import documents
from cli.output.printing import emit, lately, table, when
from cli.session import Session


@click.command()
@click.argument("report_type", metavar="[TYPE]", required=False, default="")
@click.option("--project", default="", help="Those about this project.")
@json_option
@click.pass_obj
def command(session: Session, report_type: str, project: str, as_json: bool) -> None:
    """List the reports; with TYPE, show those in full."""
    with session.connected() as connected:
        found = connected.call(connected.coordinator.list_reports(type=report_type, project=project))
    if as_json:
        emit({"reports": documents(found)})
        return
    if not found:
        of_type = f" of type {report_type}" if report_type else ""
        click.echo(f"There is no report{of_type} yet.")
        return
    if not report_type:
        now = session.clock.now()
        rows = [
            (
                report.type,
                report.project or "(workspace)",
                lately(report.published_at, now),
                report.agent,
                report.summary,
            )
            for report in found
        ]
        table(("TYPE", "PROJECT", "PUBLISHED", "AGENT", "SUMMARY"), rows)
        return
    for report in found:
        click.echo(
            f"{report.project or '(workspace)'}, {when(report.published_at)}, by {report.agent}: {report.summary}"
        )
        click.echo(json.dumps(report.data, ensure_ascii=False, indent=2))
