"""Where secrets are kept: the operating system's keychain, else encrypted files; it always says which."""

from __future__ import annotations

import hashlib
import json
import os
import sys
import tempfile
import time
from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar

from foundation.clock import Clock
from foundation.errors import Conflict, Denied, Internal, Invalid, QuantumError, Unavailable
from foundation.files import atomic_write, sync, sync_directory, write_all
from foundation.ids import random_bytes
from foundation.workspace import Workspace

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    from keyring.backend import KeyringBackend

USER_TOKEN = "quantum-auth"
"""Service name of the user's token; account = the workspace's root. The runbook looks for this very label."""
DATABASE_KEY = "quantum-key"
"""Service name of the databases' key, 64 hex digits; account = the workspace's root."""
AUDIT_KEY = "quantum-audit"
"""Service name of the key that seals the audit log, 64 hex digits; account = the workspace's root. Not derived from
the databases' key, so that whoever can write the databases cannot write records that safety would take for its own."""
KEY_BYTES = 32
"""How long each of the two is, and the key of the file keychain."""
AGENT_SECRET = "quantum-secret"
"""Service name of what people have put there for agents and alert channels; account = `service_account(…, name)`."""
AUTHORITY_KEY = "quantum-authority"
"""Service name of the key with which the workspace's authority signs certificates, PEM; account = its root."""
SERVICE_TOKEN = "quantum-service"
"""Service name of a service's own token; account = `service_account(…)`."""
RUNNER_KEY = "quantum-runner"
"""Service name of the private key of a runner that joined, PEM; account = its folder. It never leaves that host."""

T = TypeVar("T")

_FILE, _MACOS, _SECRET_SERVICE = "file", "macos-keychain", "secret-service"
_WISHES = ("auto", "os", "file")

_NONCE_BYTES = 12


def user_account(workspace: Workspace) -> str:
    """The account of the user's token and of the databases' key: the workspace's root."""
    return str(workspace.root)


def next_key_account(workspace: Workspace) -> str:
    """The account of the databases' key that is to take the present one's place, while that is being done."""
    return f"{workspace.root}#next"


def service_account(workspace: Workspace, service: str) -> str:
    """The account of a service's own token."""
    return f"{workspace.root}#{service}"


class SecretStore(Protocol):
    """Keeps short texts under (service, account)."""

    @property
    def describe(self) -> str:
        """Where the secrets lie, for people: `macOS Keychain`, `Secret Service`, `file …`."""
        ...

    def get(self, service: str, account: str) -> str | None:
        """The secret, None when there is none; raises Unavailable when the store is locked or away."""
        ...

    def set(self, service: str, account: str, secret: str) -> None:
        """Keeps a secret, in place of the one that was there; returns once it is kept."""
        ...

    def delete(self, service: str, account: str) -> None:
        """Forgets a secret; does nothing when there is none."""
        ...


class KeyringStore:
    """The operating system's keychain, through one backend of `keyring` and never its chain of fall-backs."""

    def __init__(self, backend: KeyringBackend, name: str, ready: Callable[[], bool] = lambda: True) -> None:
        """`ready` tells whether it is unlocked; asked before each use: a locked one waits for a person."""
        self._backend = backend
        self._name = name
        self._ready = ready

    @property
    def describe(self) -> str:
        """The keychain's own name."""
        return self._name

    def get(self, service: str, account: str) -> str | None:
        """The secret or None; on macOS None for a moment while somebody sets it, see `wait_for_secret`."""
        return self._reach(lambda: self._backend.get_password(service, account))

    def set(self, service: str, account: str, secret: str) -> None:
        """Keeps a secret."""
        self._reach(lambda: self._backend.set_password(service, account, secret))

    def delete(self, service: str, account: str) -> None:
        """Forgets a secret."""
        if self.get(service, account) is not None:
            self._reach(lambda: self._backend.delete_password(service, account))

    def _reach(self, work: Callable[[], T]) -> T:
        try:
            if not self._ready():
                raise Unavailable(
                    "keychain_locked",
                    f"The keychain ({self._name}) is locked or has no default collection.",
                    remedy="Unlock it, by logging in to the desktop or with its own tool, and try again.",
                )
            return work()
        except QuantumError:
            raise
        except Exception as error:  # every backend has exceptions of its own, D-Bus ones among them
            raise Unavailable(
                "keychain_unavailable",
                f"The keychain ({self._name}) did not answer: {str(error) or type(error).__name__}.",
            ) from error


class FileStore:
    """One encrypted file per secret (AES-256-GCM) and beside them the key, all of mode 0600.

    This keeps a secret from whoever gets hold of a single file, and shows when one was edited; it does not
    keep it from whoever can read the whole folder as this user.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._key_file = folder / "key"

    @property
    def describe(self) -> str:
        """The folder, and how the secrets lie there."""
        return f"file {self._folder} (AES-256-GCM, key beside it)"

    def get(self, service: str, account: str) -> str | None:
        """The secret or None; raises Internal when its file was damaged or belongs to another key."""
        from cryptography.exceptions import InvalidTag

        path = self._path(service, account)
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            return None
        try:
            sealed = b64decode(json.loads(content)["sealed"], validate=True)
            nonce, text = sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:]
            return self._cipher().decrypt(nonce, text, _bound_to(service, account)).decode()
        except (ValueError, KeyError, TypeError, InvalidTag):
            raise Internal("secret_unreadable", f"The secret in {path} is damaged or of another key.") from None

    def set(self, service: str, account: str, secret: str) -> None:
        """Keeps a secret; durable on return."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Looked at in this order, because the key is made before the first secret is kept: whoever sees a
        # secret and then no key sees a lost one, for which a new one would be no help.
        empty = not any(self._folder.glob("*.json"))
        if empty and not self._key_file.exists():
            self._make_key()
        nonce = random_bytes(_NONCE_BYTES)
        sealed = nonce + self._cipher().encrypt(nonce, secret.encode(), _bound_to(service, account))
        content = {"service": service, "account": account, "sealed": b64encode(sealed).decode()}
        atomic_write(self._path(service, account), json.dumps(content, ensure_ascii=False).encode(), 0o600)

    def delete(self, service: str, account: str) -> None:
        """Forgets a secret; durable on return."""
        try:
            self._path(service, account).unlink()
        except FileNotFoundError:
            return
        sync_directory(self._folder)

    def _path(self, service: str, account: str) -> Path:
        # A hash, because an account is a path: too long for a name, and full of slashes.
        return self._folder / f"{hashlib.sha256(_bound_to(service, account)).hexdigest()[:32]}.json"

    def _cipher(self) -> AESGCM:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        try:
            status = self._key_file.stat()
            key = self._key_file.read_bytes()
        except FileNotFoundError:
            raise Internal(
                "secret_key_missing", f"The key file {self._key_file} of the stored secrets is gone."
            ) from None
        if status.st_mode & 0o077:
            raise Denied(
                "secret_key_exposed",
                f"Others can read the key file {self._key_file}, so it is not used.",
                remedy=f"chmod 600 {self._key_file}, and rotate the tokens if somebody may have read it.",
            )
        if len(key) != KEY_BYTES:
            raise Internal("secret_key_damaged", f"The key file {self._key_file} does not hold {KEY_BYTES} bytes.")
        return AESGCM(key)

    def _make_key(self) -> None:
        """Makes the key file whole or not at all; when two do so at once, the first one's stays."""
        descriptor, scrap = tempfile.mkstemp(prefix=".key.", dir=self._folder)
        try:
            try:
                write_all(descriptor, random_bytes(KEY_BYTES))
                sync(descriptor)
            finally:
                os.close(descriptor)
            with suppress(FileExistsError):
                os.link(scrap, self._key_file)
        finally:
            os.unlink(scrap)
        sync_directory(self._folder)


def open_secret_store(workspace: Workspace, environ: Mapping[str, str]) -> SecretStore:
    """The store of this workspace: the one on record; at first use the OS keychain, without one files.

    `QUANTUM_KEYCHAIN` = `auto` (as said), `os` (Unavailable when there is no real keychain) or `file` decides
    at the first use; later it must agree with the record: secrets do not move by themselves (Conflict).
    """
    wish = environ.get("QUANTUM_KEYCHAIN") or "auto"
    if wish not in _WISHES:
        raise Invalid("bad_keychain", f"QUANTUM_KEYCHAIN is “{wish}”; it can be {', '.join(_WISHES)}.")
    recorded = _read_record(workspace)
    if recorded is not None:
        if wish not in ("auto", "file" if recorded == _FILE else "os"):
            raise Conflict(
                "other_keychain",
                f"This workspace keeps its secrets in “{recorded}”, but QUANTUM_KEYCHAIN is “{wish}”.",
                remedy="Unset QUANTUM_KEYCHAIN; the store is picked once, at quantum init.",
            )
        return _open(recorded, workspace)
    picked = _FILE if wish == "file" else _os_keychain()
    if picked is None:
        if wish == "os":
            raise Unavailable(
                "no_keychain",
                "There is no unlocked keychain of the operating system here.",
                remedy="QUANTUM_KEYCHAIN=file keeps the secrets in encrypted files instead.",
            )
        picked = _FILE
    store = _open(picked, workspace)
    if workspace.state.is_dir():
        atomic_write(workspace.keychain_record, f"{picked}\n".encode(), 0o600)
    return store


def wait_for_secret(
    store: SecretStore,
    service: str,
    account: str,
    *,
    within: timedelta,
    clock: Clock,
    pause: Callable[[float], object] = time.sleep,
) -> str | None:
    """The secret, asked for again until `within` has passed; None when it is not there even then.

    On macOS a set deletes and adds anew, so that one None is not absence.
    """
    deadline = clock.boottime() + within.total_seconds()
    while (secret := store.get(service, account)) is None and clock.boottime() < deadline:
        pause(0.1)
    return secret


def _bound_to(service: str, account: str) -> bytes:
    return f"{service}\0{account}".encode()


def _read_record(workspace: Workspace) -> str | None:
    try:
        recorded = workspace.keychain_record.read_text().strip()
    except FileNotFoundError:
        return None
    if recorded not in (_FILE, _MACOS, _SECRET_SERVICE):
        raise Internal(
            "bad_keychain_record", f"{workspace.keychain_record} says “{recorded}”, which is no secret store."
        )
    return recorded


def _open(name: str, workspace: Workspace) -> SecretStore:
    """Opens a store by its recorded name. The modules of keychains are slow to import: only users pay."""
    if name == _MACOS:
        from keyring.backends import macOS

        return KeyringStore(macOS.Keyring(), "macOS Keychain")  # type: ignore[no-untyped-call]
    if name == _SECRET_SERVICE:
        from keyring.backends import SecretService

        backend = SecretService.Keyring()  # type: ignore[no-untyped-call]
        return KeyringStore(backend, "Secret Service", _secret_service_unlocked)
    return FileStore(workspace.credentials)


def _os_keychain() -> str | None:
    """The name of the keychain that can be used here and now without asking a person, None without one."""
    if sys.platform == "darwin":
        return _MACOS
    try:
        return _SECRET_SERVICE if _secret_service_unlocked() else None
    except Exception:  # noqa: BLE001 - no D-Bus, no daemon, no default collection: each has its own
        return None


def _secret_service_unlocked() -> bool:
    import secretstorage

    with closing(secretstorage.dbus_init()) as connection:
        return not secretstorage.Collection(connection).is_locked()
