"""`quantum doctor`: how every part of this installation is, and the line that mends it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import click

from cli.doctor.examining import WITHIN, examine
from cli.doctor.findings import Finding, Mark
from cli.options import Duration, json_option
from cli.output.documents import documents
from cli.output.printing import counted, emit, printable
from cli.session import Session

EXIT_FAIL = 1
_COLOURS = {Mark.OK: "green", Mark.WARN: "yellow", Mark.FAIL: "red", Mark.UNSEEN: None}


@click.command()
@click.option(
    "--bundle",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write what a bug report needs into this archive (.tar.gz), without a secret in it; it must not exist.",
)
@click.option(
    "--within", type=Duration(), default=WITHIN, show_default="8s", help="How long any part may take to be looked at."
)
@json_option
@click.pass_obj
def command(session: Session, bundle: Path | None, within: timedelta, as_json: bool) -> int:
    """Say of every part whether it is OK, with the line that mends it if not. Changes nothing.

    Exit code 0 when nothing fails (a WARN is no failure), else 1.
    """
    found = examine(session, within=within)
    failed = sum(one.mark is Mark.FAIL for one in found)
    warned = sum(one.mark is Mark.WARN for one in found)
    code = EXIT_FAIL if failed else 0
    packed = None
    if bundle is not None:
        from cli.doctor.bundle import write_bundle

        packed = write_bundle(session, found, session.cwd / bundle)
    if as_json:
        document = {"ok": not failed, "failed": failed, "warned": warned, "findings": documents(found)}
        emit({**document, **({"bundle": packed} if packed else {})})
        return code
    for one in found:
        if one.mark is not Mark.UNSEEN:
            _say(one)
    _say_unseen(found)
    click.echo(f"\n{counted(len(found), 'line')}: {failed} FAIL, {warned} WARN.")
    if packed:
        click.echo(f"\n{packed['path']} (for you alone; look before you send it) holds:")
        for name, size in packed["files"].items():
            click.echo(f"  {size:>9,} bytes  {name}")
    return code


def _say_unseen(found: Sequence[Finding]) -> None:
    """One line for each part that others wait for."""
    for awaited in dict.fromkeys(one.waits_for for one in found if one.waits_for):
        parts = ", ".join(one.part for one in found if one.waits_for == awaited)
        click.echo(f"{Mark.UNSEEN.value:4}  {'not looked at':20} before “{awaited}” is mended: {parts}")


def _say(one: Finding) -> None:
    mark = click.style(f"{one.mark.value:4}", fg=_COLOURS[one.mark])
    click.echo(f"{mark}  {one.part:20} {printable(one.found)}")
    if one.cure:
        click.echo(f"      {'':20} → {printable(one.cure)}")
