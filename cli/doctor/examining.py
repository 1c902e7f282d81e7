"""Makes every check, all at once and each within a bound, so that one that hangs keeps nobody waiting."""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial

from cli.doctor import copies, files, keys, machine, running, standing, state
from cli.doctor.findings import Finding, fail, unseen
from cli.doctor.subject import Subject
from cli.session import Session
from foundation.clock import Clock
from foundation.errors import QuantumError

Check = Callable[[Subject], Iterator[Finding]]

WITHIN = timedelta(seconds=8)
PARTS: dict[Check, tuple[str, ...]] = {
    machine.python: ("python",),
    machine.system: ("platform",),
    machine.sqlite: ("sqlite",),
    machine.git: ("git",),
    machine.open_files: ("open files",),
    machine.clock: ("clock",),
    files.workspace: ("workspace",),
    files.settings: ("settings",),
    files.projects: ("projects",),
    files.spend_files: ("spend files",),
    files.alert_config: ("alert channels",),
    files.ignored: ("version control",),
    files.runbook: ("runbook names",),
    files.file_rights: ("file rights",),
    files.owner: ("file owner",),
    files.logs: ("logs",),
    files.exports: ("exports",),
    files.disk: ("disk",),
    keys.keychain: ("keychain",),
    keys.database_key: ("database key",),
    keys.credentials: ("service credentials",),
    keys.certificates: ("certificates",),
    keys.tcp: ("services over TCP",),
    keys.gateway: ("gateway address",),
    state.encryption: ("database encryption",),
    state.databases: ("databases",),
    state.sockets: ("sockets",),
    state.left_over: ("left over",),
    state.port: ("port",),
    state.stop: ("emergency stop",),
    state.merge_guard: ("merge guard",),
    state.half_made: ("merges",),
    copies.backups: ("backups",),
    running.services: ("services",),
    running.units: ("service units",),
    running.gateway: ("gateway",),
    running.runners: ("limits", "sandbox"),
    running.agents: ("agents",),
    running.attached: ("runners",),
    running.queue: ("queue",),
    running.schedules: ("schedules",),
    standing.mode: ("mode",),
    standing.rotation: ("token rotation",),
    standing.audit: ("audit log",),
    standing.breakers: ("circuit breakers",),
    standing.budgets: ("error budgets",),
    standing.spend: ("spend caps",),
    standing.alerts: ("alerts",),
}
"""Every check, in the order of the page, and the parts that it speaks of."""
ANYWHERE = (*machine.CHECKS, files.workspace)
"""Those that are made outside of a workspace, too."""


@dataclass(slots=True)
class _Made:
    """One check under way; `found` is None until it has ended."""

    check: Check
    found: list[Finding] | None = None
    thread: threading.Thread | None = field(default=None, repr=False)


def examine(session: Session, *, within: timedelta = WITHIN) -> list[Finding]:
    """Everything that is found, in the order of the page. Nothing is changed; no check takes longer than `within`."""
    subject = Subject(session)
    with ExitStack() as stack:
        if subject.initialised and subject.running is not None and subject.secrets is not None:
            # Without a token nobody is asked; then the line of the keychain says so.
            try:
                subject.connected = stack.enter_context(session.connected())
            except QuantumError:
                subject.connected = None
        subject.look_who_serves(within)
        return _all(subject, list(PARTS), within)


def _all(subject: Subject, checks: Sequence[Check], within: timedelta) -> list[Finding]:
    made = [_Made(check) for check in checks]
    for one in made:
        # A thread that hangs in a dead drive cannot be ended; as a daemon it does not keep the process either.
        run = partial(contextvars.copy_context().run, _make, subject, one)
        one.thread = threading.Thread(target=run, name=f"doctor {PARTS[one.check][0]}", daemon=True)
        one.thread.start()
    clock: Clock = subject.session.clock
    deadline = clock.boottime() + within.total_seconds()
    for one in made:
        assert one.thread is not None
        one.thread.join(max(0.0, deadline - clock.boottime()))
    return [finding for one in made for finding in _found(one, within)]


def _found(made: _Made, within: timedelta) -> list[Finding]:
    if made.found is not None:
        return made.found
    said = f"It could not be looked at within {within.total_seconds():.0f} s."
    return [fail(part, said, "quantum doctor --within 60s") for part in PARTS[made.check]]


def _make(subject: Subject, made: _Made) -> None:
    """One check; one that fails by itself is a finding, too."""
    parts = PARTS[made.check]
    try:
        if made.check not in ANYWHERE and not subject.initialised:
            made.found = [unseen(part, "workspace") for part in parts]
        else:
            made.found = list(made.check(subject))
    except QuantumError as error:
        if error.code == "bad_settings" and made.check is not files.settings:
            made.found = [unseen(part, "settings") for part in parts]
        else:
            made.found = [fail(parts[0], error.message, error.remedy)]
    except OSError as error:
        made.found = [fail(parts[0], f"It cannot be looked at: {error}.", "quantum doctor --within 60s")]
    except Exception as error:  # noqa: BLE001 - a fault of ours in one check must not hide what the others found
        said = f"The check itself failed ({type(error).__name__}: {error}); that is a fault of ours."
        made.found = [fail(part, said, "quantum doctor --bundle quantum-report.tar.gz") for part in parts]
