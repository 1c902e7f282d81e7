"""TLS for gRPC over TCP: 1.3 or nothing, both sides known by certificates of the workspace's own authority."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from types import MappingProxyType

import grpc

from foundation.auth import caller_or_none
from foundation.errors import Denied, Internal, Invalid, NotFound
from foundation.identity import Identity, IdentityFile, role_uri
from foundation.log import Logger
from foundation.rpc import ONLY_TLS_1_3
from foundation.rpc.concerns import Call, Concern
from foundation.workspace import Workspace

_LOCAL_ONLY = "/grpc.reflection."
_BOUND_ROLES = ("runner", "join")
NO_ROLES: Mapping[str, frozenset[str]] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class TcpDoor:
    """Where a server listens beside its socket, who it is there, and which roles of which workspace may come in."""

    host: str
    port: int
    """0 takes a free one."""
    identity: IdentityFile
    workspace_key: str
    roles: frozenset[str]
    narrow: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """Roles that may call these methods alone; the others may call whatever their token allows."""

    @property
    def address(self) -> str:
        """`host:port`, in brackets where the host is an IPv6 address."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_listen(text: str, setting: str) -> tuple[str, int]:
    """The host and port of a setting like `0.0.0.0:5006` or `[::]:5006`; raises Invalid, naming the setting."""
    host, colon, port = text.rpartition(":")
    if not colon or not host or not port.isdecimal() or int(port) > 65_535:
        raise Invalid(
            "bad_address", f"{setting} is “{text}”, which is no address.", remedy="Write it like 0.0.0.0:5006."
        )
    return host.removeprefix("[").removesuffix("]"), int(port)


def door_of(
    workspace: Workspace,
    role: str,
    listen: str,
    *,
    roles: Iterable[str],
    narrow: Mapping[str, frozenset[str]] = NO_ROLES,
) -> TcpDoor | None:
    """The door of a service by its setting `<role>_listen`; None where that is empty. Raises Invalid."""
    if not listen:
        return None
    host, port = parse_listen(listen, f"{role}_listen")
    return TcpDoor(
        host=host,
        port=port,
        identity=IdentityFile(workspace.identity(role)),
        workspace_key=workspace.key12,
        roles=frozenset(roles),
        narrow=narrow,
    )


def server_credentials(file: IdentityFile, logger: Logger) -> grpc.ServerCredentials:
    """Credentials that demand a certificate of the same authority, and look at the file again at each handshake.

    A new connection is shaken with what is in the file then; those that are open stay as they are. While the file
    cannot be read, the identity that was read last goes on.
    """

    def configuration(identity: Identity) -> grpc.ServerCertificateConfiguration:
        return grpc.ssl_server_certificate_configuration(
            [(identity.key, identity.certificate)], root_certificates=identity.authority
        )

    served = file.current()
    shown = configuration(served)

    def renewed() -> grpc.ServerCertificateConfiguration:
        nonlocal served, shown
        try:
            found = file.current()
        except (NotFound, Invalid, OSError) as error:
            logger.error(f"The identity could not be read again: {error}", action="identity_unread")
            return shown
        if found != served:
            served, shown = found, configuration(found)
        return shown

    return grpc.dynamic_ssl_server_credentials(shown, renewed, require_client_authentication=True)


def require_role(door: TcpDoor) -> Concern:
    """Let a call over TCP in when its certificate is of this workspace and of a role that may come in there."""
    welcome = {role: role_uri(door.workspace_key, role, "") for role in sorted(door.roles)}

    @asynccontextmanager
    async def around(call: Call) -> AsyncIterator[None]:
        if not call.context.peer().startswith("unix:"):
            if call.method.startswith(_LOCAL_ONLY):
                raise Denied("only_on_the_socket", f"{call.method} is answered on the local socket alone.")
            role = _welcome_role(call, welcome)
            if call.method not in door.narrow.get(role, (call.method,)):
                raise Denied("role_too_narrow", f"{call.method} is not for a certificate of the role {role}.")
        yield

    return around


def require_bound(workspace_key: str) -> Concern:
    """Let a runner that joined in with its own certificate and its own credential together, and with neither alone.

    So for an invitation. To stand inside `authenticate`: the token is bound to a name, and the certificate shows one.
    """
    prefixes = tuple(role_uri(workspace_key, role, "") for role in _BOUND_ROLES)

    @asynccontextmanager
    async def around(call: Call) -> AsyncIterator[None]:
        caller = caller_or_none()
        if caller is not None:
            shown = {uri.rpartition("/")[2] for uri in _uris(call) if uri.startswith(prefixes)}
            bound = {caller.runner} if caller.runner else set()
            if shown != bound:
                raise Denied(
                    "not_bound_together",
                    f"The token of {caller.name} and the certificate of this connection are not of the same runner.",
                    remedy="A runner's credential is good beside its own certificate alone, over TCP.",
                )
        yield

    return around


def _uris(call: Call) -> list[str]:
    return [uri.decode(errors="replace") for uri in call.context.auth_context().get("peer_uri", ())]


def _welcome_role(call: Call, welcome: Mapping[str, str]) -> str:
    shown = call.context.auth_context()
    if list(shown.get("ssl_tls_version", ())) != [b"TLSv1.3"]:
        raise Denied("tls_too_old", "This connection is not of TLS 1.3, and nothing else is spoken here.")
    uris = _uris(call)
    for role, prefix in welcome.items():
        if any(uri.startswith(prefix) for uri in uris):
            return role
    raise Denied(
        "role_not_welcome",
        f"The certificate of {_shown(uris)} is not of a role that may come in here.",
        remedy="`quantum ca issue --role …` makes one of the right role.",
    )


def _shown(uris: Iterable[str]) -> str:
    return ", ".join(uris) or "this caller"


def require_tls_1_3_only() -> None:
    """Raise Internal when grpc was loaded before it could be told to speak TLS 1.3 alone: set later, it is ignored."""
    if os.environ.get("GRPC_SSL_CIPHER_SUITES") != ONLY_TLS_1_3:
        raise Internal(
            "tls_1_2_not_off",
            "GRPC_SSL_CIPHER_SUITES is set to something else, which would let TLS 1.2 in.",
            remedy="Unset it and start again.",
        )
