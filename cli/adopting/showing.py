"""A survey as people and programs read it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import click

from cli.adopting.block import block_of
from cli.adopting.defects import Defect
from cli.adopting.proposing import Proposal
from cli.adopting.survey import Survey
from cli.output.printing import counted, printable

LINES_SHOWN_MAX = 6


def survey_document(survey: Survey) -> dict[str, object]:
    """As one JSON document."""
    return {
        "folder": str(survey.folder),
        "scripts": [_document(one) for one in survey.proposals],
        "counts": {
            "scripts": len(survey.proposals),
            "agents": len(survey.adopted),
            "defects": dict(Counter(defect.code for one in survey.proposals for defect in one.defects)),
        },
        "unknown": list(survey.unknown),
    }


def _document(one: Proposal) -> dict[str, object]:
    seen = one.observation
    return {
        "script": one.shown,
        "name": one.name or None,
        "kind": (str(one.values.get("kind", "task")) if one.name else seen.kind or None),
        "why": seen.why or None,
        "place": one.place or None,
        "manifest": dict(one.values) if one.name else None,
        "remarks": list(one.remarks),
        "defects": [
            {"code": defect.code, "lines": list(defect.lines), "sentence": defect.sentence} for defect in one.defects
        ],
        "restarters": [
            {
                "kind": other.kind,
                "where": other.where,
                "switch_off": other.switch_off,
                "schedule": other.schedule or None,
            }
            for other in one.restarters
        ],
        "sentence": one.sentence,
        "left_alone": one.why_not or None,
        "unknown": list(seen.unknown),
    }


def say_survey(survey: Survey, *, blocks: bool) -> None:
    """Script by script, then what it comes to."""
    for one in survey.proposals:
        _say(one, blocks=blocks)
    defects = sum(len(one.defects) for one in survey.proposals)
    services = sum(1 for one in survey.adopted if one.values.get("kind") == "service")
    folder = printable(str(survey.folder))
    click.echo(
        f"{counted(len(survey.proposals), 'script')} in {folder}: {len(survey.adopted)} would be agents "
        f"({services} of them services), {len(survey.proposals) - len(survey.adopted)} are left alone; "
        f"{counted(defects, 'defect')} in all."
    )
    kinds = Counter(defect.code for one in survey.proposals for defect in one.defects)
    if kinds:
        click.echo("  " + ", ".join(f"{code} {number}" for code, number in kinds.most_common()))
    for said in survey.unknown:
        click.echo(f"  ? {printable(said)}")


def _say(one: Proposal, *, blocks: bool) -> None:
    kind = str(one.values.get("kind", "task")) if one.name else "-"
    click.echo(f"{printable(one.shown)}  →  {one.name or '-'}  ({kind})")
    click.echo(f"  {printable(one.sentence)}")
    for defect in one.defects:
        click.echo(f"  ✗ {defect.code}{_places(defect)}: {printable(defect.sentence)}")
    for other in one.restarters:
        click.echo(f"  ↻ {other.kind}: {printable(other.where)}")
        click.echo(f"    to switch that off: {printable(other.switch_off)}")
    if blocks and one.name:
        for line in block_of(one.values, one.remarks).splitlines():
            click.echo(f"    {printable(line)}")
    click.echo()


def _places(defect: Defect) -> str:
    if not defect.lines:
        return ""
    shown = ", ".join(str(line) for line in defect.lines[:LINES_SHOWN_MAX])
    more = f" and {len(defect.lines) - LINES_SHOWN_MAX} more" if len(defect.lines) > LINES_SHOWN_MAX else ""
    return f" ({'line' if len(defect.lines) == 1 else 'lines'} {shown}{more})"


def left_lines(counts: Sequence[tuple[str, int]], examples: dict[str, list[str]]) -> list[str]:
    """What an import left out, the most frequent reason first."""
    return [printable(f"{number} × {reason}, such as {', '.join(examples[reason])}") for reason, number in counts]
