"""What leases have in common, worked out and told to the warden once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from clients.attachment_values import LeaseTerms, LimitUse, Sandbox
from services.agent_runner.domain.orders import limits, missing_requirements, shared_arguments, shared_variables
from services.agent_runner.domain.reach import UNCONFINED, Confinement, reach, unreachable
from services.agent_runner.warden.protocol import Terms

# Terms differ per manifest, project and timeout; beyond this many the numbers are given anew.
_KNOWN_MAX = 256


class Known(NamedTuple):
    """What follows from the terms of a lease on this machine."""

    number: int
    limits: tuple[LimitUse, ...]
    refusal: str  # why nothing is started on these terms here; empty: it is


def _sandbox(sandbox: Sandbox | None) -> tuple[list[str], list[str], list[str], bool] | None:
    if sandbox is None:
        return None
    return list(sandbox.write), list(sandbox.read), list(sandbox.hosts), sandbox.network


class TermsBook:
    """Numbers terms as they come."""

    def __init__(
        self,
        workspace: str,
        gateway: str,
        enforcement: Mapping[str, str],
        nice: int,
        tell: Callable[[Terms], None],
        confinement: Confinement = UNCONFINED,
    ) -> None:
        self._workspace = workspace
        self._gateway = gateway
        self._enforcement = enforcement
        self._nice = nice
        self._tell = tell
        self._confinement = confinement
        self._known: dict[LeaseTerms, Known] = {}

    def look_up(self, terms: LeaseTerms) -> Known:
        """What is known of these terms; the warden is told of new ones before anything that is told later."""
        known = self._known.get(terms)
        if known is None:
            if len(self._known) >= _KNOWN_MAX:
                self._known.clear()
            known = Known(
                len(self._known),
                (*limits(terms, self._enforcement), *reach(terms, self._confinement)),
                missing_requirements(terms, self._enforcement) or unreachable(terms, self._confinement),
            )
            self._known[terms] = known
            self._tell(self._told(known.number, terms))
        return known

    def _told(self, number: int, terms: LeaseTerms) -> Terms:
        return Terms(
            number=number,
            argv=shared_arguments(terms),
            folder=terms.folder,
            variables=shared_variables(terms, self._workspace, self._gateway),
            names=list(terms.env),
            timeout=terms.timeout_seconds,
            idle_timeout=terms.idle_timeout_seconds,
            grace=terms.grace_seconds,
            memory_bytes=terms.memory_bytes,
            processes_max=terms.processes_max,
            open_files_max=terms.open_files_max,
            output_bytes_max=terms.output_bytes_max,
            cpu_cores=terms.cpu_cores,
            cpu_seconds=terms.cpu_seconds,
            work_files_max=terms.work_files_max,
            work_bytes_max=terms.work_bytes_max,
            run_as=terms.run_as,
            sandbox=_sandbox(terms.sandbox),
            nice=self._nice,
        )
