"""One archive for a bug report: what `doctor` found, versions, settings, counts, the ends of logs; never a secret."""

from __future__ import annotations

import getpass
import io
import json
import os
import platform
import re
import socket
import sys
import tarfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from cli.doctor.findings import Finding
from cli.doctor.subject import Subject
from cli.output.documents import documents
from cli.session import Session
from foundation.errors import Conflict, QuantumError
from foundation.files import write_all
from foundation.known_settings import KNOWN
from foundation.masking import forms_of, masked
from foundation.secrets import (
    AGENT_SECRET,
    AUDIT_KEY,
    AUTHORITY_KEY,
    DATABASE_KEY,
    SERVICE_TOKEN,
    USER_TOKEN,
    SecretStore,
    next_key_account,
    service_account,
    user_account,
)
from foundation.settings import explain
from foundation.tokens import mask
from foundation.workspace import Workspace

LOG_LINES, LOG_BYTES = 300, 256 * 1024
"""Of each log its end, at most so much."""
_READ_ME = """This archive holds what a bug report about Quantum needs.

Secrets were taken out in every form that we know of: those of this workspace's keychain, and whatever looks like one.
So were the names of your home, your user and your machine. The output of agents, params of tasks and reports are not
in it. Look through it before you send it.
"""
_OPAQUE = re.compile(rb"(?<![A-Za-z0-9_-])(?=[A-Za-z0-9_-]*[0-9])(?=[A-Za-z0-9_-]*[A-Za-z])[A-Za-z0-9_-]{16,}")
_BASE64 = re.compile(rb"[A-Za-z0-9+/]{32,}={0,2}")
_OUR_ID = re.compile(rb"[0-7][0-9A-HJKMNP-TV-Z]{25}")
_NAMED = re.compile(
    rb"""(?i)((?:token|secret|passw(?:or)?d|passphrase|api[_-]?key|authorization|cookie|credential)[a-z_]*["']?\s*[:=]\s*(?:bearer\s+|basic\s+)?["']?)[^\s"',;&}]+"""
)
_IN_URL = re.compile(rb"(://)[^/\s:@]+:[^/\s@]+@")
_PEM = re.compile(rb"-----BEGIN [A-Z ]+-----.*?-----END [A-Z ]+-----", re.DOTALL)
_CUT = "•••".encode()


def write_bundle(session: Session, found: Sequence[Finding], path: Path) -> dict[str, Any]:
    """Write the archive, for its user alone; its path, and each file in it with its bytes.

    What cannot be asked is left out and says why. Raises Conflict when there is something at `path`.
    """
    subject = Subject(session)
    clean = _cleaner(subject)
    parts = {name: clean(content) for name, content in _parts(subject, found)}
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        raise Conflict("bundle_exists", f"{path} exists already.", remedy="Name another file after --bundle.") from None
    try:
        write_all(descriptor, _packed(parts))
    finally:
        os.close(descriptor)
    return {"path": str(path), "files": {name: len(content) for name, content in parts.items()}}


def _packed(parts: Mapping[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for name, content in parts.items():
            entry = tarfile.TarInfo(f"quantum-report/{name}")
            entry.size, entry.mode = len(content), 0o600
            archive.addfile(entry, io.BytesIO(content))
    return packed.getvalue()


def _parts(subject: Subject, found: Sequence[Finding]) -> Iterator[tuple[str, bytes]]:
    yield "README.txt", _READ_ME.encode()
    yield "doctor.json", _json(documents(found))
    yield "versions.json", _json(_versions())
    if subject.workspace is None:
        return
    yield "settings.json", _json(_told(lambda: _settings(subject)))
    yield "files.json", _json(_told(lambda: _files(subject.here)))
    yield "counts.json", _json(_told(lambda: _counts(subject)))
    for path in sorted([*subject.here.logs.glob("*.out"), subject.here.system_log]):
        if path.is_file():
            yield f"logs/{path.name}", _end_of(path)


def _json(document: object) -> bytes:
    return f"{json.dumps(document, indent=2, ensure_ascii=False)}\n".encode()


def _told(ask: Callable[[], object]) -> object:
    try:
        return ask()
    except QuantumError as error:
        return {"not_known": error.message}
    except OSError as error:
        return {"not_known": str(error)}


def _versions() -> dict[str, object]:
    packages = {
        name: _version(name) for name in ("quantum", "grpcio", "protobuf", "apsw-sqlite3mc", "flask", "granian")
    }
    return {"python": sys.version, "platform": platform.platform(), "processors": os.cpu_count(), "packages": packages}


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _settings(subject: Subject) -> object:
    """Those that are set, of those that we know; what else stands in the file may be anything, and is not told."""
    every = explain(environ=subject.session.environ, workspace=subject.workspace)
    return {
        one.name: {"value": one.value, "origin": one.origin}
        for one in every
        if one.origin != "default" and one.name in KNOWN
    }


def _files(workspace: Workspace) -> object:
    """What lies at the top of `.quantum` and of the logs: name, rights, bytes."""
    places = [*sorted(workspace.state.glob("*")), *sorted(workspace.logs.glob("*"))]
    return {
        str(path.relative_to(workspace.root)): {
            "mode": f"{path.lstat().st_mode & 0o7777:o}",
            "bytes": path.lstat().st_size,
        }
        for path in places
    }


def _counts(subject: Subject) -> object:
    """Figures, and how the processes are; no name of a task, no param, no output."""
    running = subject.running
    if running is None:
        return {"running": False}
    alive = running.alive
    processes = {name: name in alive for name in ("up", *running.processes)}
    with subject.session.connected() as connected:
        stats = connected.call(connected.coordinator.queue_stats())
        agents = connected.call(connected.coordinator.list_agents())
        breakers = connected.call(connected.safety.list_breakers(not_closed=True))
        mode = connected.call(connected.safety.get_mode())
    return {
        "running": True,
        "processes_alive": processes,
        "mode": mode.mode,
        "tasks": {state.value: number for state, number in stats.counts.items() if number},
        "runners": len(stats.runners),
        "agents": dict(Counter(agent.state.value for agent in agents)),
        "breakers_not_closed": dict(Counter(one.state for one in breakers)),
        "store_bytes": stats.store_bytes,
        "disk_free_bytes": stats.disk_free_bytes,
    }


def _end_of(path: Path) -> bytes:
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - LOG_BYTES))
        lines = file.read(LOG_BYTES).splitlines(keepends=True)
    # The first may have lost its beginning, and with it what a secret in it is known by.
    whole = lines[1:] if path.stat().st_size > LOG_BYTES else lines
    return b"".join(whole[-LOG_LINES:])


def _cleaner(subject: Subject) -> Callable[[bytes], bytes]:
    """What takes out of a text whatever must not leave this machine."""
    held = tuple(dict.fromkeys(_secrets(subject)))
    forms = forms_of(held) if held else None
    names = _names(subject)

    def clean(content: bytes) -> bytes:
        text = masked(content, forms) if forms is not None else content
        text = mask(_PEM.sub(_CUT, text).decode(errors="replace")).encode()
        text = _IN_URL.sub(rb"\1" + _CUT + b"@", _NAMED.sub(rb"\1" + _CUT, text))
        for name, stand_in in names:
            text = name.sub(stand_in, text)
        text = _OPAQUE.sub(lambda found: found[0] if _OUR_ID.fullmatch(found[0]) else _CUT, text)
        return _BASE64.sub(lambda found: found[0] if _is_path(found[0]) else _CUT, text)

    return clean


def _is_path(text: bytes) -> bool:
    """Whether what could be base64 is a path: no part of it mixes small and capital letters with digits."""
    parts = text.split(b"/")
    mixed = [
        part for part in parts if re.search(rb"[a-z]", part) and re.search(rb"[A-Z]", part) and re.search(rb"\d", part)
    ]
    return len(parts) > 1 and not mixed


def _names(subject: Subject) -> list[tuple[re.Pattern[bytes], bytes]]:
    """What tells who you are: the folders of the workspace and of your home, your name and your machine's."""
    user, host = getpass.getuser(), socket.gethostname()
    folders = [(str(Path.home()), b"~")]
    if subject.workspace is not None:
        folders.insert(0, (str(subject.workspace.root), b"<workspace>"))
    found = [(re.compile(re.escape(os.fsencode(folder))), stand_in) for folder, stand_in in folders if len(folder) > 1]
    for name, stand_in in ((user, b"<user>"), (host, b"<host>")):
        if name and name != "root":  # a word of its own, in every log of every machine
            found.append((re.compile(rb"(?<![A-Za-z0-9])" + re.escape(name.encode()) + rb"(?![A-Za-z0-9])"), stand_in))
    return found


def _secrets(subject: Subject) -> Iterator[str]:
    """Every secret that the keychain of this workspace gives out, in the ways in which people write them."""
    store = subject.secrets
    if store is None or subject.workspace is None:
        return
    here, account = subject.workspace, user_account(subject.workspace)
    places = [(kind, account) for kind in (USER_TOKEN, DATABASE_KEY, AUDIT_KEY, AUTHORITY_KEY)]
    places.append((DATABASE_KEY, next_key_account(here)))
    places += [(SERVICE_TOKEN, service_account(here, name)) for name in ("coordinator", "safety", "runner", "gateway")]
    names = sorted(path.name for path in here.secret_names.glob("*")) if here.secret_names.is_dir() else []
    places += [(AGENT_SECRET, service_account(here, name)) for name in names]
    for kind, of in places:
        secret = _get(store, kind, of)
        if not secret:
            continue
        yield secret
        if kind in (DATABASE_KEY, AUDIT_KEY):
            yield secret.upper()
            yield "-".join(secret[at : at + 8] for at in range(0, len(secret), 8))
    if here.hooks_token.is_file():
        yield here.hooks_token.read_text(errors="replace").strip()


def _get(store: SecretStore, kind: str, account: str) -> str | None:
    try:
        return store.get(kind, account)
    except QuantumError:
        return None  # its line of `doctor` says so
