"""Makes a proposal of what was seen in a script: its name, its manifest, and one honest sentence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from cli.adopting.across import counts, legal, legal_name, stem_of
from cli.adopting.block import with_block
from cli.adopting.defects import Defect, Finding, gathered
from cli.adopting.observing import Observation
from cli.adopting.reading import READ_BYTES_MAX
from cli.adopting.restarters import Restarter
from foundation.quantities import format_duration

_COMMENTED = frozenset({"shell", "python", "ruby", "perl"})
"""Languages in which a line that begins with `#` is a comment."""
_SCHEDULE_FROM = 60
"""Seconds from which on a pause in a loop is a schedule that somebody wrote by hand."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """What adopt would do with one script. `name` is empty and `why_not` says why where that is nothing."""

    observation: Observation
    name: str = ""
    place: str = ""
    """`block`: in the script itself; `file`: an agent.toml in the workspace that names it."""
    values: Mapping[str, object]
    remarks: tuple[str, ...] = ()
    defects: tuple[Defect, ...] = ()
    restarters: tuple[Restarter, ...] = ()
    sentence: str = ""
    why_not: str = ""

    @property
    def shown(self) -> str:
        """The script below the folder that was named."""
        return self.observation.file.shown


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """The workspace as far as proposals depend on it."""

    agents: Path
    own: Mapping[str, str]
    """The agents that are there and declared, by name, with their scripts."""


def propose(
    observed: Sequence[Observation],
    findings: Sequence[Sequence[Finding]],
    restarters: Sequence[Sequence[Restarter]],
    known: Known,
) -> list[Proposal]:
    """One proposal for each observation, in their order; names are given out once."""
    taken = set(known.own)
    proposals = []
    for one, found, others in zip(observed, findings, restarters, strict=True):
        defects = gathered((*one.findings, *found))
        why_not = _why_not(one, defects, known)
        name = "" if why_not else _name(one, taken)
        if not why_not and not name:
            why_not = "every name that it could have is taken"
        place = _place(one, name, known) if name else ""
        if place == "file":
            why_not = _why_no_file(one.file.path, known.agents / name)
            name, place = ("", "") if why_not else (name, place)
        taken |= {name} if name else set()
        values = _values(one, place) if name else {}
        remarks = tuple(_remarks(others)) if name else ()
        sentence = _sentence(one, defects, others, why_not)
        proposals.append(
            Proposal(
                observation=one,
                name=name,
                place=place,
                values=values,
                remarks=remarks,
                defects=defects,
                restarters=tuple(others),
                sentence=sentence,
                why_not=why_not,
            )
        )
    return proposals


_LEFT_ALONE = {
    "unreadable": "it cannot be read",
    "link-broken": "it leads nowhere",
    "link-outside": "what it leads to lies elsewhere; adopt that folder",
    "not-text": "it is no text",
    "empty": "there is nothing in it to run",
    "backup-copy": "it looks like a copy that somebody kept",
    "syntax-error": "it does not parse, so that it would fail each time",
}


def _why_not(one: Observation, defects: Sequence[Defect], known: Known) -> str:
    codes = {defect.code for defect in defects}
    for code, why in _LEFT_ALONE.items():
        if code in codes:
            return why
    if str(one.file.path) in known.own.values() or one.declared:
        return "it is declared already"
    if one.kind == "helper" or not counts(one):
        return one.why
    return ""


def _why_no_file(script: Path, folder: Path) -> str:
    if folder.exists():
        return f"{folder} is there already"
    try:
        str(script).encode()
    except UnicodeEncodeError:
        return "its path is not UTF-8, and no agent.toml could name it"
    return ""


def _name(one: Observation, taken: set[str]) -> str:
    stem = legal_name(stem_of(one))
    folder = legal_name(one.file.path.parent.name)
    suffix = one.file.path.suffix.removeprefix(".")
    for name in (stem, f"{folder}-{stem}"[:64], f"{stem}-{suffix}"[:64], f"{folder}-{stem}-{suffix}"[:64]):
        if legal(name) and name not in taken:
            return name
    return ""


def _place(one: Observation, name: str, known: Known) -> str:
    file = one.file
    codes = {finding.code for finding in one.findings}
    inside = (
        file.path.parent == known.agents
        and name == stem_of(one)
        and not file.name.startswith((".", "_"))
        and one.language in _COMMENTED
        and file.links == 1
        and file.size <= READ_BYTES_MAX
        and "reads-own-lines" not in codes
    )
    return "block" if inside and with_block(file.data, {}) is not None else "file"


def _values(one: Observation, place: str) -> dict[str, object]:
    values: dict[str, object] = {}
    if place == "file":
        values["script"] = str(one.file.path)
    if one.description:
        values["description"] = "".join(letter for letter in one.description if letter.isprintable())
    if one.kind == "service":
        values["kind"] = "service"
    if one.effects:
        values["effects"] = one.effects
    if one.timeout_seconds:
        # A minute beside what it grants its longest part.
        values["timeout"] = format_duration(timedelta(seconds=min(one.timeout_seconds + 60, 86_400)))
    if one.uses:
        values["uses"] = list(one.uses)
    if one.env:
        values["env"] = list(one.env)
    if one.params_as_arguments:
        values["params_as_arguments"] = True
    if one.darwin:
        values["labels"] = {"os": "darwin"}
    return values


def _remarks(restarters: Sequence[Restarter]) -> list[str]:
    return [
        f'schedule = "{one.schedule}"  # once {one.kind} starts it no more: {one.where}'
        for one in restarters
        if one.schedule
    ][:1]


def _sentence(one: Observation, defects: Sequence[Defect], restarters: Sequence[Restarter], why_not: str) -> str:
    """What it is, why, and how much is wrong: one sentence."""
    parts = []
    if why_not:
        parts.append(f"Left alone: {why_not}")
    elif one.kind == "service":
        parts.append(f"A service, because {one.why}")
        if one.every_seconds >= _SCHEDULE_FROM:
            every = format_duration(timedelta(seconds=one.every_seconds))
            parts.append(f"it pauses up to {every}: without its loop it would be a task with a schedule")
    elif one.kind == "task":
        again = {
            "none": "it only looks at things, so it may run again",
            "idempotent": "what it does may be done again",
            "": "what it changes cannot be told, so it is never run again by itself",
        }[one.effects]
        parts += [f"A task, because {one.why} as far as can be seen", again]
    else:
        parts.append("A task, unless somebody who knows it says otherwise")
    if not why_not:  # what is left alone has said why
        parts += [said.rstrip(".") for said in one.unknown]
    if defects:
        parts.append("1 thing is wrong with it" if len(defects) == 1 else f"{len(defects)} things are wrong with it")
    if restarters:
        parts.append(f"{restarters[0].kind} starts it too")
    return "; ".join(parts) + "."
