"""What a sandbox's list of hosts allows: names as they are asked for, and addresses as they turn out."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from typing import NamedTuple

HEAD_BYTES_MAX = 8192
_PORT_MAX = 65535


class Target(NamedTuple):
    """Whom a script wants to speak to; a name in lower case, an address as Python writes it."""

    host: str
    port: int


def target(text: str) -> Target | None:
    """Read "host:port"; None where it is neither."""
    host, colon, port = text.rpartition(":")
    if not colon or not host or not port.isascii() or not port.isdecimal() or not 0 < int(port) <= _PORT_MAX:
        return None
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    address = _address(host)
    return Target(str(address) if address else host.rstrip(".").lower(), int(port))


def asked_for(head: bytes) -> Target | None:
    """Whom the head of a CONNECT request names; None for every other request."""
    line = head.split(b"\r\n", 1)[0].decode("latin-1").split(" ")
    if len(line) != 3 or line[0] != "CONNECT" or not line[2].startswith("HTTP/1."):
        return None
    return target(line[1])


def listed(wanted: Target, rules: Iterable[str]) -> bool:
    """Whether a list names it; `*.example.com:443` stands for every name below, not for example.com itself."""
    for rule in map(target, rules):
        if rule is None or rule.port != wanted.port:
            continue
        if rule.host == wanted.host:
            return True
        if rule.host.startswith("*.") and not _address(wanted.host) and wanted.host.endswith(rule.host[1:]):
            return True
    return False


def reachable(address: str, wanted: Target, rules: Iterable[str]) -> bool:
    """Whether an address that was found for a listed name may be spoken to.

    Whoever answers for a name could answer with an address of this machine or its network: those are reached only
    where the list has the address itself, or `localhost`.
    """
    found = _address(address)
    if found is None:
        return False
    mapped = getattr(found, "ipv4_mapped", None)
    if mapped is not None:
        found = mapped
    if found.is_global and not found.is_multicast:
        return True
    named = {rule.host for rule in map(target, rules) if rule is not None and rule.port == wanted.port}
    return str(found) in named or (found.is_loopback and wanted.host == "localhost" and "localhost" in named)


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None
