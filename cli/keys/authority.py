"""The workspace's authority: its key in the keychain, and the identities of those services that speak over TCP."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from foundation.addresses import is_loopback, is_wildcard, names_in
from foundation.files import atomic_write
from foundation.secrets import AUTHORITY_KEY, SecretStore, user_account
from foundation.settings import load
from foundation.signing_apart import open_authority
from foundation.workspace import Workspace

if TYPE_CHECKING:
    from foundation.authority import Certificate

_LOOPBACK_HOSTS = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True, slots=True, kw_only=True)
class TcpSettings:
    """Who listens beyond its socket, and by which names it is known there."""

    coordinator_listen: str
    safety_listen: str
    gateway_host: str
    gateway_names: str

    @property
    def roles(self) -> tuple[str, ...]:
        """The services that need an identity."""
        listens = {
            "coordinator": bool(self.coordinator_listen),
            "safety": bool(self.safety_listen),
            "gateway": not is_loopback(self.gateway_host),
        }
        return tuple(role for role, needed in listens.items() if needed)

    @property
    def gateway_hosts(self) -> tuple[str, ...]:
        """What a browser may write to reach the gateway."""
        own = () if is_wildcard(self.gateway_host) else (self.gateway_host,)
        return tuple(dict.fromkeys((*names_in(self.gateway_names), *own, *_LOOPBACK_HOSTS)))


def make_authority(workspace: Workspace, secrets: SecretStore, *, now: datetime) -> bool:
    """Make the authority where there is none; True when it was made. What was issued stays good as long as its key is
    there: a certificate that was lost, or is of another key since a crash, is written anew for the key in the keychain.
    """
    from foundation.authority import Authority

    account = user_account(workspace)
    key = secrets.get(AUTHORITY_KEY, account)
    signer = None if key is None else key.encode()
    if (
        signer is not None
        and workspace.authority.exists()
        and Authority(signer, workspace.authority.read_bytes()).whole
    ):
        return False
    made = Authority.make(workspace.key12, now=now, signer=signer)
    workspace.authority.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if signer is None:
        secrets.set(AUTHORITY_KEY, account, made.key.decode())
    atomic_write(workspace.authority, made.certificate, 0o644)
    return True


def renew_identities(
    workspace: Workspace, secrets: SecretStore, environ: Mapping[str, str], *, now: datetime, always: bool = False
) -> list[Certificate]:
    """Write an identity for each service that speaks over TCP and has none, or one past half of its life.

    Returns what was written; nothing, and no keychain asked, where nobody listens beyond this machine's sockets.
    Services take the new one with their next handshake; the gateway when it is started again, as `up` then does.
    """
    settings = load(TcpSettings, environ=environ, workspace=workspace)
    due = [role for role in settings.roles if always or _is_due(workspace, role, now)]
    if not due:
        return []
    from foundation.authority import describe

    make_authority(workspace, secrets, now=now)
    authority = open_authority(workspace, secrets)
    written = []
    for role in due:
        hosts = settings.gateway_hosts if role == "gateway" else ()
        pem = authority.issue(workspace.key12, role, "local", now=now, hosts=hosts)
        atomic_write(workspace.identity(role), pem, 0o600)
        written.append(describe(pem))
    return written


def _is_due(workspace: Workspace, role: str, now: datetime) -> bool:
    from foundation.authority import describe

    try:
        return now >= describe(workspace.identity(role).read_bytes()).half_life_at()
    except FileNotFoundError:
        return True
