"""What the gateway can be told."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

THREADS_KEPT_FREE = 8
"""Threads that event streams never take, so that a short request always finds one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewaySettings:
    """Settings of the gateway; see `foundation/known_settings.py` for their meaning and bounds."""

    gateway_host: str
    gateway_port: int
    gateway_names: str
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
