"""Looks for secrets byte for byte: in every file of a system, in the arguments and environments of its processes."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil

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
from tests.acceptance.system import System

SERVICES = ("coordinator", "safety", "runner", "gateway")


@dataclass(frozen=True, slots=True, order=True)
class Find:
    """A secret, and where it was found: a file's path in the system's folder, or what of which process."""

    secret: str
    place: str


def secrets_of(system: System) -> dict[str, str]:
    """Every secret that `quantum init` made, by name."""
    store, account = open_secret_store(system.workspace, system.environ), user_account(system.workspace)
    found = {
        "user token": store.get(USER_TOKEN, account),
        "database key": store.get(DATABASE_KEY, account),
        "audit key": store.get(AUDIT_KEY, account),
        **{
            f"{service}'s token": store.get(SERVICE_TOKEN, service_account(system.workspace, service))
            for service in SERVICES
        },
        "authority key": _body(store.get(AUTHORITY_KEY, account)),
    }
    missing = [name for name, secret in found.items() if not secret]
    assert not missing, f"there is no {missing}"
    return {name: secret for name, secret in found.items() if secret}


def in_files(folder: Path, secrets: Mapping[str, str]) -> set[Find]:
    """Which of them are in which file below a folder."""
    found = set()
    for path in sorted(folder.rglob("*")):
        if path.is_symlink() or not path.is_file():
            continue
        content = path.read_bytes()
        found |= {Find(name, str(path.relative_to(folder))) for name in _in(content, secrets)}
    return found


def in_processes(system: System, secrets: Mapping[str, str]) -> set[Find]:
    """Which of them are in the arguments or the environment of any process of the system, agents' among them."""
    found = set()
    for process in _processes(system):
        try:
            arguments, environment = process.cmdline(), process.environ()
        except psutil.NoSuchProcess:
            continue
        label = f"pid {process.pid} ({' '.join(arguments[1:4])})"
        found |= {Find(name, f"argv of {label}") for name in _in("\0".join(arguments).encode(), secrets)}
        content = "\0".join(f"{name}={value}" for name, value in environment.items()).encode()
        found |= {Find(name, f"environment of {label}") for name in _in(content, secrets)}
    return found


def _processes(system: System) -> Iterator[psutil.Process]:
    """Services are told their workspace by argument or environment, agents find it in their environment."""
    root = str(system.root)
    for process in psutil.process_iter():
        try:
            belongs = process.environ().get("QUANTUM_WORKSPACE") == root or root in process.cmdline()
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
        if belongs:
            yield process


def _in(content: bytes, secrets: Mapping[str, str]) -> Iterator[str]:
    for name, secret in secrets.items():
        if any(form in content for form in _forms(secret)):
            yield name


def _forms(secret: str) -> Iterator[bytes]:
    """As it is, as base64, and, of hexadecimal digits, as the bytes that they stand for."""
    yield secret.encode()
    yield base64.b64encode(secret.encode()).rstrip(b"=")[:-1]
    if len(secret) % 2 == 0 and all(letter in "0123456789abcdef" for letter in secret):
        yield bytes.fromhex(secret)


def _body(pem: str | None) -> str | None:
    """The longest line of a PEM: its head and foot are no secret."""
    return max(pem.splitlines(), key=len) if pem else None
