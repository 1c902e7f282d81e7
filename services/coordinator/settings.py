"""The settings of the coordinator."""

from dataclasses import dataclass
from datetime import timedelta

from foundation.errors import Invalid
from services.coordinator.domain.cron import read_zone
from services.coordinator.domain.defaults import Defaults, ServiceRule
from services.coordinator.domain.failure import RetryRule


@dataclass(frozen=True, slots=True, kw_only=True)
class CoordinatorSettings:
    """Names, units and bounds are those of foundation/known_settings."""

    timeout_seconds: float
    memory_limit: int
    stop_grace_seconds: float
    idle_timeout_seconds: float
    cpu_time_seconds: float
    cpu_cores: float
    processes_max: int
    open_files_max: int
    output_bytes_max: int
    work_files_max: int
    work_bytes_max: int
    service_backoff_seconds: float
    service_backoff_seconds_max: float
    service_restarts_escalate: int
    service_restarts_hold: int
    service_restarts_window_seconds: float
    lease_seconds: float
    heartbeat_seconds: float
    paused_seconds_max: float
    paused_attempts_max: int
    open_tasks_max: int
    idempotency_days: float
    max_retries: int
    poison_losses_max: int
    infrastructure_retry_seconds: float
    infrastructure_retry_seconds_max: float
    script_retry_seconds: float
    script_retry_seconds_max: float
    retention_days: float
    retention_rows: int
    retention_bytes: int
    undecided_days: float
    catalogue_scan_seconds: float
    merge_reconcile_seconds: float
    schedule_timezone: str
    export_interval_seconds: float
    export_open_tasks_max: int
    export_ended_tasks_max: int
    exports_bytes_max: int
    errors_bytes_max: int
    errors_files_max: int
    disk_free_bytes_min: int
    disk_reserve_bytes: int
    token_cache_seconds: float
    token_offline_seconds: float
    token_overlap_seconds: float
    coordinator_listen: str
    backup_overdue_seconds: float

    def __post_init__(self) -> None:
        """Raises Invalid, code `bad_settings`, for a time zone that there is not."""
        try:
            read_zone(self.schedule_timezone or "UTC")
        except ValueError as error:
            said = f"The setting schedule_timezone, “{self.schedule_timezone[:80]}”, {error}"
            raise Invalid("bad_settings", said) from None

    @property
    def retry_rule(self) -> RetryRule:
        """Delays and ceilings of attempts."""
        return RetryRule(
            ceiling=self.max_retries,
            script_first=timedelta(seconds=self.script_retry_seconds),
            script_cap=timedelta(seconds=self.script_retry_seconds_max),
            infrastructure_first=timedelta(seconds=self.infrastructure_retry_seconds),
            infrastructure_cap=timedelta(seconds=self.infrastructure_retry_seconds_max),
            losses_max=self.poison_losses_max,
        )

    @property
    def timeout(self) -> timedelta:
        """Wall clock of an attempt where nobody says more."""
        return timedelta(seconds=self.timeout_seconds)

    @property
    def defaults(self) -> Defaults:
        """Limits of an attempt where neither the task nor its manifest says more."""
        return Defaults(
            timeout=self.timeout,
            memory_bytes=self.memory_limit,
            grace=timedelta(seconds=self.stop_grace_seconds),
            idle_timeout=_seconds_or_none(self.idle_timeout_seconds),
            cpu_cores=self.cpu_cores,
            cpu_time=_seconds_or_none(self.cpu_time_seconds),
            processes_max=self.processes_max,
            open_files_max=self.open_files_max,
            output_bytes_max=self.output_bytes_max,
            work_files_max=self.work_files_max,
            work_bytes_max=self.work_bytes_max,
            service=ServiceRule(
                backoff=timedelta(seconds=self.service_backoff_seconds),
                backoff_max=timedelta(seconds=self.service_backoff_seconds_max),
                escalate=self.service_restarts_escalate,
                hold=self.service_restarts_hold,
                window=timedelta(seconds=self.service_restarts_window_seconds),
            ),
        )

    @property
    def keys_good_for(self) -> timedelta:
        """How long an idempotency key is remembered."""
        return timedelta(days=self.idempotency_days)

    @property
    def tick_seconds(self) -> float:
        """Pause between looks at the leases: at most a second, and often enough for tests that shorten them."""
        return min(1.0, self.lease_seconds / 4)


def _seconds_or_none(seconds: float) -> timedelta | None:
    return timedelta(seconds=seconds) if seconds else None
