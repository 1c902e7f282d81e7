"""What an address to listen on means for who can reach it."""

from __future__ import annotations

import ipaddress


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach that address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def is_wildcard(host: str) -> bool:
    """Whether that address stands for all addresses of this machine."""
    try:
        return ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return False


def names_in(text: str) -> tuple[str, ...]:
    """The names of a setting that lists them with commas, each once, lower case."""
    return tuple(dict.fromkeys(name for part in text.split(",") if (name := part.strip().lower())))
