"""Which repositories are meant: the workspace's, every project's, and the submodules in them."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from cli.hooks.places import Place, ask_git, find_place, submodules
from cli.session import Session
from foundation.errors import NotFound, QuantumError, did_you_mean
from foundation.projects import read_projects
from foundation.repositories import GuardedRepository, read_repositories


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One repository. `place` is None when there is none, and `fault` says why."""

    folder: Path
    project: str
    place: Place | None = None
    fault: str = ""
    remedy: str = ""


def targets(session: Session, named: str | None) -> list[Target]:
    """The repositories meant by a name of a project or a folder, else all; each once, by git's own folder.

    All: the workspace's, every project's, and whatever else has been given a guard. Raises NotFound for a name that is
    neither, Conflict for a folder without a work tree.
    """
    found = list(_all(session) if named is None else _named(session, named))
    seen: dict[Path, Target] = {}
    for one in found:
        seen.setdefault(one.place.common_dir if one.place else one.folder, one)
    return list(seen.values())


def _named(session: Session, named: str) -> Iterator[Target]:
    projects = read_projects(session.workspace.projects_file).folders
    if named in projects:
        return _with_submodules(find_place(Path(projects[named])), named)
    folder = (session.cwd / Path(named).expanduser()).resolve()
    if not folder.is_dir() and folder in [one.folder for one in _guarded(session)]:
        return iter([_gone(folder)])
    if not folder.is_dir():
        near = did_you_mean(named, projects)
        meant = f" Did you mean “{near}”?" if near else ""
        raise NotFound(
            "no_such_repository", f"There is no project and no folder “{named}”.{meant}", remedy="quantum projects list"
        )
    return _with_submodules(find_place(folder), _project_of(projects, folder))


def _all(session: Session) -> Iterator[Target]:
    projects = read_projects(session.workspace.projects_file).folders
    for project, text in projects.items():
        folder = Path(text)
        try:
            yield from _with_submodules(find_place(folder), project)
        except QuantumError as error:
            yield Target(folder=folder, project=project, fault=error.message, remedy=error.remedy)
    root = session.workspace.root
    if ask_git(root, "rev-parse", "--show-toplevel") is not None:  # a workspace need not be in a repository
        yield from _with_submodules(find_place(root), _project_of(projects, root))
    for one in _guarded(session):
        try:
            yield Target(folder=one.folder, project=one.project, place=find_place(one.folder))
        except QuantumError:
            yield _gone(one.folder)


def _guarded(session: Session) -> list[GuardedRepository]:
    return list(read_repositories(session.workspace.repositories_file).by_id.values())


def _gone(folder: Path) -> Target:
    fault = f"There is no repository in {folder} any more."
    return Target(folder=folder, project="", fault=fault, remedy=f"quantum hooks uninstall {shlex.quote(str(folder))}")


def _with_submodules(place: Place, project: str) -> Iterator[Target]:
    yield Target(folder=place.top, project=project, place=place)
    for inner in submodules(place):
        yield Target(folder=inner.top, project=project, place=inner)


def _project_of(projects: Mapping[str, str], folder: Path) -> str:
    """The project whose folder this is; empty: it is none's."""
    return next((name for name, text in projects.items() if Path(text).resolve() == folder.resolve()), "")
