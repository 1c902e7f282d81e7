"""Looks from outside at which versions of TLS a port of ours agrees on."""

from __future__ import annotations

import socket
import ssl
from pathlib import Path

from foundation.errors import Internal

_HANDSHAKE_SECONDS = 5.0


def prove_no_tls_1_2(host: str, port: int, identity: Path) -> None:
    """Try a handshake of TLS 1.2 and one of 1.3 on our own port; raise Internal unless only the second finds a partner.

    `host` may be the address of all interfaces. The proof is the handshake itself: a variable that was set too late, or
    another version of grpc, would silently let 1.2 in. It shows the certificate in `identity`: without one, 1.2 is
    refused for the want of it.
    """
    target = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    if _shakes_hands(target, port, identity, ssl.TLSVersion.TLSv1_2):
        raise Internal("tls_1_2_accepted", f"Port {port} accepts TLS 1.2, so it is not opened.")
    if not _shakes_hands(target, port, identity, ssl.TLSVersion.TLSv1_3):
        raise Internal("tls_1_3_refused", f"Port {port} does not answer a handshake of TLS 1.3, so it is not opened.")


def _shakes_hands(host: str, port: int, identity: Path, version: ssl.TLSVersion) -> bool:
    """Whether the server of a port agrees on this version with somebody who has a certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.load_cert_chain(identity)
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.set_alpn_protocols(["h2"])
    context.minimum_version = context.maximum_version = version
    try:
        with (
            socket.create_connection((host, port), timeout=_HANDSHAKE_SECONDS) as bare,
            context.wrap_socket(bare) as connection,
        ):
            return connection.version() is not None
    except (ssl.SSLError, ConnectionResetError):
        return False
