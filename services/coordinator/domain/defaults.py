"""What holds where neither a task nor its manifest says more."""

from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceRule:
    """How services are kept alive: their ends within `window` are reported from `escalate` on and hold at `hold`."""

    backoff: timedelta
    backoff_max: timedelta
    escalate: int
    hold: int
    window: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Defaults:
    """Limits of an attempt where neither the task nor the manifest says more."""

    timeout: timedelta
    memory_bytes: int
    grace: timedelta
    idle_timeout: timedelta | None = None
    cpu_cores: float = 0.0
    cpu_time: timedelta | None = None
    processes_max: int = 0
    open_files_max: int = 0
    output_bytes_max: int = 0
    work_files_max: int = 0
    work_bytes_max: int = 0
    service: ServiceRule | None = None
