"""What is being looked at, read once, in ways that write nothing; what cannot be read, its own part says."""

from __future__ import annotations

import stat
import threading
from contextlib import suppress
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import TypeVar

from cli.doctor.findings import UP
from cli.processes.running import Running, read_running
from cli.session import Connected, Session
from foundation.errors import QuantumError
from foundation.secrets import USER_TOKEN, SecretStore, user_account
from foundation.settings import load
from foundation.workspace import Workspace

S = TypeVar("S")

SERVICES = ("coordinator", "safety", "runner", "gateway")


class Subject:
    """One workspace, or none, as a session finds it."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.connected: Connected | None = None
        """The services, while they run and there is a token."""
        self.serving: dict[str, bool] = {}
        """Each service and runner, and whether it says that it serves."""

    def look_who_serves(self, within: timedelta) -> None:
        """Ask all of them at once; who does not answer in time does not serve."""
        connected, running = self.connected, self.running
        if connected is None or running is None:
            return
        self.serving = dict.fromkeys(("safety", "coordinator", *running.runners), False)

        def ask(name: str) -> None:
            with suppress(QuantumError):
                self.serving[name] = connected.serves(name)

        threads = [threading.Thread(target=ask, args=(name,), daemon=True) for name in self.serving]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(within.total_seconds())

    @cached_property
    def workspace(self) -> Workspace | None:
        """None outside of one."""
        try:
            return self.session.workspace
        except QuantumError:
            return None

    @property
    def here(self) -> Workspace:
        """The workspace, for checks that are only made in one."""
        return self.session.workspace

    @cached_property
    def initialised(self) -> bool:
        """Whether there is anything in `.quantum` to be looked at."""
        return self.workspace is not None and self.workspace.state.is_dir()

    @cached_property
    def running(self) -> Running | None:
        """What runs; None also while that cannot be read."""
        try:
            return read_running(self.here) if self.initialised else None
        except (QuantumError, OSError):
            return None

    @cached_property
    def installed(self) -> bool:
        """Whether the operating system has units of this workspace."""
        from cli.service.acting import installed

        try:
            return self.initialised and installed(self.here, self.session.environ)
        except QuantumError:
            return False

    @property
    def up(self) -> str:
        """The line that starts everything."""
        return "quantum service start" if self.installed else UP

    @property
    def restart(self) -> str:
        """The line that starts everything anew."""
        by_units = self.installed and self.running is not None and self.running.units
        return "quantum service restart" if by_units else f"quantum down && {self.up}"

    def then_restart(self, line: str) -> str:
        """A cure that services take up at their next start: with it, if they run."""
        return f"{line} && {self.restart}" if self.running else line

    @cached_property
    def secrets(self) -> SecretStore | None:
        """Where the secrets lie; None while they cannot be read, as the line `keychain` says. Without a record they are
        not opened either: whoever does writes one.
        """
        if not self.initialised or not self.here.keychain_record.is_file():
            return None
        try:
            store = self.session.secrets
            store.get(USER_TOKEN, user_account(self.here))
            return store
        except QuantumError:
            return None

    def settings(self, cls: type[S]) -> S:
        """The settings as they stand; as far as they are not right, their defaults."""
        for environ, workspace in ((self.session.environ, self.workspace), (self.session.environ, None)):
            try:
                return load(cls, environ=environ, workspace=workspace)
            except QuantumError:
                continue
        return load(cls, environ={}, workspace=None)


def rights(path: Path) -> int:
    """The mode's last twelve bits."""
    return stat.S_IMODE(path.stat().st_mode)
