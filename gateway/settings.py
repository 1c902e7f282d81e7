"""What the gateway can be told, and the check that it listens where it may."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from foundation.errors import Invalid

LOOPBACK = "127.0.0.1"
THREADS_KEPT_FREE = 8
"""Threads that event streams never take, so that a short request always finds one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewaySettings:
    """Settings of the gateway; see `foundation/known_settings.py` for their meaning and bounds."""

    gateway_host: str
    gateway_port: int
    gateway_body_bytes_max: int
    gateway_threads: int
    gateway_drain_seconds: float
    http_timeout_seconds: float
    connection_pool: int
    access_log_bytes_max: int
    access_log_files_max: int

    @property
    def deadline(self) -> timedelta:
        """How long one request may take on its way through the services."""
        return timedelta(seconds=self.http_timeout_seconds)

    @property
    def streams_max(self) -> int:
        """How many event streams may be open at the same time."""
        return max(1, self.gateway_threads - THREADS_KEPT_FREE)


def require_loopback(host: str) -> None:
    """Raises Invalid, code `beyond_loopback`, for any address that other machines could reach."""
    if host in (LOOPBACK, "localhost"):
        return
    raise Invalid(
        "beyond_loopback",
        f"The gateway does not listen on “{host}”: beyond this machine it would need TLS, which it does not have yet.",
        remedy="Leave gateway_host at 127.0.0.1; from elsewhere: ssh -L 5005:127.0.0.1:5005 <this machine>.",
    )
