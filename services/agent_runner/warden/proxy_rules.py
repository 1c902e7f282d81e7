"""What a sandbox's list of hosts allows: names as they are asked for, and addresses as they turn out."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from typing import NamedTuple

HEAD_BYTES_MAX = 8192
_PORT_MAX = 65535
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_LOCAL_NAT64 = ipaddress.IPv6Network("64:ff9b:1::/48")
_IPV4_COMPATIBLE = ipaddress.IPv6Network("::/96")

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


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
    # It is resolved, and written to a log.
    return target(line[1]) if line[1].isascii() and line[1].isprintable() else None


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
    found = _inner(found)
    # Python takes these for parts of the internet.
    local = found.version == 6 and (found.is_site_local or found in _IPV4_COMPATIBLE or found in _LOCAL_NAT64)
    if found.is_global and not found.is_multicast and not local:
        return True
    named = {rule.host for rule in map(target, rules) if rule is not None and rule.port == wanted.port}
    return str(found) in named or (found.is_loopback and wanted.host == "localhost" and "localhost" in named)


def _inner(address: Address) -> Address:
    """The IPv4 address that an IPv6 address stands for, where it is of a kind that does."""
    if address.version == 4:
        return address
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
    return address.ipv4_mapped or address.sixtofour or address


def _address(text: str) -> Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None
