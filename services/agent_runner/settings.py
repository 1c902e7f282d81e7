"""The settings of a runner; names, units and bounds are those of foundation/known_settings."""

from __future__ import annotations

from dataclasses import dataclass

from foundation.addresses import is_loopback, is_wildcard
from foundation.errors import Invalid
from services.agent_runner.domain.host_guard import HostLimits


@dataclass(frozen=True, slots=True, kw_only=True)
class RunnerSettings:
    """See foundation/known_settings."""

    max_concurrent_agents: int
    cpu_limit: int
    kernel_limits: str
    max_services: int
    paused_attempts_max: int
    runner_labels: str
    prefetch: int
    lease_seconds: float
    heartbeat_seconds: float
    stop_grace_seconds: float
    result_output_bytes: int
    output_head_bytes: int
    output_tail_bytes: int
    output_line_bytes_max: int
    report_bytes_max: int
    run_as_user: str
    agent_log_bytes_max: int
    agent_log_files_max: int
    logs_bytes_max: int
    attempt_files_bytes_max: int
    disk_free_bytes_min: int
    host_guard: str
    host_guard_seconds: float
    memory_available_percent_min: float
    memory_stalls_percent_max: float
    agents_nice: int
    gateway_host: str
    gateway_port: int
    coordinator_address: str
    safety_address: str
    token_rotation_seconds: float
    token_overlap_seconds: float

    @property
    def is_elsewhere(self) -> bool:
        """Whether its coordinator is on another host. Raises Invalid when only half of that is said."""
        if bool(self.coordinator_address) != bool(self.safety_address):
            raise Invalid(
                "half_elsewhere",
                "coordinator_address and safety_address belong together: one of them is not set.",
                remedy="`quantum runner join` writes both.",
            )
        return bool(self.coordinator_address)

    @property
    def host_limits(self) -> HostLimits | None:
        """From where on new starts wait; None: never."""
        if self.host_guard == "off":
            return None
        return HostLimits(
            cpu_share=self.cpu_limit / 100,
            memory_available_share=self.memory_available_percent_min / 100,
            memory_stalls_percent=self.memory_stalls_percent_max,
            dwell_seconds=self.host_guard_seconds,
        )

    @property
    def gateway_url(self) -> str:
        """Where the scripts of this machine reach the gateway; empty where they do not."""
        if self.coordinator_address and is_loopback(self.gateway_host):
            return ""
        if is_loopback(self.gateway_host):
            return f"http://127.0.0.1:{self.gateway_port}"
        host = "localhost" if is_wildcard(self.gateway_host) else self.gateway_host
        return f"https://{host}:{self.gateway_port}"
