"""Where everything of one workspace lies, and the lock on it."""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from foundation.backup_ids import require_backup_id
from foundation.errors import Conflict, Denied, Invalid, NotFound
from foundation.files import atomic_write, write_all

_CONFIG = Path("config", "agent_config.json")
# 108 bytes with the closing NUL on Linux, 104 on macOS; the smaller one, so that a workspace works on both.
SOCKET_PATH_BYTES_MAX = 103


@dataclass(frozen=True, slots=True)
class Workspace:
    """The folder with `agents/` and `config/`, and the names of all in it. Nothing need exist."""

    root: Path

    @property
    def state(self) -> Path:
        """Run-time state: databases, credentials, locks; mode 0700, not for version control."""
        return self.root / ".quantum"

    @property
    def config_file(self) -> Path:
        """Settings, read by a YAML reader whatever the name says; its presence makes a folder a workspace."""
        return self.root / _CONFIG

    @property
    def alert_config(self) -> Path:
        """Who is told of what, how often, through which channels; without it everything goes to the log."""
        return self.root / "config" / "alert_config.json"

    @property
    def projects_file(self) -> Path:
        """The projects, each a name and a folder."""
        return self.root / "config" / "projects.toml"

    @property
    def repositories_file(self) -> Path:
        """Git repositories whose merges are guarded; `quantum hooks install` writes it."""
        return self.state / "repositories.toml"

    @property
    def hooks_token(self) -> Path:
        """The token of the git hooks, in a file that they read: it may ask for merge checks and nothing else."""
        return self.state / "hooks" / "token"

    @property
    def agents(self) -> Path:
        """The agents' scripts and manifests."""
        return self.root / "agents"

    @property
    def logs(self) -> Path:
        """`agent_<name>.log`, `system.log` and `errors/`."""
        return self.root / "logs"

    @property
    def system_log(self) -> Path:
        """What the services say, as JSON lines."""
        return self.logs / "system.log"

    @property
    def coordinator_db(self) -> Path:
        """The coordinator's database; nobody else opens it."""
        return self.state / "coordinator.db"

    @property
    def safety_db(self) -> Path:
        """The safety service's database; nobody else opens it."""
        return self.state / "safety.db"

    @property
    def audit(self) -> Path:
        """The folder of the audit log's checkpoint, apart from the database that holds the log."""
        return self.state / "audit"

    @property
    def stop_file(self) -> Path:
        """While it is there, everything is STOPPED; see `foundation/stop_file.py`."""
        return self.state / "STOP"

    @property
    def restore_journal(self) -> Path:
        """JSON of a restore that has begun to take place; while it is there, no database here may be opened."""
        return self.state / "restore.json"

    def making(self, backup_id: str) -> Path:
        """The folder in which a backup is put together, mode 0700. Raises Invalid for what is no id of one."""
        return self.state / "backups" / f".making-{require_backup_id(backup_id)}"

    @property
    def isolating(self) -> Path:
        """There from the first step of `quantum isolate` to its last: what is found here was cut short."""
        return self.state / "isolating"

    @property
    def runtime(self) -> Path:
        """JSON that `up` writes: the processes' ids and the gateway's port."""
        return self.state / "runtime.json"

    @property
    def units(self) -> Path:
        """The folder in which each process that a service manager runs writes down who it is; see foundation/unit."""
        return self.state / "units"

    @property
    def credentials(self) -> Path:
        """The folder of the file-based secret store."""
        return self.state / "credentials"

    @property
    def secret_names(self) -> Path:
        """The folder with the names of the secrets that were stored for agents; see foundation/agent_secrets."""
        return self.state / "secrets"

    @property
    def secret_acts(self) -> Path:
        """The folder with notes of what was done to secrets, until they are in the audit log."""
        return self.state / "secret-acts"

    @property
    def keychain_record(self) -> Path:
        """Which secret store was picked at `init`."""
        return self.state / "keychain"

    @property
    def authority(self) -> Path:
        """The certificate of this workspace's own authority, PEM; its key is in the secret store."""
        return self.state / "tls" / "authority.pem"

    def identity(self, role: str) -> Path:
        """The key and certificate with which a service shows itself over TCP."""
        return self.state / "tls" / f"{role}.pem"

    @property
    def joined(self) -> Path:
        """JSON that `quantum runner join` writes: this folder is of a runner, whose workspace is on another host."""
        return self.state / "joined.json"

    @property
    def fetched_scripts(self) -> Path:
        """Where a runner that joined keeps the scripts of its coordinator, in a folder by its name."""
        return self.root / "scripts"

    @property
    def lock_file(self) -> Path:
        """Held by `up` and `init`; see `WorkspaceLock`."""
        return self.state / "lock"

    @property
    def key12(self) -> str:
        """Twelve hex digits that stand for this workspace on this machine: SHA-256 of its real path, cut."""
        return hashlib.sha256(os.fsencode(self.root.resolve())).hexdigest()[:12]

    @property
    def sockets(self) -> Path:
        """The folder of the sockets: where `make_sockets` last made it, else where it would.

        The record matters: a cron job has no XDG_RUNTIME_DIR and would look for a running system elsewhere.
        """
        try:
            recorded = Path(os.fsdecode(self._sockets_record.read_bytes()))
        except OSError:
            return self._sockets_here
        return recorded if recorded.is_dir() else self._sockets_here

    def make_sockets(self) -> Path:
        """Makes the folder of the sockets with mode 0700, records where it is, and returns it.

        Raises Denied when the folder there belongs to somebody else.
        """
        folder = self._sockets_here
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if folder.stat().st_uid != os.geteuid():
            raise Denied("sockets_not_ours", f"The folder of the sockets {folder} belongs to another user.")
        folder.chmod(0o700)
        if self.state.is_dir():
            atomic_write(self._sockets_record, os.fsencode(folder))
        return folder

    def socket(self, name: str) -> Path:
        """The socket of `coordinator`, `safety` or `runner-<name>`; Invalid when the path is too long."""
        path = self.sockets / f"{name}.sock"
        if len(os.fsencode(path)) > SOCKET_PATH_BYTES_MAX:
            raise Invalid(
                "socket_path_too_long",
                f"The socket path {path} is longer than {SOCKET_PATH_BYTES_MAX} bytes.",
                remedy="Set XDG_RUNTIME_DIR to a folder with a shorter name, or shorten the runner's.",
            )
        return path

    @property
    def _sockets_record(self) -> Path:
        return self.state / "sockets"

    @property
    def _sockets_here(self) -> Path:
        runtime = os.environ.get("XDG_RUNTIME_DIR")
        base = Path(runtime, "quantum") if runtime else Path.home() / ".quantum" / "run"
        return base / self.key12


def find_workspace(environ: Mapping[str, str], cwd: Path) -> Workspace:
    """The workspace that `QUANTUM_WORKSPACE` names, else the nearest folder upwards from `cwd` that is one.

    Raises NotFound, naming `quantum init`.
    """
    named = environ.get("QUANTUM_WORKSPACE")
    if named:
        root = (cwd / Path(named).expanduser()).resolve()
        if (root / _CONFIG).is_file():
            return Workspace(root)
        raise NotFound(
            "no_workspace",
            f"QUANTUM_WORKSPACE names {root}, which is not a workspace: it has no {_CONFIG}.",
            remedy=f"quantum init {root} makes it one.",
        )
    start = cwd.resolve()
    for folder in (start, *start.parents):
        if (folder / _CONFIG).is_file():
            return Workspace(folder)
    raise NotFound(
        "no_workspace",
        f"Neither {start} nor a folder above it is a workspace: none has {_CONFIG}.",
        remedy="quantum init makes one here; QUANTUM_WORKSPACE names one elsewhere.",
    )


class WorkspaceLock:
    """A lock that the operating system drops when its holder ends, however it ends; the file names it.

    A `shared` one is held by any number of processes at a time, which the file does not name, and by none beside one
    that is not. The file stays when the lock is given back: removing it would let two holders lock two files of one
    name.
    """

    def __init__(self, path: Path, *, shared: bool = False) -> None:
        self._path = path
        self._shared = shared
        self._descriptor: int | None = None

    def acquire(self, *, wait: bool = False) -> None:
        """Takes the lock at once, or with `wait` as soon as it is free.

        Raises Conflict, code `workspace_locked`, naming the one that has it.
        """
        if self._descriptor is not None:
            return
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        how = fcntl.LOCK_SH if self._shared else fcntl.LOCK_EX
        try:
            fcntl.flock(descriptor, how if wait else how | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            raise self._held() from None
        except OSError:
            os.close(descriptor)
            raise
        if not self._shared:
            os.ftruncate(descriptor, 0)
            write_all(descriptor, f"{os.getpid()}\n".encode())
        self._descriptor = descriptor

    def release(self) -> None:
        """Gives the lock back; does nothing when it is not held."""
        if self._descriptor is not None:
            if not self._shared:
                os.ftruncate(self._descriptor, 0)
            os.close(self._descriptor)
            self._descriptor = None

    def holder(self) -> int | None:
        """The process that holds the lock for itself, None when nobody does."""
        try:
            descriptor = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            text = os.read(descriptor, 32).strip()
            return int(text) if text.isdigit() else None
        finally:
            os.close(descriptor)
        return None

    def __enter__(self) -> WorkspaceLock:
        self.acquire()
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def _held(self) -> Conflict:
        holder = self.holder()
        if holder is None and not self._shared:
            return Conflict(
                "workspace_locked",
                f"Services of the operating system run in this workspace: they hold {self._path}.",
                remedy="quantum service stop ends them; quantum service status shows them.",
            )
        by = f"process {holder}" if holder else "another process"
        return Conflict(
            "workspace_locked",
            f"Quantum is running in this workspace already: {by} holds {self._path}.",
            remedy="quantum status shows what runs; quantum down ends it.",
        )
