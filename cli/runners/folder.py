"""The folder of a runner that joined: a small workspace of its own, on its own host."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cli.runners.invitation import Invitation
from foundation.errors import Conflict, Internal, Invalid, NotFound
from foundation.files import atomic_write
from foundation.labels import text_of
from foundation.secrets import RUNNER_KEY, SERVICE_TOKEN, SecretStore, service_account, user_account
from foundation.workspace import Workspace, WorkspaceLock

# Who does not own it may pass through, for what a script without the runner's rights needs, and list nothing.
_ROOT_MODE = 0o711
_PROJECTS = """# Where projects lie on this host: a name of the coordinator's, and a folder of this machine.
[projects]
"""


@dataclass(frozen=True, slots=True)
class RunnerFolder:
    """Where a runner lives; made by `join`, found again by `start` and `stop`."""

    workspace: Workspace

    @property
    def name(self) -> str:
        """The runner's name. Raises NotFound for a folder of none."""
        try:
            return str(json.loads(self.workspace.joined.read_bytes())["name"])
        except FileNotFoundError:
            raise NotFound(
                "not_joined",
                f"{self.workspace.root} is no folder of a runner that joined.",
                remedy="quantum runner join --from FILE makes one; --folder names another.",
            ) from None
        except (ValueError, KeyError, TypeError) as error:
            raise Invalid("bad_runner_folder", f"{self.workspace.joined} cannot be read: {error}.") from None

    @property
    def lock(self) -> WorkspaceLock:
        """Held by the runner while it runs."""
        return WorkspaceLock(self.workspace.state / f"runner-{self.name}" / "lock")

    def prepare(self, name: str) -> None:
        """Make the folder, or take one of the same runner again. Raises Conflict for any other, or one that runs."""
        workspace = self.workspace
        if workspace.safety_db.exists() or workspace.coordinator_db.exists():
            raise Conflict(
                "a_workspace", f"{workspace.root} is a workspace of its own.", remedy="Use another --folder."
            )
        if workspace.joined.exists():
            if self.name != name:
                raise Conflict(
                    "other_runner",
                    f"{workspace.root} is the folder of runner {self.name}.",
                    remedy="Use another --folder.",
                )
            if holder := self.lock.holder():
                raise Conflict(
                    "runner_runs",
                    f"Runner {name} runs, as process {holder}.",
                    remedy="quantum runner stop, then again.",
                )
        if not workspace.root.exists():
            workspace.root.mkdir(parents=True)
            workspace.root.chmod(_ROOT_MODE)
        for folder, mode in ((workspace.state, 0o700), (workspace.logs, 0o755), (workspace.config_file.parent, 0o755)):
            folder.mkdir(mode=mode, exist_ok=True)
        workspace.identity("runner").parent.mkdir(mode=0o700, exist_ok=True)
        if not workspace.projects_file.exists():
            atomic_write(workspace.projects_file, _PROJECTS.encode(), 0o644)

    def keep(
        self, invitation: Invitation, secrets: SecretStore, *, key: bytes, certificate: bytes, token: str, now: datetime
    ) -> None:
        """Keep what was brought home: secrets in the keychain, read back; the rest in files, the mark that it is whole
        last."""
        workspace = self.workspace
        accounts = {
            (RUNNER_KEY, user_account(workspace)): key.decode(),
            (SERVICE_TOKEN, service_account(workspace, "runner")): token,
        }
        for (service, account), secret in accounts.items():
            secrets.set(service, account, secret)
            if secrets.get(service, account) != secret:
                raise Internal("keychain_unreliable", f"{secrets.describe} did not give back what was just stored.")
        atomic_write(workspace.identity("runner"), certificate, 0o600)
        self._write_settings(invitation)
        mark = {"name": invitation.name, "joined_at": now.isoformat()}
        atomic_write(workspace.joined, f"{json.dumps(mark)}\n".encode(), 0o600)

    def _write_settings(self, invitation: Invitation) -> None:
        """Put the settings of the invitation beside those that are there; the file is left alone when it has them."""
        ours = _settings_of(invitation)
        present = self._present_settings()
        if any(present.get(key) != value for key, value in ours.items()):
            text = json.dumps({**present, **ours}, indent=2, ensure_ascii=False)
            atomic_write(self.workspace.config_file, f"{text}\n".encode(), 0o644)

    def _present_settings(self) -> dict[str, object]:
        if not self.workspace.config_file.exists():
            return {}
        from foundation.settings_file import read_settings_file

        entries, faults = read_settings_file(self.workspace.config_file)
        if faults:
            raise Invalid("bad_settings", f"{self.workspace.config_file} cannot be read.", fields=faults)
        return {entry.name: entry.value for entry in entries}


def _settings_of(invitation: Invitation) -> Mapping[str, object]:
    settings: dict[str, object] = {
        "coordinator_address": invitation.coordinator,
        "safety_address": invitation.safety,
    }
    if invitation.labels:
        settings["runner_labels"] = text_of(invitation.labels)
    if invitation.gateway:
        host, _, port = invitation.gateway.rpartition(":")
        settings |= {"gateway_host": host.removeprefix("[").removesuffix("]"), "gateway_port": int(port)}
    return settings


def refuse_joined(root: Path) -> None:
    """Raise Conflict for a folder of a runner that joined: its workspace is on another host, and it becomes none."""
    if Workspace(root).joined.exists():
        raise Conflict(
            "joined_folder",
            f"{root} is the folder of a runner; its workspace is on another host.",
            remedy="quantum runner start starts it.",
        )
