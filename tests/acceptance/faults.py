"""Faults as they are planted into a workspace: what each does, and the one line of `doctor` that is to show it."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from cli.doctor.examining import examine
from cli.doctor.findings import Finding, Mark, worst
from cli.runbook.links import COMMAND, HOME, install
from cli.session import Session
from cli.workspace.config_file import ConfigFile
from foundation.authority import Authority
from foundation.clock import SystemClock
from foundation.files import atomic_write
from foundation.secrets import (
    DATABASE_KEY,
    SERVICE_TOKEN,
    SecretStore,
    open_secret_store,
    service_account,
    user_account,
)
from foundation.workspace import Workspace, WorkspaceLock
from tests.acceptance.system import System

_END = "__end__"


class SetBack:
    """The clock of a machine on which somebody has set it back, until something sets it right."""

    def __init__(self, back: Path) -> None:
        self._real = SystemClock()
        self._back = back

    def now(self) -> datetime:
        """The time of day."""
        return self._real.now() - timedelta(days=1 if self._back.exists() else 0)

    def boottime(self) -> float:
        """As it is."""
        return self._real.boottime()


class Ward:
    """A workspace that faults are planted into, a shell to paste into, and `doctor`."""

    def __init__(self, system: System, stack: ExitStack) -> None:
        self.system, self.stack = system, stack
        self.set_back = system.folder / "clock-is-set-back"
        self.bin = system.folder / "bin"
        self.bin.mkdir(exist_ok=True)
        (system.folder / "small").mkdir(exist_ok=True)
        self.program("quantum", f'exec {sys.executable} -m cli "$@"')
        self.program("sudo", 'exec "$@"')
        self.program("timedatectl", f'[ "$*" = "set-ntp true" ] && rm -f {self.set_back}')
        self.environ = {**system.environ, "PATH": f"{self.bin}:{os.environ['PATH']}"}
        self.given, self.mounts = "", False
        self._shell: subprocess.Popen[str] | None = None

    def program(self, name: str, *lines: str) -> None:
        """Put a program onto the PATH."""
        path = self.bin / name
        path.write_text("\n".join(["#!/bin/sh", *lines, ""]))
        path.chmod(0o755)

    @property
    def workspace(self) -> Workspace:
        """Where everything lies."""
        return self.system.workspace

    @property
    def secrets(self) -> SecretStore:
        """Its keychain."""
        return open_secret_store(self.workspace, {})

    def config(self, text: str) -> None:
        """Write config/agent_config.json."""
        self.workspace.config_file.write_text(text)

    def doctor(self) -> dict[str, Finding]:
        """What `doctor` finds, by part, the worst of each; asked within this process."""
        session = Session(environ=self.environ, cwd=self.workspace.root)
        session.__dict__["clock"] = SetBack(self.set_back)
        before = {name: os.environ.get(name) for name in ("XDG_RUNTIME_DIR",)}
        os.environ.update({name: self.environ[name] for name in before})
        try:
            return worst(examine(session, within=timedelta(seconds=90)))
        finally:
            for name, value in before.items():
                os.environ.update({name: value} if value is not None else {})

    def typed_doctor(self) -> dict[str, Finding]:
        """The same, typed into the shell in which cures are pasted."""
        path = self.system.folder / "findings.json"
        self.type(f"quantum doctor --json --within 90s > {path}")
        found = json.loads(path.read_text())["findings"]
        return worst(to_findings(found))

    def type(self, line: str) -> int:
        """Type one line into a shell that stays; its exit code. What it asks for is given to it."""
        shell = self._shell or self._open()
        assert shell.stdin is not None
        assert shell.stdout is not None
        given = self.system.folder / "given"
        given.write_text(self.given)
        # A line that asks reads `given`; the shell itself goes on reading ours.
        shell.stdin.write(f"{{ {line}\n}} < {given} > {self.system.folder / 'said'} 2>&1\necho {_END} $?\n")
        shell.stdin.flush()
        for answer in shell.stdout:
            if answer.startswith(_END):
                return int(answer.split()[1])
        raise AssertionError(f"the shell ended at: {line}")

    @property
    def said(self) -> str:
        """What the last line printed."""
        return (self.system.folder / "said").read_text(errors="replace")[-2000:]

    def _open(self) -> subprocess.Popen[str]:
        self._shell = subprocess.Popen(
            [*(["unshare", "--mount"] if self.mounts else []), "bash", "--norc", "--noprofile"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=self.workspace.root,
            env=self.environ,
        )
        self.stack.callback(self.close)
        return self._shell

    def close(self) -> None:
        """End the shell."""
        if self._shell is not None:
            assert self._shell.stdin is not None
            self._shell.stdin.close()
            self._shell.wait(30)
            self._shell = None


def to_findings(documents: Sequence[Mapping[str, Any]]) -> list[Finding]:
    """From what `doctor --json` printed."""
    return [
        Finding(
            mark=Mark(one["mark"]),
            part=one["part"],
            found=one["found"],
            cure=one["cure"] or "",
            waits_for=one["waits_for"] or "",
        )
        for one in documents
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One fault. `before` is typed into the shell: a fault of the environment that `doctor` is started in."""

    name: str
    part: str
    mark: str = "FAIL"
    plant: Callable[[Ward], object] = lambda ward: None
    before: str = ""
    needs: Callable[[], str] = field(default=lambda: "")
    """Why it cannot be planted on this machine; empty: it can."""
    played: bool = False
    """Whether this process plays a part of the machine."""
    mounts: bool = False
    """Whether the shell has mounts of its own."""
    quick: bool = False
    """Whether its cure starts no Python."""


def hold_port(ward: Ward) -> None:
    held = ward.stack.enter_context(socket.socket())
    held.bind(("127.0.0.1", 0))
    held.listen()
    ConfigFile(ward.workspace.config_file).set("gateway_port", held.getsockname()[1])


def lose_key(ward: Ward) -> None:
    account = user_account(ward.workspace)
    ward.given = (ward.secrets.get(DATABASE_KEY, account) or "") + "\n"  # the person has written it down
    ward.secrets.delete(DATABASE_KEY, account)


def flip_page(ward: Ward) -> None:
    with ward.workspace.coordinator_db.open("r+b") as file:
        file.seek(3 * 4096 + 100)
        byte = file.read(1)
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte[0] ^ 0x40]))


def plain_database(ward: Ward) -> None:
    import sqlite3

    path = ward.workspace.safety_db
    path.unlink()
    with sqlite3.connect(path) as connection:
        connection.execute("create table secrets (text)")
    path.chmod(0o600)


def open_rights(path: Callable[[Workspace], Path], mode: int) -> Callable[[Ward], None]:
    return lambda ward: path(ward.workspace).chmod(mode)


def open_sockets(ward: Ward) -> None:
    made_sockets(ward).chmod(0o755)


def made_sockets(ward: Ward) -> Path:
    folder = ward.workspace.root.parent / "run" / "quantum" / ward.workspace.key12
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return folder


def stale_socket(ward: Ward) -> None:
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(made_sockets(ward) / "coordinator.sock"))


def stale_runtime(ward: Ward) -> None:
    gone = {"pid": 2**22 - 1, "identity": "of-another-boot"}
    document = {"port": 5005, "host": "127.0.0.1", "supervisor": gone, "processes": {"safety": gone}}
    ward.workspace.runtime.write_text(json.dumps(document))


def damaged_runtime(ward: Ward) -> None:
    ward.workspace.runtime.write_text('{"port": ')


def old_authority(ward: Ward) -> None:
    made = Authority.make(ward.workspace.key12, now=SystemClock().now() - timedelta(days=6 * 365))
    atomic_write(ward.workspace.authority, made.certificate, 0o644)


def set_clock_back(ward: Ward) -> None:
    ward.set_back.touch()


def lose_credential(ward: Ward) -> None:
    ward.secrets.delete(SERVICE_TOKEN, service_account(ward.workspace, "runner"))


def old_sqlite(ward: Ward) -> None:
    """A package of an old SQLite comes before ours; `pip` is played: the right line takes it away."""
    folder = ward.system.folder / "old"
    (folder / "apsw").mkdir(parents=True)
    (folder / "apsw" / "__init__.py").write_text('def sqlite_lib_version():\n    return "3.45.1"\n')
    (folder / "pip").mkdir()
    (folder / "pip" / "__init__.py").touch()
    (folder / "pip" / "__main__.py").write_text(
        "import shutil, sys\n"
        'assert sys.argv[1:4] == ["install", "--upgrade", "--force-reinstall"], sys.argv\n'
        'assert sys.argv[4].startswith("apsw-sqlite3mc>=3.51.3"), sys.argv\n'
        f"shutil.rmtree({str(folder / 'apsw')!r})\n"
    )


def projects(text: str) -> Callable[[Ward], object]:
    return lambda ward: ward.workspace.projects_file.write_text(text)


def folder_for_export(ward: Ward) -> None:
    (ward.workspace.root / "agent_status.json").mkdir()


def file_for_logs(ward: Ward) -> None:
    shutil.rmtree(ward.workspace.logs)
    ward.workspace.logs.write_text("")


def lose_installation(ward: Ward) -> None:
    install(ward.workspace.root)
    recorded = ward.workspace.root / HOME / COMMAND
    recorded.unlink()
    recorded.symlink_to(ward.bin / "gone")


def forget_ignored(ward: Ward) -> None:
    (ward.workspace.root / ".gitignore").write_text("*.pyc\nlogs/\n")


def hold_lock(ward: Ward) -> None:
    script = (
        "import sys, time; from pathlib import Path; from foundation.workspace import WorkspaceLock\n"
        f"lock = WorkspaceLock(Path({str(ward.workspace.lock_file)!r})); lock.acquire(); print('held', flush=True)\n"
        "time.sleep(600)"
    )
    holder = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, env=ward.environ)
    assert holder.stdout is not None
    assert holder.stdout.readline()

    def end() -> None:
        holder.kill()
        holder.wait()

    ward.stack.callback(end)
    assert WorkspaceLock(ward.workspace.lock_file).holder() == holder.pid


def another_owner(ward: Ward) -> None:
    os.chown(ward.workspace.state / "initialised", 12345, -1)


def needs_root() -> str:
    return "" if os.geteuid() == 0 else "only root gives a file away"


def config(text: str) -> Callable[[Ward], object]:
    return lambda ward: ward.config(text)


def remove(path: Callable[[Workspace], Path]) -> Callable[[Ward], object]:
    return lambda ward: path(ward.workspace).unlink()


OFFLINE: tuple[Fault, ...] = (
    Fault(name="port held by another process", part="port", plant=hold_port),
    Fault(name="database key not in the keychain", part="database key", plant=lose_key),
    Fault(name="clock set back", part="clock", plant=set_clock_back, played=True, quick=True),
    Fault(name="page of a database flipped", part="databases", plant=flip_page),
    Fault(name="plain database", part="database encryption", plant=plain_database),
    Fault(name="database gone", part="database encryption", plant=remove(lambda it: it.coordinator_db)),
    Fault(name="rights of .quantum", part="file rights", plant=open_rights(lambda it: it.state, 0o750), quick=True),
    Fault(
        name="rights of a database", part="file rights", plant=open_rights(lambda it: it.safety_db, 0o644), quick=True
    ),
    Fault(
        name="rights of a token's file",
        part="file rights",
        plant=open_rights(lambda it: next(it.credentials.glob("*.json")), 0o640),
        quick=True,
    ),
    Fault(name="rights of the sockets", part="sockets", plant=open_sockets, quick=True),
    Fault(name="stale socket", part="sockets", mark="WARN", plant=stale_socket, quick=True),
    Fault(name="stale runtime.json", part="left over", mark="WARN", plant=stale_runtime, quick=True),
    Fault(name="damaged runtime.json", part="left over", plant=damaged_runtime, quick=True),
    Fault(name="lock held by another process", part="left over", plant=hold_lock, quick=True),
    Fault(
        name="old SQLite",
        part="sqlite",
        plant=old_sqlite,
        before='export PYTHONPATH="$PWD/../old:$PYTHONPATH"',
    ),
    Fault(name="service credential missing", part="service credentials", plant=lose_credential),
    Fault(name="certificate expired", part="certificates", plant=old_authority),
    Fault(name="record of the keychain missing", part="keychain", plant=remove(lambda it: it.keychain_record)),
    Fault(name="unknown setting", part="settings", plant=config('{"cpu_limit": 80, "cpu_limits": 3}')),
    Fault(name="setting out of bounds", part="settings", plant=config('{\n  "cpu_limit": 800,\n  "prefetch": 9\n}\n')),
    Fault(name="configuration is no JSON", part="settings", plant=config('{"cpu_limit": [80}')),
    Fault(name="slip in a variable", part="settings", before="export QUANTUM_CPU_LIMITT=3"),
    Fault(name="projects file broken", part="projects", plant=projects("[projects\n"), quick=True),
    Fault(name="folder of a project gone", part="projects", plant=projects('[projects]\nGone = "/nowhere/at/all"\n')),
    Fault(
        name="prices are no TOML",
        part="spend files",
        plant=lambda ward: (ward.workspace.root / "config" / "prices.toml").write_text("= 3"),
        quick=True,
    ),
    Fault(
        name="alert channels broken",
        part="alert channels",
        plant=lambda ward: ward.workspace.alert_config.write_text('{"channels": '),
        quick=True,
    ),
    Fault(name="folder in place of an export", part="exports", plant=folder_for_export, quick=True),
    Fault(name="logs is a file", part="logs", plant=file_for_logs, quick=True),
    Fault(name=".gitignore lacks lines", part="version control", mark="WARN", plant=forget_ignored),
    Fault(name="file of another user", part="file owner", plant=another_owner, needs=needs_root, quick=True),
    Fault(name="too few open files", part="open files", before="ulimit -S -n 100", quick=True),
    Fault(
        name="disk full",
        part="disk",
        before="mount -t tmpfs -o size=40m tmpfs ../small && cp -a . ../small/ && mount --bind ../small . && "
        'cd "$PWD" && export QUANTUM_DISK_FREE_BYTES_MIN=8MB && fallocate -l 34M logs/agent_hello.log.1',
        needs=needs_root,
        mounts=True,
    ),
    Fault(name="installation gone", part="runbook names", mark="WARN", plant=lose_installation),
    Fault(name="folder of the sockets cannot be made", part="sockets", before="export XDG_RUNTIME_DIR=/proc/nowhere"),
)
