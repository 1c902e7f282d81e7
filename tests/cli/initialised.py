"""A workspace as `quantum init` leaves it, with nothing running."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

from cli.first_start import SERVICE_SCOPES
from cli.keys.authority import make_authority
from foundation.authority import Authority
from foundation.clock import ManualClock, SystemClock
from foundation.files import atomic_write
from foundation.ids import random_bytes
from foundation.secrets import (
    AUDIT_KEY,
    AUTHORITY_KEY,
    DATABASE_KEY,
    SERVICE_TOKEN,
    USER_TOKEN,
    open_secret_store,
    service_account,
    user_account,
)
from foundation.sqlite.connection import Location, connect
from foundation.tokens import mint
from tests.cli.fakes import PlayedSession


class Place(PlayedSession):
    """A workspace in which everything is as `quantum init` leaves it, but for the databases' content."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.folder = folder
        self.real = SystemClock()
        self.clock = ManualClock(self.real.now())  # files carry the machine's time
        workspace = self.workspace
        for path in (workspace.agents, workspace.logs, workspace.state / "initialised"):
            path.mkdir()
        (folder / ".gitignore").write_text(".quantum/\nlogs/\nagent_status.json\ntask_queue.json\n")
        store, account = open_secret_store(workspace, {"QUANTUM_KEYCHAIN": "file"}), user_account(workspace)
        key = random_bytes(32)
        store.set(DATABASE_KEY, account, key.hex())
        store.set(AUDIT_KEY, account, random_bytes(32).hex())
        for path in (workspace.coordinator_db, workspace.safety_db):
            with connect(Location(path=path, key=key)) as connection:
                connection.execute("create table tasks (id)")
            connection.close()
        store.set(USER_TOKEN, account, mint(random_bytes).text)
        for name in SERVICE_SCOPES:
            store.set(SERVICE_TOKEN, service_account(workspace, name), mint(random_bytes).text)
        make_authority(workspace, store, now=self.clock.now())

    def configure(self, **settings: object) -> None:
        """Writes config/agent_config.json."""
        self.workspace.config_file.write_text(json.dumps(settings))

    def identify(self, role: str, *, age: timedelta = timedelta(0)) -> None:
        """Issues a service its certificate, some time ago."""
        key = self.secrets.get(AUTHORITY_KEY, user_account(self.workspace))
        assert key is not None
        authority = Authority(key.encode(), self.workspace.authority.read_bytes())
        pem = authority.issue(self.workspace.key12, role, "local", now=self.clock.now() - age)
        atomic_write(self.workspace.identity(role), pem, 0o600)

    def alert(self, **channels: object) -> None:
        """Writes config/alert_config.json."""
        self.workspace.alert_config.write_text(json.dumps({"channels": channels}))

    def use_keychain(self) -> None:
        """Has an operating system's keychain in place of the file."""
        self.__dict__["secrets"] = _Keychain(self.secrets)


class _Keychain:
    """The same secrets under another name."""

    describe = "Secret Service"

    def __init__(self, inner: Any) -> None:
        self.get, self.set, self.delete = inner.get, inner.set, inner.delete
