"""The settings of a runner; names, units and bounds are those of foundation/known_settings."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class RunnerSettings:
    """See foundation/known_settings."""

    max_concurrent_agents: int
    prefetch: int
    lease_seconds: float
    heartbeat_seconds: float
    stop_grace_seconds: float
    result_output_bytes: int
    output_head_bytes: int
    output_tail_bytes: int
    output_line_bytes_max: int
    report_bytes_max: int
