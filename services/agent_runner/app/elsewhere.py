"""Leases from a coordinator on another host: its scripts are fetched once, its folders found by name, here."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from pathlib import PurePosixPath
from typing import NamedTuple

from clients.attachment_values import AttemptRef, EndCause, Lease, LeaseTerms
from foundation.errors import NotFound, QuantumError
from services.agent_runner.ports import FetchedFiles, ProjectFolders

Fetch = Callable[[str, str], Awaitable[bytes]]
"""The text of a script by its agent and its SHA-256."""
Refusals = dict[AttemptRef, tuple[EndCause, str]]


class Localised(NamedTuple):
    """Leases as they can be run here, and those that cannot be, with the reason."""

    leases: Sequence[Lease]
    refused: Refusals


class _Refused(Exception):
    def __init__(self, cause: EndCause, sentence: str) -> None:
        super().__init__(sentence)
        self.cause = cause
        self.sentence = sentence


class Elsewhere:
    """What the paths of the coordinator's machine mean on this one. `root` is this runner's own workspace."""

    def __init__(self, root: str, scripts: FetchedFiles, projects: ProjectFolders) -> None:
        self._root = root
        self._scripts = scripts
        self._projects = projects

    async def localise(self, leases: Sequence[Lease], fetch: Fetch) -> Localised:
        """Each lease with paths of this machine. A script that is not here yet is fetched, once for all of them."""
        known: dict[LeaseTerms, LeaseTerms | _Refused] = {}
        refused: Refusals = {}
        here = []
        for lease in leases:
            terms = known.get(lease.terms)
            if terms is None:
                terms = known[lease.terms] = await self._terms(lease.terms, fetch)
            if isinstance(terms, _Refused):
                refused[lease.ref] = terms.cause, terms.sentence
                here.append(lease)
            else:
                here.append(lease._replace(terms=terms))
        return Localised(here, refused)

    async def _terms(self, terms: LeaseTerms, fetch: Fetch) -> LeaseTerms | _Refused:
        try:
            folder = self._folder(terms.project)
            if terms.builtin:
                script, interpreter = self._scripts.builtin(terms.builtin, terms.interpreter)
                return terms._replace(script=script, interpreter=interpreter, folder=folder)
            return terms._replace(script=await self._script(terms, fetch), folder=folder)
        except _Refused as refusal:
            return refusal
        except NotFound as error:
            return _Refused(EndCause.SPAWN_CONFIGURATION, error.message)
        except (QuantumError, OSError) as error:
            said = error.message if isinstance(error, QuantumError) else str(error)
            return _Refused(EndCause.SPAWN_RESOURCES, f"its script could not be brought here: {said}")

    def _folder(self, project: str) -> str:
        if not project:
            return self._root
        folder = self._projects.folder(project)
        if folder is None:
            raise _Refused(
                EndCause.SPAWN_CONFIGURATION,
                f"the project “{project}” has no folder on this runner; name it in its config/projects.toml",
            )
        return folder

    async def _script(self, terms: LeaseTerms, fetch: Fetch) -> str:
        name = PurePosixPath(terms.script).name
        if not terms.script_sha256:
            raise _Refused(
                EndCause.SPAWN_CONFIGURATION, f"the script {name} is larger than what is sent to runners elsewhere"
            )
        kept = self._scripts.find(terms.script_sha256, name)
        if kept is None:
            text = await fetch(terms.agent, terms.script_sha256)
            kept = self._scripts.keep(terms.script_sha256, name, text)
        return kept
