"""The settings of the safety service."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from services.safety.domain.breaker import BreakerRules
from services.safety.domain.budget import BudgetRules, WindowPair


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
    breaker_culprits_min: int
    breaker_held_agents_min: int
    breaker_held_share_max: float
    budget_slo_agent: float
    budget_slo_class: float
    budget_slo_project: float
    budget_slo_fleet: float
    budget_burn_1h: float
    budget_burn_6h: float
    budget_burn_1d: float
    budget_burn_3d: float
    budget_failures_min: int
    budget_probability_max: float
    revocation_beat_seconds: float
    token_overlap_seconds: float
    spend_reservation_seconds: float
    safety_listen: str
    runner_certificate_seconds: float

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
            permit_time=self.permit_time,
            culprits_min=self.breaker_culprits_min,
            held_agents_min=self.breaker_held_agents_min,
            held_share_max=self.breaker_held_share_max,
        )

    @property
    def budget_rules(self) -> BudgetRules:
        """The error budgets' numbers; the windows are the textbook's, the burn rates belong to them."""
        return BudgetRules(
            slo_agent=self.budget_slo_agent,
            slo_class=self.budget_slo_class,
            slo_project=self.budget_slo_project,
            slo_fleet=self.budget_slo_fleet,
            pairs=(
                WindowPair(burn=self.budget_burn_1h, long_minutes=60, short_minutes=5),
                WindowPair(burn=self.budget_burn_6h, long_minutes=6 * 60, short_minutes=30),
                WindowPair(burn=self.budget_burn_1d, long_minutes=24 * 60, short_minutes=2 * 60),
                WindowPair(burn=self.budget_burn_3d, long_minutes=3 * 24 * 60, short_minutes=6 * 60),
            ),
            failures_min=self.budget_failures_min,
            probability_max=self.budget_probability_max,
            permit_time=self.permit_time,
        )

    @property
    def permit_time(self) -> timedelta:
        """How long a permit that nobody renews is held: by the one attempt that may run."""
        return timedelta(seconds=self.lease_seconds + self.breaker_permit_extra_seconds)

    @property
    def reservation_grace(self) -> timedelta:
        """How long a reservation outlives its attempt before it is charged in full."""
        return timedelta(seconds=self.spend_reservation_seconds)

    @property
    def runner_lifetime(self) -> timedelta:
        """How long the certificate and the credential of a runner that joined live."""
        return timedelta(seconds=self.runner_certificate_seconds)

    @property
    def overlap(self) -> timedelta:
        """How long a replaced token stays good."""
        return timedelta(seconds=self.token_overlap_seconds)

    @property
    def beat(self) -> timedelta:
        """The pause between two beats of the revocation stream."""
        return timedelta(seconds=self.revocation_beat_seconds)
