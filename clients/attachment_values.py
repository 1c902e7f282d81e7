"""What a runner and its coordinator say to each other on the runner's stream, as plain values.

Lengths of time are seconds unless a name says `us`, microseconds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple


class AttemptRef(NamedTuple):
    """One attempt: a task and the fence under which it is held."""

    task_id: str
    fence: int


class OrderKind(StrEnum):
    """What a runner is told about an attempt that it holds."""

    CANCEL = "cancel"
    PAUSE = "pause"
    CONTINUE = "continue"
    STOP = "stop"
    RECALL = "recall"
    DISOWN = "disown"


class EndCause(StrEnum):
    """How an attempt came to its end."""

    EXIT = "exit"
    TIMEOUT = "timeout"
    IDLE = "idle"
    MEMORY = "memory"
    PROCESSES = "processes"
    OUTPUT = "output"
    CANCEL = "cancel"
    POLICY = "policy"
    FENCE = "fence"
    HANDED_BACK = "handed_back"
    SPAWN_RESOURCES = "spawn_resources"
    SPAWN_CONFIGURATION = "spawn_configuration"
    CPU_TIME = "cpu_time"
    FILES = "files"
    DISK = "disk"
    SERVICE_HELD = "service_held"


@dataclass(frozen=True, slots=True, kw_only=True)
class Hello:
    """How a runner introduces itself."""

    name: str
    host: str
    incarnation: str
    slots: int
    labels: Mapping[str, str]
    version: str
    held: Sequence[AttemptRef] = ()
    services_max: int = 0
    memory_bytes: int = 0
    """Of its machine; 0: not known."""
    enforcement: Mapping[str, str] = field(default_factory=dict)
    checks_max: int = 0
    """Merge checks beside the tasks; 0: it is not on the repositories' host."""
    returning: bool = False
    """This process was welcomed before, and knows of each lease of its name whether it has begun."""


@dataclass(frozen=True, slots=True)
class Welcome:
    """The coordinator's terms; `disowned` are attempts that are no longer the runner's."""

    lease_seconds: float
    heartbeat_seconds: float
    disowned: Sequence[AttemptRef]


class Sandbox(NamedTuple):
    """What a script may reach. It writes nowhere else; `read`, where there is any, narrows what it reads."""

    write: tuple[str, ...] = ()
    read: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    """"host:port" that it reaches through a proxy."""
    network: bool = False
    """The network is open."""


class ServiceTerms(NamedTuple):
    """How a service is kept alive; its ends within the window are reported from `escalate` on and hold it at `hold`."""

    backoff_seconds: float
    backoff_seconds_max: float
    escalate: int
    hold: int
    window_seconds: float
    health_seconds: float = 0.0
    """How often it is asked with --health; 0: never."""


class LeaseTerms(NamedTuple):
    """What leases of an agent have in common; 0 or empty means no limit, none, or the default."""

    agent: str
    project: str
    script: str
    folder: str
    interpreter: tuple[str, ...] = ()
    params_as_arguments: bool = False
    env: tuple[str, ...] = ()
    timeout_seconds: float = 0.0
    idle_timeout_seconds: float = 0.0
    memory_bytes: int = 0
    processes_max: int = 0
    open_files_max: int = 0
    output_bytes_max: int = 0
    required: tuple[str, ...] = ()
    grace_seconds: float = 10.0
    cpu_cores: float = 0.0
    cpu_seconds: float = 0.0
    work_files_max: int = 0
    work_bytes_max: int = 0
    run_as: str = ""
    secrets: tuple[str, ...] = ()
    sandbox: Sandbox | None = None
    service: ServiceTerms | None = None
    script_sha256: str = ""
    """Of the script's text; empty when that does not travel to other hosts."""
    builtin: str = ""
    """The script's path below the agents that come with Quantum, where it is one of those."""
    check: bool = False
    """A merge check, which has a place of its own beside the tasks."""
    secret_params: tuple[str, ...] = ()
    """Params that are masked in what it prints, and no arguments."""


class Lease(NamedTuple):
    """The right to run one attempt."""

    ref: AttemptRef
    attempt: int
    terms: LeaseTerms
    params: str = "{}"
    last_report: str = ""
    alone: bool = False
    credential: str = ""
    """Of an attempt that may spend; belongs into its file and nowhere else."""
    epoch: int = 0
    """Safety's at its admission; goes back with the result."""


@dataclass(frozen=True, slots=True)
class Leases:
    """Attempts to run."""

    leases: Sequence[Lease]


@dataclass(frozen=True, slots=True)
class Order:
    """One attempt is to be cancelled, paused, continued, stopped, recalled or disowned."""

    ref: AttemptRef
    kind: OrderKind
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Orders:
    """Orders about attempts; `drain`: take no more work."""

    orders: Sequence[Order]
    drain: bool = False


@dataclass(frozen=True, slots=True)
class HeartbeatAck:
    """A heartbeat was taken; every attempt that it named is renewed, but for what `orders` say."""

    sequence: int
    orders: Sequence[Order] = ()


@dataclass(frozen=True, slots=True)
class ResultAcks:
    """Results that need not be sent again, recorded or refused."""

    accepted: Sequence[AttemptRef]
    refused: Sequence[AttemptRef]


@dataclass(frozen=True, slots=True, kw_only=True)
class Follow:
    """A reader wants an attempt's output from an offset in what is kept; `stop`: it has gone."""

    follow_id: int
    ref: AttemptRef
    offset: int
    follow: bool
    stop: bool


FromCoordinator = Welcome | Leases | Orders | HeartbeatAck | ResultAcks | Follow


@dataclass(frozen=True, slots=True)
class Credit:
    """How many leases the runner can hold in all; `no_checks`: and no merge check beside them."""

    leases_max: int
    no_checks: bool = False


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """Renews every attempt that it names. `waits`: why some of them are not begun; `stalled`: why nothing would be."""

    sequence: int
    held: Sequence[AttemptRef]
    draining: bool
    waits: Mapping[AttemptRef, str] = field(default_factory=dict)
    stalled: str = ""


class LimitUse(NamedTuple):
    """One limit of an attempt in its own unit, how it was held (`kernel`, `supervised` or `none`), and by what."""

    name: str
    value: float
    enforcement: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Started:
    """A process exists, since a moment in microseconds since 1970, UTC."""

    ref: AttemptRef
    at_us: int
    pid: int


@dataclass(frozen=True, slots=True)
class Returned:
    """Never spawned, handed back."""

    ref: AttemptRef
    reason: str


@dataclass(frozen=True, slots=True)
class Frozen:
    """The tree was frozen (true) or thawed (false), as ordered."""

    ref: AttemptRef
    frozen: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceNews:
    """A service has ended and waits for its next start (0: it has been started); its attempt goes on."""

    ref: AttemptRef
    restarts: int
    next_start_us: int = 0
    last_end: str = ""
    last_lines: str = ""
    escalated: bool = False
    health: str = ""


class Result(NamedTuple):
    """How an attempt ended; exit_code and signal are None when it was never spawned.

    Times are whole microseconds, moments since 1970 in UTC: there is one of these per task.
    """

    ref: AttemptRef
    cause: EndCause
    finished_us: int
    sentence: str = ""
    exit_code: int | None = None
    signal: int | None = None
    started_us: int | None = None
    duration_us: int = 0
    cpu_us: int = 0
    memory_peak_bytes: int | None = None
    limits: tuple[LimitUse, ...] = ()
    output_tail: str = ""
    output_bytes: int = 0
    output_cut: bool = False
    report: str = ""
    report_fault: str = ""
    tree_dead: bool = True
    stragglers: int = 0
    epoch: int = 0


AttemptEvent = Started | Returned | Frozen | ServiceNews | Result


@dataclass(frozen=True, slots=True)
class Events:
    """What happened to attempts, in the order in which it happened."""

    events: Sequence[AttemptEvent]


@dataclass(frozen=True, slots=True)
class LogChunk:
    """A piece of an attempt's output for a follower; `offset` is just after `data`."""

    follow_id: int
    data: bytes
    offset: int
    end: bool


@dataclass(frozen=True, slots=True)
class HostState:
    """How the runner's machine fares. `held_reason`: why nothing new starts there, empty: it does; -1: not known.

    `disk_short` is the part of it that holds merge checks, too.
    """

    held_reason: str = ""
    memory_available_bytes: int = -1
    cpu_share: float = -1.0
    disk_short: str = ""


FromRunner = Hello | Credit | Heartbeat | Events | LogChunk | HostState
