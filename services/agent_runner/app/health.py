"""Asks services with --health: a small start of its own beside each, whose exit code is the answer."""

from __future__ import annotations

import os
from collections.abc import Callable

from services.agent_runner.app.attempt_messages import start_order
from services.agent_runner.app.reading import Reading
from services.agent_runner.app.service import NEVER, Service
from services.agent_runner.app.terms import TermsBook
from services.agent_runner.domain.health import ANSWER_BYTES_MAX, TIMEOUT_SECONDS, fault_of
from services.agent_runner.ports import WardenLink
from services.agent_runner.warden.protocol import End, Ended, Message, Refused, Release

_GRACE_SECONDS = 1.0


class Health:
    """At most one question to a service at a time."""

    def __init__(
        self, warden: WardenLink, terms: TermsBook, reading: Reading, lease_seconds: Callable[[], float]
    ) -> None:
        self._warden = warden
        self._terms = terms
        self._reading = reading
        self._lease_seconds = lease_seconds

    def ask(self, service: Service) -> str:
        """Start `script --health`, in the same folder and environment; returns the key that the answer comes under."""
        held, probe = service.held, service.probe
        probe.number += 1
        probe.key, probe.due_at = f"{held.key}?{probe.number}", NEVER
        terms = held.lease.terms._replace(
            timeout_seconds=TIMEOUT_SECONDS, idle_timeout_seconds=0.0, grace_seconds=_GRACE_SECONDS
        )
        start = start_order(held, self._lease_seconds())
        self._warden.tell(
            start._replace(
                key=probe.key,
                terms=self._terms.look_up(terms).number,
                arguments=[*start.arguments, "--health"],
                beside=True,
            )
        )
        return probe.key

    def leave(self, service: Service) -> None:
        """Its process has gone: an answer would be about nothing."""
        if service.probe.key:
            self._warden.tell(End(service.probe.key, "stop", "the service that it asks has ended"))
        service.probe.key, service.probe.due_at = "", NEVER

    def heard(self, service: Service, key: str, message: Message, *, now: float) -> str:
        """What the warden says of a question; returns why the answer is bad, empty when it is not, or none yet."""
        match message:
            case Ended():
                answer = message.output
                if message.slot >= 0:
                    answer = self._reading.peek(message.slot, ANSWER_BYTES_MAX)
                    if message.tree_dead:
                        self._warden.tell(Release(message.slot))
                status, answer = message.status, self._reading.without_secrets(service.held, answer)
                exit_code = os.WEXITSTATUS(status) if os.WIFEXITED(status) else None
                fault = fault_of(exit_code, os.WTERMSIG(status), message.cause, answer)
            case Refused():
                fault = f"could not be started: {message.sentence}"
            case _:
                return ""
        probe = service.probe
        if key != probe.key:
            return ""  # about a process that has gone
        probe.key = ""
        probe.unhealthy = probe.unhealthy + 1 if fault else 0
        probe.health = "unhealthy" if fault else "healthy"
        probe.due_at = now + service.rule.health_seconds
        return fault
