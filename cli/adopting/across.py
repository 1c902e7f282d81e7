"""What only shows when the scripts of a folder are seen together: names, copies, helpers."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePath

from cli.adopting.defects import Finding
from cli.adopting.observing import Observation
from cli.adopting.reading import SUFFIXES
from cli.adopting.shell_shape import Sourced

COPIES_MIN = 3
"""From so many scripts on, a function that is the same in all of them is a copied helper."""
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_PREFIX = "agent_"


def stem_of(observation: Observation) -> str:
    """The name of a script without the ending that says its language."""
    name = observation.file.name
    suffix = PurePath(name).suffix
    return name.removesuffix(suffix) if suffix in SUFFIXES else name


def legal(name: str) -> bool:
    """Whether an agent may be called so."""
    return _NAME.fullmatch(name) is not None


def legal_name(name: str) -> str:
    """The nearest name that an agent may have; empty where nothing is left of it."""
    text = re.sub(r"(?<=[a-z0-9])(?=[A-Z][a-z])", "-", name)
    text = re.sub(r"[^a-z0-9_-]+", "-", text.lower()).strip("-_")
    return text[:64].rstrip("-_")


def names(
    observed: Sequence[Observation], builtin: Sequence[str], own: Sequence[str] = ()
) -> tuple[list[Finding], ...]:
    """What is wrong with the names, for each. `own` are agents of the workspace that are none of these scripts."""
    stems = [stem_of(one) for one in observed]
    by_name: dict[str, list[int]] = defaultdict(list)
    for at, (one, stem) in enumerate(zip(observed, stems, strict=True)):
        if counts(one):
            by_name[legal_name(stem)].append(at)
    return tuple(list(_of_name(at, one, stems[at], by_name, observed, builtin, own)) for at, one in enumerate(observed))


def counts(one: Observation) -> bool:
    """Whether a script can become an agent as far as itself is concerned."""
    broken = {"backup-copy", "not-text", "unreadable", "link-broken", "link-outside", "empty"}
    return one.kind != "helper" and not any(finding.code in broken for finding in one.findings)


def _of_name(
    at: int,
    one: Observation,
    stem: str,
    by_name: dict[str, list[int]],
    observed: Sequence[Observation],
    builtin: Sequence[str],
    own: Sequence[str],
) -> Iterator[Finding]:
    if not counts(one):
        return
    name = legal_name(stem)
    if not legal(stem):
        yield Finding("name-illegal", 0, f"“{stem[:40]}”" + (f", say {name}" if name else ""))
    others = [other for other in by_name[name] if other != at]
    if others:
        yield Finding("name-clash", 0, observed[others[0]].file.shown)
    elif name in own:
        yield Finding("name-clash", 0, f"the agent {name} that is there already")
    short = name.removeprefix(_PREFIX)
    if short != name and by_name.get(short):
        yield Finding("alias-clash", 0, f"{short} is {observed[by_name[short][0]].file.shown}")
    hidden = next((each for each in (name, short) if each in builtin), "")
    if hidden and not (short != name and by_name.get(short) and hidden == short):
        yield Finding("hides-builtin", 0, hidden)


def copies(observed: Sequence[Observation]) -> tuple[list[Finding], ...]:
    """Whole files and functions that are there several times."""
    found: tuple[list[Finding], ...] = tuple([] for _ in observed)
    files: dict[str, list[int]] = defaultdict(list)
    functions: dict[tuple[str, str], dict[int, int]] = defaultdict(dict)
    for at, one in enumerate(observed):
        if one.file.sha256 and one.file.size and not one.file.is_backup:
            files[one.file.sha256].append(at)
        for name, body, line in one.functions:
            functions[name, body].setdefault(at, line)
    twins = set()
    for places in files.values():
        if len(places) > 1:
            twins |= set(places[1:])
            for at in places:
                other = observed[next(each for each in places if each != at)]
                found[at].append(Finding("identical-copy", 0, other.file.shown))
    for (name, _), lines in functions.items():
        # Files that are the same as a whole are said to be so once, and not again for each function.
        if len([at for at in lines if at not in twins]) >= COPIES_MIN:
            for at, line in lines.items():
                found[at].append(Finding("copied-function", line, f"{name} (in {len(lines)} scripts)"))
    return found


def helpers(observed: Sequence[Observation], runs_in: Path) -> tuple[list[Finding], ...]:
    """Helpers that a script reads and that are not there. `runs_in`: where it runs here."""
    return tuple(list(_missing_helpers(one, runs_in)) for one in observed)


def _missing_helpers(one: Observation, runs_in: Path) -> Iterator[Finding]:
    for source in one.sources:
        if source.relative:
            yield from _relative_helper(one, source, runs_in)
            continue
        path = resolve(one, source.word)
        if path is not None and not source.guarded and not os.path.exists(path):
            yield Finding("source-missing", source.line, path.name)


def _relative_helper(one: Observation, source: Sourced, runs_in: Path) -> Iterator[Finding]:
    """`. ./lib.sh`: from the folder into which the script has changed, where it has, and else from where it runs."""
    if source.guarded or source.folder is None:
        return
    base = runs_in if not source.folder else resolve(one, source.folder)
    if base is None or os.path.exists(base / source.word):
        return
    beside = not source.folder and os.path.exists(one.file.path.parent / source.word)
    yield Finding("source-relative" if beside else "source-missing", source.line, source.word)


def resolve(one: Observation, word: str, depth: int = 0) -> Path | None:
    """The file that a word names, where it can be told: whole, or in the script's own folder; None where it cannot."""
    folder = one.file.path.parent
    if depth > 4:
        return None
    own = re.match(
        r"(?:\$\((?:cd\s+)?[^$]*\$\(dirname[^)]*\)[^)]*\)|\$\(dirname\s+[^)]*\)|\$\{BASH_SOURCE(?:\[0\])?%/\*\}|\$\{0%/\*\})(?P<rest>.*)$",
        word,
    )
    if own:
        return _below(folder, own["rest"])
    variable = re.match(r"\$\{?(\w+)\}?(?P<rest>/.*)$", word)
    if variable:
        values = one.values.get(variable[1], [])
        values = list(dict.fromkeys(value.replace('"', "").replace("'", "") for value in values))
        base = resolve(one, values[0], depth + 1) if len(values) == 1 else None
        return None if base is None else _below(base, variable["rest"])
    if word.startswith("/") and not set("$`*") & set(word):
        return Path(word)
    return None


def _below(folder: Path, rest: str) -> Path | None:
    rest = re.sub(r"\s*&&\s*pwd.*$", "", rest).strip(")")
    if "$" in rest or "`" in rest or "*" in rest:
        return None
    return (folder / rest.strip("/")) if rest.strip("/") else folder
