"""The one table of every setting of the whole system: its type, default, bounds and meaning."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

from foundation.quantities import parse_size

Value = int | float | str | bool


class Type(StrEnum):
    """What a setting holds; decides how text is read and what the field of a settings class is."""

    INTEGER = "a whole number"
    NUMBER = "a number"  # float; seconds, shares
    SIZE = 'a size like "2GB"'  # int, bytes
    TEXT = "a text"
    FLAG = "true or false"


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting; its name carries its unit."""

    type: Type
    default: Value
    doc: str
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[str, ...] = ()


def _integer(default: int, minimum: int, maximum: int, doc: str) -> Setting:
    return Setting(Type.INTEGER, default, doc, minimum, maximum)


def _number(default: float, minimum: float, maximum: float, doc: str) -> Setting:
    return Setting(Type.NUMBER, float(default), doc, minimum, maximum)


def _size(default: str, minimum: str, maximum: str, doc: str) -> Setting:
    return Setting(Type.SIZE, parse_size(default), doc, parse_size(minimum), parse_size(maximum))


def _text(default: str, doc: str, *choices: str) -> Setting:
    return Setting(Type.TEXT, default, doc, choices=choices)


_DAY = 86_400

KNOWN: Mapping[str, Setting] = MappingProxyType(
    {
        # Agents and their limits. The first four are the runbook's own.
        "max_concurrent_agents": _integer(10, 1, 10_000, "tasks that one runner runs at a time"),
        "cpu_limit": _integer(80, 1, 100, "per cent of the machine that agents get together; at it new starts wait"),
        "kernel_limits": _text(
            "auto",
            "auto: the kernel holds limits where cgroups may be written; off: the warden alone looks after them",
            *("auto", "off"),
        ),
        "memory_limit": _size("2GB", "1MB", "1PB", "memory of one task's tree unless its manifest says otherwise"),
        "timeout_seconds": _number(
            300, 0.05, 30 * _DAY, "wall clock of one attempt unless its manifest says otherwise"
        ),
        "idle_timeout_seconds": _number(0, 0, 30 * _DAY, "silence after which a task is ended; 0: never"),
        "cpu_time_seconds": _number(0, 0, 30 * _DAY, "processor time of a task's tree in all; 0: no limit"),
        "cpu_cores": _number(0, 0, 1_024, "cores that one tree may use at a time; 0: no limit"),
        "processes_max": _integer(512, 0, 1_000_000, "processes and threads of one tree; 0: no limit"),
        "open_files_max": _integer(0, 0, 1_000_000, "open files of each process; 0: as the system has it"),
        "output_bytes_max": _size("1GB", "0B", "1PB", "output of one task; 0: no limit"),
        "work_files_max": _integer(50_000, 0, 100_000_000, "files in a task's scratch folder; 0: no limit"),
        "work_bytes_max": _size("10GB", "0B", "1PB", "room that a task's scratch folder may take; 0: no limit"),
        "runner_labels": _text("", "what tasks may ask a runner for: key=value,key=value"),
        "max_services": _integer(100, 0, 10_000, "services that one runner keeps alive, beside its tasks"),
        "run_as_user": _text("nobody", 'whom a root runner runs scripts with run_as = "user" as, where root owns all'),
        "stop_grace_seconds": _number(10, 0, 600, "from SIGTERM to SIGKILL"),
        "paused_attempts_max": _integer(10, 0, 1_000, "paused attempts of one runner that give their slot back"),
        "paused_seconds_max": _number(_DAY, 0, 30 * _DAY, "how long an attempt may stay paused"),
        "prefetch": _integer(240, 0, 1_000, "leases that a runner takes ahead at most; fewer where tasks take long"),
        "service_backoff_seconds": _number(1, 0.01, 3_600, "first pause before a service is started again; doubles"),
        "service_backoff_seconds_max": _number(900, 0.01, _DAY, "longest pause before a service is started again"),
        "service_restarts_escalate": _integer(3, 1, 1_000, "restarts within the window that are reported"),
        "service_restarts_hold": _integer(6, 1, 1_000, "restarts within the window that hold the service"),
        "service_restarts_window_seconds": _number(600, 1, _DAY, "the window in which restarts are counted"),
        # The machine, for the sake of the other work on it.
        "host_guard": _text("auto", "auto: new starts wait while the machine is over its limits; off", "auto", "off"),
        "host_guard_seconds": _number(5, 0.5, 3_600, "how long processors must be over cpu_limit; no hold is shorter"),
        "memory_available_percent_min": _number(10, 0, 99, "per cent of memory below which new starts wait"),
        "memory_stalls_percent_max": _number(
            10, 0.1, 100, "per cent of 10 s waited for scarce memory that hold starts"
        ),
        "agents_nice": _integer(
            5, 0, 19, "how far scripts stand back where no cgroup weighs them, as nice(1) has it; 0: not"
        ),
        # Output.
        "result_output_bytes": _size("64KB", "1KB", "1MB", "output kept in the result itself"),
        "output_head_bytes": _size("8MB", "1KB", "1GB", "output kept from the beginning of an attempt"),
        "output_tail_bytes": _size("8MB", "1KB", "1GB", "output kept from the end of an attempt"),
        "output_line_bytes_max": _size("64KB", "80B", "1MB", "longer lines are cut"),
        "agent_log_bytes_max": _size("10MB", "64KB", "1GB", "size at which logs/agent_<name>.log is rotated"),
        "agent_log_files_max": _integer(20, 1, 1_000, "rotated logs that are kept of each agent"),
        # Logs and disk: what all files of a kind may take together.
        "logs_bytes_max": _size("2GB", "1MB", "1PB", "room that all of logs/ may take; the oldest go first"),
        "attempt_files_bytes_max": _size("2GB", "1MB", "1PB", "room for outputs too long for a result; oldest first"),
        "exports_bytes_max": _size("16MB", "64KB", "1GB", "room for each export; beyond it they list fewer tasks"),
        "errors_bytes_max": _size("16MB", "64KB", "1GB", "room that logs/errors/ may take; the oldest go first"),
        "errors_files_max": _integer(1_000, 1, 100_000, "files in logs/errors/, one for each failed attempt"),
        "disk_free_bytes_min": _size("512MB", "0B", "1PB", "free disk below which no task is taken or started; 0: any"),
        "disk_reserve_bytes": _size("32MB", "0B", "10GB", "room kept for results, given up when the disk is full"),
        "report_bytes_max": _size("1MB", "1KB", "16MB", "a larger report is refused"),
        # Lease and fence.
        "lease_seconds": _number(20, 0.2, 3_600, "how long a lease lasts without renewal"),
        "heartbeat_seconds": _number(5, 0.05, 600, "pause between renewals"),
        # Queue.
        "open_tasks_max": _integer(1_000_000, 1, 100_000_000, "open tasks beyond which submits are refused"),
        "idempotency_days": _number(7, 0.00001, 365, "how long an idempotency key is remembered"),
        "max_retries": _integer(3, 0, 100, "ceiling of the retries that a manifest or a submit may ask for"),
        "poison_losses_max": _integer(3, 1, 100, "lost runners under one task after which it is dead"),
        "infrastructure_retry_seconds": _number(
            5, 0, 3_600, "first delay after a failure of the infrastructure; doubles"
        ),
        "infrastructure_retry_seconds_max": _number(
            600, 0, _DAY, "longest delay after a failure of the infrastructure"
        ),
        "script_retry_seconds": _number(30, 0, 3_600, "first delay after a script failed; doubles"),
        "script_retry_seconds_max": _number(300, 0, _DAY, "longest delay after a script failed"),
        "retention_days": _number(30, 0.00001, 3_650, "how long an ended task is kept"),
        "retention_rows": _integer(1_000_000, 1, 100_000_000, "ended tasks that are kept"),
        "retention_bytes": _size("5GB", "1MB", "1PB", "room that ended tasks may take"),
        "undecided_days": _number(90, 0.00001, 3_650, "how long a dead or undecided task is kept"),
        "catalogue_scan_seconds": _number(2, 0.05, 3_600, "pause between looks at agents/"),
        "merge_reconcile_seconds": _number(30, 0.05, 3_600, "pause between looks at guarded branches"),
        "export_interval_seconds": _number(1, 0.05, 3_600, "least pause between two exports of the same file"),
        "export_open_tasks_max": _integer(1_000, 0, 100_000, "open tasks in task_queue.json"),
        "export_ended_tasks_max": _integer(100, 0, 100_000, "ended tasks in task_queue.json"),
        # Schedules.
        "schedule_timezone": _text(
            "", "time zone of schedules that name none, like Europe/Berlin; empty: the machine's"
        ),
        # Breakers.
        "breaker_consecutive_failures": _integer(3, 1, 1_000, "consecutive failures that open a breaker"),
        "breaker_window": _integer(20, 1, 62, "last outcomes of which the failure share is taken"),
        "breaker_window_min": _integer(8, 1, 1_000, "outcomes below which the failure share means nothing"),
        "breaker_failure_share": _number(0.5, 0.01, 1, "failure share of the window that opens a breaker"),
        "breaker_open_seconds": _number(300, 0.05, _DAY, "how long a breaker stays open the first time; doubles"),
        "breaker_open_seconds_max": _number(3_600, 0.05, 7 * _DAY, "how long a breaker stays open at most"),
        "breaker_jitter_share": _number(0.2, 0, 0.9, "share by which the open time varies either way"),
        "breaker_probe_successes": _integer(2, 1, 100, "successes in half-open that close a breaker"),
        "breaker_permit_extra_seconds": _number(15, 0, 3_600, "how long a probe's permit outlives its lease"),
        "breaker_culprits_min": _integer(3, 1, 1_000, "agents whose failures open a breaker that many share"),
        "breaker_held_agents_min": _integer(5, 1, 10_000, "held agents from which the share below counts"),
        "breaker_held_share_max": _number(0.3, 0.01, 1, "share of the active agents that automatic trips may hold"),
        # Error budgets.
        "budget_slo_agent": _number(0.95, 0.5, 0.9999, "share of an agent's attempts that is to succeed in 7 days"),
        "budget_slo_class": _number(0.97, 0.5, 0.9999, "the same of all attempts that use one thing (cloud:openai)"),
        "budget_slo_project": _number(0.97, 0.5, 0.9999, "the same of a project's attempts and merge checks"),
        "budget_slo_fleet": _number(0.99, 0.5, 0.9999, "the same of all attempts together"),
        "budget_burn_1h": _number(13.44, 0.01, 10_000, "burn rate over 1 h and 5 min from which a budget is acted on"),
        "budget_burn_6h": _number(3.5, 0.01, 10_000, "the same over 6 h and 30 min"),
        "budget_burn_1d": _number(1.4, 0.01, 10_000, "the same over 1 d and 2 h"),
        "budget_burn_3d": _number(0.98, 0.01, 10_000, "the same over 3 d and 6 h"),
        "budget_failures_min": _integer(3, 1, 1_000, "failures in the longer window below which nothing is acted on"),
        "budget_probability_max": _number(1e-6, 1e-15, 1, "chance of so many failures in an agent that is well"),
        # Spend. Prices are in config/prices.toml, caps in config/spend.toml.
        "spend_reservation_seconds": _number(900, 1, _DAY, "how long a reservation outlives its attempt, then charged"),
        # Tokens.
        "token_rotation_seconds": _number(_DAY, 1, 365 * _DAY, "age at which the user's token is replaced"),
        "token_overlap_seconds": _number(900, 1, _DAY, "how long the replaced token stays good"),
        "token_cache_seconds": _number(1, 0, 60, "how long a verified token is not asked for again"),
        "token_offline_seconds": _number(900, 0, _DAY, "how long a token stays good while safety is out of reach"),
        "revocation_beat_seconds": _number(0.25, 0.01, 60, "pause between the beats of the revocation stream"),
        # Backups.
        "backup_folder": _text(
            "", "where backups lie, each workspace's in a folder of its own; from its root; empty: .quantum/backups"
        ),
        "backup_daily": _integer(7, 0, 3_660, "days of which the last good backup is kept"),
        "backup_weekly": _integer(4, 0, 520, "weeks of which the last good backup is kept"),
        "backup_monthly": _integer(6, 0, 120, "months of which the last good backup is kept"),
        "backup_bytes_max": _size(
            "20GB", "1MB", "1PB", "room that backups may take; the last good one stays in any case"
        ),
        "backup_overdue_seconds": _number(
            30 * 3_600, 60, 365 * _DAY, "age of the last good backup that raises an alert"
        ),
        # Beyond this machine. Every port of these speaks TLS 1.3 alone.
        "coordinator_listen": _text("", "address and port on which the coordinator listens beside its socket"),
        "safety_listen": _text("", "address and port on which safety listens beside its socket"),
        "coordinator_address": _text("", "where a runner that joined reaches its coordinator, host:port"),
        "safety_address": _text("", "where a runner that joined reaches safety, host:port"),
        "runner_certificate_seconds": _number(
            7 * _DAY, 60, 397 * _DAY, "how long the certificate and the credential of a runner that joined live"
        ),
        "gateway_names": _text("", "host names, with commas, by which the gateway is known beyond loopback"),
        # Gateway and calls.
        "gateway_host": _text("127.0.0.1", "address that the gateway listens on"),
        "gateway_port": _integer(5005, 0, 65_535, "port that the gateway listens on; 0 takes a free one"),
        "gateway_body_bytes_max": _size("1MB", "1KB", "64MB", "a larger request is refused"),
        "gateway_threads": _integer(32, 9, 1_000, "blocking threads; event streams take all but eight"),
        "gateway_drain_seconds": _number(8, 1, 600, "how long open requests may go on once the gateway is stopped"),
        "access_log_bytes_max": _size("10MB", "64KB", "1GB", "size at which logs/access.log is rotated"),
        "access_log_files_max": _integer(20, 1, 1_000, "rotated access logs that are kept"),
        "http_timeout_seconds": _number(30, 0.1, 3_600, "deadline of one request on its way through the services"),
        "connection_pool": _integer(5, 1, 100, "connections that a client of the gateway keeps open"),
    }
)

ALIASES: Mapping[str, str] = MappingProxyType(
    {
        "MCP_CONNECTION_POOL": "connection_pool",
        "HTTP_TIMEOUT": "http_timeout_seconds",
        "MAX_RETRIES": "max_retries",
    }
)
"""The runbook's own environment names; `QUANTUM_<NAME>` goes before them."""

NOT_ACTED_ON: frozenset[str] = frozenset()
"""Settings that are read and checked, and that nothing obeys yet; every list of settings says so."""

NOT_SETTINGS = frozenset(
    f"QUANTUM_{name}"
    for name in (
        *("WORKSPACE", "KEYCHAIN", "CI", "HOOK_DEPTH", "GATEWAY", "CREDENTIAL", "SECRETS"),
        *("TASK_ID", "ATTEMPT", "FENCE", "AGENT", "PROJECT", "WORKDIR", "PARAMS", "REPORT"),
    )
)
"""Variables of the environment that are ours and no settings, so that none is taken for a slip."""

ORDERED: tuple[tuple[str, float, str], ...] = (
    ("heartbeat_seconds", 0.5, "lease_seconds"),
    ("service_backoff_seconds", 1, "service_backoff_seconds_max"),
    ("infrastructure_retry_seconds", 1, "infrastructure_retry_seconds_max"),
    ("script_retry_seconds", 1, "script_retry_seconds_max"),
    ("breaker_open_seconds", 1, "breaker_open_seconds_max"),
    ("breaker_window_min", 1, "breaker_window"),
)
"""(a, share, b): a may be at most share × b, or a rule of the system would be broken."""

OBJECTIVES = ("budget_slo_agent", "budget_slo_class", "budget_slo_project", "budget_slo_fleet")
BURN_RATES = ("budget_burn_1h", "budget_burn_6h", "budget_burn_1d", "budget_burn_3d")
"""When everything fails, a budget burns 1 ÷ (1 − objective) times too fast: a limit that is no lower never bites."""
