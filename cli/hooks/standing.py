"""How one repository stands: guarded, without a guard, or with one that git does not come to."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from cli.hooks.places import Place, config, hooks_folder, hooks_path, is_own
from cli.hooks.putting_in import identifier
from cli.hooks.scripts import BEFORE, EVENTS, GUARD, before_of, forwarded, is_ours, is_there, text_of
from cli.hooks.targets import Target
from foundation.repositories import read_repositories
from foundation.workspace import Workspace


class State(StrEnum):
    """How it stands."""

    GUARDED = "guarded"
    ABSENT = "absent"
    BYPASSED = "bypassed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """One repository. `reason` says what is wrong, `how` where the hooks are and what else they run."""

    folder: Path
    project: str
    state: State
    id: str = ""
    hooks: Path | None = None
    reason: str = ""
    remedy: str = ""
    how: str = ""


def standing(target: Target, workspace: Workspace) -> Standing:
    """How a repository stands; nothing is changed."""
    place, folder = target.place, target.folder
    if place is None:
        return Standing(
            folder=folder, project=target.project, state=State.ABSENT, reason=target.fault, remedy=target.remedy
        )
    remedy = f"quantum hooks install {shlex.quote(str(folder))}"
    hooks = hooks_folder(place)
    known = any(
        one.common_dir == place.common_dir for one in read_repositories(workspace.repositories_file).by_id.values()
    )
    traces = [place.own_hooks / name for name in EVENTS] + [place.beside / name for name in EVENTS]
    if not known and not identifier(place) and not any(map(is_ours, traces)):
        return Standing(
            folder=folder, project=target.project, state=State.ABSENT, reason="It has no guard.", remedy=remedy
        )
    faults = list(_faults(place, hooks, workspace))
    return Standing(
        folder=folder,
        project=target.project,
        state=State.BYPASSED if faults else State.GUARDED,
        id=identifier(place),
        hooks=hooks,
        reason=" ".join(faults),
        remedy=remedy if faults else "",
        how=_how(place, hooks),
    )


def _faults(place: Place, hooks: Path, workspace: Workspace) -> Iterator[str]:
    """What keeps git from coming to the guard, or the guard from being listened to."""
    path = hooks_path(place)
    beside = hooks.resolve() == place.beside.resolve()
    if not is_own(place, hooks):
        said = f"core.hooksPath names {path.value}" if path else f"{hooks} leads elsewhere"
        yield f"{said}, where the guard is not."
        return
    yield from _faults_of_scripts(hooks)
    if beside:
        yield from _faults_of_forwarding(place)
    found = identifier(place)
    entry = read_repositories(workspace.repositories_file).by_id.get(found)
    if not found:
        yield "The repository has no identifier (git config quantum.repository)."
    elif entry is None:
        yield f"This workspace does not know its identifier {found}."
    elif entry.common_dir != place.common_dir:
        yield f"Its identifier is that of {entry.folder}."
    other = config(place, "quantum.workspace", local=True)
    if found and other != str(workspace.root):
        yield f"Its hooks speak to another workspace, {other or 'which is not named'}."


def _faults_of_scripts(hooks: Path) -> Iterator[str]:
    for name in EVENTS:
        hook = hooks / name
        if not is_there(hook):
            yield f"The hook {name} is not there."
        elif not is_ours(hook):
            yield f"The hook {name} was replaced by another."
        elif not os.access(hook, os.X_OK):
            yield f"The hook {name} is not executable, so that git passes it over."
        elif hook.read_bytes() != text_of(name):
            yield f"The hook {name} is of another version."
    guard = hooks / GUARD
    if not guard.is_file():
        yield f"{GUARD} is not there."
    elif guard.read_bytes() != text_of(GUARD):
        yield f"{GUARD} is of another version."


def _faults_of_forwarding(place: Place) -> Iterator[str]:
    try:
        before = os.fsdecode((place.beside / BEFORE).read_bytes()).removesuffix("\n")
    except FileNotFoundError:
        yield "It is not known any more where the repository's other hooks are."
        return
    missing = [name for name in forwarded(place.top / before) if not os.access(place.beside / name, os.X_OK)]
    if missing:
        yield f"Hooks of {before} are not run: {', '.join(missing)}."


def _how(place: Place, hooks: Path) -> str:
    if hooks.resolve() == place.beside.resolve() and (place.beside / BEFORE).is_file():
        before = os.fsdecode((place.beside / BEFORE).read_bytes()).removesuffix("\n")
        return f"stands beside {before}, which is not written to, and runs the hooks there too"
    chained = [name for name in EVENTS if is_there(before_of(hooks / name))]
    return f"runs first what was there before: {', '.join(chained)}" if chained else ""
