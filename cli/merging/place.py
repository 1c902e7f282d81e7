"""Which guarded repository is meant by a folder."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path

from cli.session import Session
from foundation.errors import NotFound
from foundation.repositories import read_repositories
from foundation.workspace import Workspace
from merge_guard.git import Git
from merge_guard.repository import open_repository
from merge_guard.values import Repository


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A guarded repository, by a work tree of it."""

    id: str
    repository: Repository

    @property
    def folder(self) -> Path:
        """The top of the work tree."""
        return self.repository.top


def place_of(session: Session, folder: Path | None) -> Place:
    """The guarded repository that holds a folder, or the one we are in.

    Raises NotFound where there is no repository, or none that is guarded, with the line that guards it.
    """
    repository = open_repository(session.cwd / folder if folder else session.cwd)
    workspace = _workspace(session, repository)
    found = read_repositories(workspace.repositories_file)
    for one in found.by_id.values():
        if one.common_dir == repository.common_dir:
            return Place(id=one.id, repository=repository)
    faults = f" ({' '.join(found.faults)})" if found.faults else ""
    raise NotFound(
        "not_guarded",
        f"Merges into {repository.top} are not guarded by {workspace.root}.{faults}",
        remedy=f"quantum hooks install {shlex.quote(str(repository.top))}",
    )


def _workspace(session: Session, repository: Repository) -> Workspace:
    """The session's workspace; where it has none, the one that guards the repository, for the whole session."""
    try:
        return session.workspace
    except NotFound:
        guard = Git(repository.top).run("config", "--local", "--get", "quantum.workspace").out.decode().strip()
        if not guard:
            raise
        session.environ = {**session.environ, "QUANTUM_WORKSPACE": guard}
        return session.workspace
