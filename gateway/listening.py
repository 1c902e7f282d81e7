"""Takes the gateway's port; on loopback also that of ::1, so that nobody else sits there."""

from __future__ import annotations

import errno
import socket

from foundation.errors import Conflict, Denied, Invalid

LOOPBACK = "127.0.0.1"


def claim_port(host: str, port: int) -> tuple[int, socket.socket | None]:
    """The port to listen on (a free one for 0), and the socket that holds it on ::1 for as long as it is open.

    For 127.0.0.1 alone; elsewhere the port is looked at and nothing is held.

    The socket is None where there is no IPv6. It is bound and does not listen: `localhost` means ::1 first for many
    clients, which are refused there and go on to 127.0.0.1, while no other program can take their requests. Raises
    Conflict, code `port_in_use`, naming the process that has it; Denied for a port that needs more rights.
    """
    chosen = port or _free_port(host)
    held = _hold_ipv6(chosen) if host == LOOPBACK else None
    try:
        _bind(_family(host), host, chosen, reuse=True).close()
    except OSError as error:
        if held is not None:
            held.close()
        raise _refusal(chosen, error) from None
    return chosen, held


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def _free_port(host: str) -> int:
    try:
        probe = _bind(_family(host), host, 0, reuse=True)
    except OSError as error:
        raise _refusal(0, error) from None
    with probe:
        port: int = probe.getsockname()[1]
        return port


def _hold_ipv6(port: int) -> socket.socket | None:
    try:
        # Without SO_REUSEADDR: with it on both sides, a second one may be bound beside a socket that does not listen.
        return _bind(socket.AF_INET6, "::1", port, reuse=False)
    except OSError as error:
        if error.errno in (errno.EADDRINUSE, errno.EACCES):
            raise _refusal(port, error) from None
        return None  # no IPv6 here, so nobody can sit there either


def _bind(family: socket.AddressFamily, host: str, port: int, *, reuse: bool) -> socket.socket:
    taken = socket.socket(family, socket.SOCK_STREAM)
    try:
        # With it, connections of the last gateway that still close do not keep this one from starting.
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, int(reuse))
        taken.bind((host, port))
    except BaseException:
        taken.close()
        raise
    return taken


def _refusal(port: int, error: OSError) -> Conflict | Denied | Invalid:
    if error.errno in (errno.EADDRNOTAVAIL, errno.EINVAL):
        return Invalid(
            "bad_address",
            "gateway_host is not an address of this machine.",
            remedy="Set it to 127.0.0.1, or to an address that `ip address` shows.",
        )
    if error.errno == errno.EACCES:
        return Denied(
            "port_needs_rights",
            f"Port {port} may be taken by an administrator only.",
            remedy="Choose one from 1024 up: QUANTUM_GATEWAY_PORT=5005.",
        )
    owner = _owner_of(port)
    return Conflict(
        "port_in_use",
        f"Port {port} is in use by {owner or 'a process that is not yours to see'}.",
        remedy=f"End that process, or choose another port: QUANTUM_GATEWAY_PORT={port + 1 if port < 65_535 else 5005}.",
    )


def _owner_of(port: int) -> str | None:
    """“process 4711 (python3 mcp_server.py)”, or None when the system does not tell."""
    import psutil  # only to say who it is: 5 MB that a running gateway does without

    for process in psutil.process_iter(["pid", "cmdline", "name"]):
        try:
            connections = process.net_connections(kind="tcp")
        except psutil.Error:  # gone meanwhile, or somebody else's
            continue
        if any(connection.laddr.port == port and not connection.raddr for connection in connections):
            command = " ".join(process.info["cmdline"] or [process.info["name"] or "?"])
            return f"process {process.info['pid']} ({command[:120]})"
    return None
