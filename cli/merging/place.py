"""Which guarded repository is meant by a folder."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path

from cli.session import Session
from foundation.errors import NotFound
from foundation.repositories import read_repositories
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
    find_workspace_by(session, repository.top)
    found = read_repositories(session.workspace.repositories_file)
    for one in found.by_id.values():
        if one.common_dir == repository.common_dir:
            return Place(id=one.id, repository=repository)
    faults = f" ({' '.join(found.faults)})" if found.faults else ""
    raise NotFound(
        "not_guarded",
        f"Merges into {repository.top} are not guarded by {session.workspace.root}.{faults}",
        remedy=f"quantum hooks install {shlex.quote(str(repository.top))}",
    )


def find_workspace_by(session: Session, folder: Path) -> None:
    """Where the session has no workspace, has it be the one that guards the repository of a folder, if one does."""
    try:
        _ = session.workspace
    except NotFound:
        asked = Git(folder).run("config", "--local", "--get", "quantum.workspace")
        if guard := asked.out.decode(errors="surrogateescape").rstrip("\n"):
            session.environ = {**session.environ, "QUANTUM_WORKSPACE": guard}
