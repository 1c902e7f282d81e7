"""The identity with which a process shows itself over TCP: a role of one workspace, in one file."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from foundation.errors import Invalid, NotFound

ROLES = frozenset({"coordinator", "safety", "runner", "gateway", "user", "join"})
"""Who may be at the end of a connection. A server has its service's role; `user` is a person's own tool; `join` is
whoever holds an invitation, until it has become a `runner`."""
_BLOCK = re.compile(rb"-----BEGIN ([A-Z ]+)-----.+?-----END \1-----\n?", re.DOTALL)


def role_uri(workspace_key: str, role: str, name: str) -> str:
    """What stands in a certificate: whose it is, in which workspace (`Workspace.key12`)."""
    return f"quantum://{workspace_key}/{role}/{name}"


def server_name(role: str) -> str:
    """The name that a client demands of the server that it dials, whatever the address."""
    return f"{role}.quantum.internal"


@dataclass(frozen=True, slots=True)
class Identity:
    """Three PEM texts: the private key, its certificate, and the authority that both sides trust."""

    key: bytes
    certificate: bytes
    authority: bytes

    @classmethod
    def parse(cls, pem: bytes, *, source: str) -> Identity:
        """Take an identity apart; raises Invalid, naming `source`, when one of the three is not there."""
        found: dict[bytes, list[bytes]] = {}
        for block in _BLOCK.finditer(pem):
            found.setdefault(block.group(1), []).append(block.group(0))
        keys, certificates = found.get(b"PRIVATE KEY", []), found.get(b"CERTIFICATE", [])
        if len(keys) != 1 or len(certificates) != 2:
            raise Invalid(
                "bad_identity",
                f"{source} holds {len(keys)} private keys and {len(certificates)} certificates;"
                " an identity is one key, its certificate, and the authority's.",
                remedy="`quantum ca renew` writes those of this workspace's services again.",
            )
        return cls(keys[0], *certificates)


class IdentityFile:
    """An identity in a file that is replaced as a whole when it is renewed; read again when it was."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._seen: tuple[int, int, int] | None = None
        self._identity: Identity | None = None

    def current(self) -> Identity:
        """The identity in the file now. Raises NotFound when there is none, Invalid when it is none."""
        try:
            stat = self.path.stat()
            seen = (stat.st_ino, stat.st_mtime_ns, stat.st_size)
            if self._identity is None or seen != self._seen:
                self._identity = Identity.parse(self.path.read_bytes(), source=str(self.path))
                self._seen = seen
        except FileNotFoundError:
            raise NotFound(
                "no_identity",
                f"There is no {self.path}, without which nothing may speak over TCP.",
                remedy="`quantum ca renew` writes those of this workspace's services.",
            ) from None
        return self._identity
