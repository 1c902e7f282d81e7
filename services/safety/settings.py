"""The settings of the safety service."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from services.safety.domain.breaker import BreakerRules


@dataclass(frozen=True, slots=True, kw_only=True)
class SafetySettings:
    """Names, units and bounds are those of foundation/known_settings."""

    lease_seconds: float
    breaker_consecutive_failures: int
    breaker_window: int
    breaker_window_min: int
    breaker_failure_share: float
    breaker_open_seconds: float
    breaker_open_seconds_max: float
    breaker_jitter_share: float
    breaker_probe_successes: int
    breaker_permit_extra_seconds: float
    revocation_beat_seconds: float

    @property
    def rules(self) -> BreakerRules:
        """The breaker's numbers."""
        return BreakerRules(
            consecutive_failures=self.breaker_consecutive_failures,
            window=self.breaker_window,
            window_minimum=self.breaker_window_min,
            failure_share=self.breaker_failure_share,
            open_time=timedelta(seconds=self.breaker_open_seconds),
            open_time_max=timedelta(seconds=self.breaker_open_seconds_max),
            jitter=self.breaker_jitter_share,
            successes_to_close=self.breaker_probe_successes,
            permit_time=timedelta(seconds=self.lease_seconds + self.breaker_permit_extra_seconds),
        )

    @property
    def beat(self) -> timedelta:
        """The pause between two beats of the revocation stream."""
        return timedelta(seconds=self.revocation_beat_seconds)
