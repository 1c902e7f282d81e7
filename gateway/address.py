"""By which names the gateway is spoken to, and whether that is over TLS."""

from __future__ import annotations

from dataclasses import dataclass

from foundation.addresses import is_loopback, is_wildcard, names_in
from foundation.errors import Invalid

_LOOPBACK_NAMES = ("localhost", "127.0.0.1", "[::1]")
_OWN_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Address:
    """Where the gateway listens. On loopback it speaks HTTP; anywhere else TLS 1.3, or it does not start."""

    host: str
    port: int
    names: tuple[str, ...] = ()
    """Host names by which it is known beyond this machine."""

    @property
    def tls(self) -> bool:
        """Whether it speaks TLS."""
        return not is_loopback(self.host)

    @property
    def scheme(self) -> str:
        """`http` or `https`."""
        return "https" if self.tls else "http"

    @property
    def near(self) -> str:
        """The address at which this machine itself reaches it."""
        return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)

    @property
    def hosts(self) -> tuple[str, ...]:
        """The Host headers that are taken, exactly."""
        bare = self.port == _OWN_PORTS[self.scheme]
        return tuple(name for known in self._known for name in (f"{known}:{self.port}", *((known,) if bare else ())))

    @property
    def origins(self) -> frozenset[str]:
        """The origins of its own pages."""
        return frozenset(f"{self.scheme}://{host}" for host in self.hosts)

    @property
    def _known(self) -> tuple[str, ...]:
        if not self.tls:
            return _LOOPBACK_NAMES
        own = () if is_wildcard(self.host) else (f"[{self.host}]" if ":" in self.host else self.host,)
        return tuple(dict.fromkeys((*self.names, *own, *_LOOPBACK_NAMES)))


def address_of(host: str, port: int, names: str) -> Address:
    """The address of the settings `gateway_host` and `gateway_names`.

    Raises Invalid for one on all addresses of the machine without a name: nobody could be told from a page elsewhere
    whose name was made to point here.
    """
    address = Address("127.0.0.1" if host == "localhost" else host, port, names_in(names))
    if is_wildcard(host) and not address.names:
        raise Invalid(
            "no_gateway_names",
            f"The gateway is to listen on {host}, and it is not said by which names it is known there.",
            remedy='Set gateway_names, like "quantum.example.org", in config/agent_config.json.',
        )
    return address
