import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from protos.common.v1 import options_pb2 as _options_pb2
from protos.coordinator.v1 import tasks_pb2 as _tasks_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class OrderKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ORDER_KIND_UNSPECIFIED: _ClassVar[OrderKind]
    ORDER_KIND_CANCEL: _ClassVar[OrderKind]
    ORDER_KIND_PAUSE: _ClassVar[OrderKind]
    ORDER_KIND_CONTINUE: _ClassVar[OrderKind]
    ORDER_KIND_STOP: _ClassVar[OrderKind]
    ORDER_KIND_RECALL: _ClassVar[OrderKind]
    ORDER_KIND_DISOWN: _ClassVar[OrderKind]

class EndCause(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    END_CAUSE_UNSPECIFIED: _ClassVar[EndCause]
    END_CAUSE_EXIT: _ClassVar[EndCause]
    END_CAUSE_TIMEOUT: _ClassVar[EndCause]
    END_CAUSE_IDLE: _ClassVar[EndCause]
    END_CAUSE_MEMORY: _ClassVar[EndCause]
    END_CAUSE_PROCESSES: _ClassVar[EndCause]
    END_CAUSE_OUTPUT: _ClassVar[EndCause]
    END_CAUSE_CANCEL: _ClassVar[EndCause]
    END_CAUSE_POLICY: _ClassVar[EndCause]
    END_CAUSE_FENCE: _ClassVar[EndCause]
    END_CAUSE_HANDED_BACK: _ClassVar[EndCause]
    END_CAUSE_SPAWN_RESOURCES: _ClassVar[EndCause]
    END_CAUSE_SPAWN_CONFIGURATION: _ClassVar[EndCause]
    END_CAUSE_CPU_TIME: _ClassVar[EndCause]
    END_CAUSE_FILES: _ClassVar[EndCause]
    END_CAUSE_DISK: _ClassVar[EndCause]
    END_CAUSE_SERVICE_HELD: _ClassVar[EndCause]
ORDER_KIND_UNSPECIFIED: OrderKind
ORDER_KIND_CANCEL: OrderKind
ORDER_KIND_PAUSE: OrderKind
ORDER_KIND_CONTINUE: OrderKind
ORDER_KIND_STOP: OrderKind
ORDER_KIND_RECALL: OrderKind
ORDER_KIND_DISOWN: OrderKind
END_CAUSE_UNSPECIFIED: EndCause
END_CAUSE_EXIT: EndCause
END_CAUSE_TIMEOUT: EndCause
END_CAUSE_IDLE: EndCause
END_CAUSE_MEMORY: EndCause
END_CAUSE_PROCESSES: EndCause
END_CAUSE_OUTPUT: EndCause
END_CAUSE_CANCEL: EndCause
END_CAUSE_POLICY: EndCause
END_CAUSE_FENCE: EndCause
END_CAUSE_HANDED_BACK: EndCause
END_CAUSE_SPAWN_RESOURCES: EndCause
END_CAUSE_SPAWN_CONFIGURATION: EndCause
END_CAUSE_CPU_TIME: EndCause
END_CAUSE_FILES: EndCause
END_CAUSE_DISK: EndCause
END_CAUSE_SERVICE_HELD: EndCause

class GetScriptRequest(_message.Message):
    __slots__ = ("agent", "sha256")
    AGENT_FIELD_NUMBER: _ClassVar[int]
    SHA256_FIELD_NUMBER: _ClassVar[int]
    agent: str
    sha256: str
    def __init__(self, agent: _Optional[str] = ..., sha256: _Optional[str] = ...) -> None: ...

class GetScriptResponse(_message.Message):
    __slots__ = ("text",)
    TEXT_FIELD_NUMBER: _ClassVar[int]
    text: bytes
    def __init__(self, text: _Optional[bytes] = ...) -> None: ...

class AttachRequest(_message.Message):
    __slots__ = ("hello", "credit", "heartbeat", "events", "log", "host")
    HELLO_FIELD_NUMBER: _ClassVar[int]
    CREDIT_FIELD_NUMBER: _ClassVar[int]
    HEARTBEAT_FIELD_NUMBER: _ClassVar[int]
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    LOG_FIELD_NUMBER: _ClassVar[int]
    HOST_FIELD_NUMBER: _ClassVar[int]
    hello: RunnerHello
    credit: Credit
    heartbeat: Heartbeat
    events: AttemptEvents
    log: LogChunk
    host: HostState
    def __init__(self, hello: _Optional[_Union[RunnerHello, _Mapping]] = ..., credit: _Optional[_Union[Credit, _Mapping]] = ..., heartbeat: _Optional[_Union[Heartbeat, _Mapping]] = ..., events: _Optional[_Union[AttemptEvents, _Mapping]] = ..., log: _Optional[_Union[LogChunk, _Mapping]] = ..., host: _Optional[_Union[HostState, _Mapping]] = ...) -> None: ...

class AttachResponse(_message.Message):
    __slots__ = ("welcome", "leases", "heartbeat_ack", "result_acks", "orders", "follow")
    WELCOME_FIELD_NUMBER: _ClassVar[int]
    LEASES_FIELD_NUMBER: _ClassVar[int]
    HEARTBEAT_ACK_FIELD_NUMBER: _ClassVar[int]
    RESULT_ACKS_FIELD_NUMBER: _ClassVar[int]
    ORDERS_FIELD_NUMBER: _ClassVar[int]
    FOLLOW_FIELD_NUMBER: _ClassVar[int]
    welcome: Welcome
    leases: Leases
    heartbeat_ack: HeartbeatAck
    result_acks: ResultAcks
    orders: Orders
    follow: FollowLog
    def __init__(self, welcome: _Optional[_Union[Welcome, _Mapping]] = ..., leases: _Optional[_Union[Leases, _Mapping]] = ..., heartbeat_ack: _Optional[_Union[HeartbeatAck, _Mapping]] = ..., result_acks: _Optional[_Union[ResultAcks, _Mapping]] = ..., orders: _Optional[_Union[Orders, _Mapping]] = ..., follow: _Optional[_Union[FollowLog, _Mapping]] = ...) -> None: ...

class AttemptRef(_message.Message):
    __slots__ = ("task_id", "fence")
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    FENCE_FIELD_NUMBER: _ClassVar[int]
    task_id: str
    fence: int
    def __init__(self, task_id: _Optional[str] = ..., fence: _Optional[int] = ...) -> None: ...

class RunnerHello(_message.Message):
    __slots__ = ("name", "host", "incarnation", "slots", "labels", "version", "held", "services_max", "memory_bytes", "enforcement", "checks_max", "returning")
    class LabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    class EnforcementEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    NAME_FIELD_NUMBER: _ClassVar[int]
    HOST_FIELD_NUMBER: _ClassVar[int]
    INCARNATION_FIELD_NUMBER: _ClassVar[int]
    SLOTS_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    HELD_FIELD_NUMBER: _ClassVar[int]
    SERVICES_MAX_FIELD_NUMBER: _ClassVar[int]
    MEMORY_BYTES_FIELD_NUMBER: _ClassVar[int]
    ENFORCEMENT_FIELD_NUMBER: _ClassVar[int]
    CHECKS_MAX_FIELD_NUMBER: _ClassVar[int]
    RETURNING_FIELD_NUMBER: _ClassVar[int]
    name: str
    host: str
    incarnation: str
    slots: int
    labels: _containers.ScalarMap[str, str]
    version: str
    held: _containers.RepeatedCompositeFieldContainer[AttemptRef]
    services_max: int
    memory_bytes: int
    enforcement: _containers.ScalarMap[str, str]
    checks_max: int
    returning: bool
    def __init__(self, name: _Optional[str] = ..., host: _Optional[str] = ..., incarnation: _Optional[str] = ..., slots: _Optional[int] = ..., labels: _Optional[_Mapping[str, str]] = ..., version: _Optional[str] = ..., held: _Optional[_Iterable[_Union[AttemptRef, _Mapping]]] = ..., services_max: _Optional[int] = ..., memory_bytes: _Optional[int] = ..., enforcement: _Optional[_Mapping[str, str]] = ..., checks_max: _Optional[int] = ..., returning: _Optional[bool] = ...) -> None: ...

class HostState(_message.Message):
    __slots__ = ("held_reason", "memory_available_bytes", "cpu_share", "disk_short")
    HELD_REASON_FIELD_NUMBER: _ClassVar[int]
    MEMORY_AVAILABLE_BYTES_FIELD_NUMBER: _ClassVar[int]
    CPU_SHARE_FIELD_NUMBER: _ClassVar[int]
    DISK_SHORT_FIELD_NUMBER: _ClassVar[int]
    held_reason: str
    memory_available_bytes: int
    cpu_share: float
    disk_short: str
    def __init__(self, held_reason: _Optional[str] = ..., memory_available_bytes: _Optional[int] = ..., cpu_share: _Optional[float] = ..., disk_short: _Optional[str] = ...) -> None: ...

class Welcome(_message.Message):
    __slots__ = ("lease", "heartbeat", "disowned")
    LEASE_FIELD_NUMBER: _ClassVar[int]
    HEARTBEAT_FIELD_NUMBER: _ClassVar[int]
    DISOWNED_FIELD_NUMBER: _ClassVar[int]
    lease: _duration_pb2.Duration
    heartbeat: _duration_pb2.Duration
    disowned: _containers.RepeatedCompositeFieldContainer[AttemptRef]
    def __init__(self, lease: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., heartbeat: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., disowned: _Optional[_Iterable[_Union[AttemptRef, _Mapping]]] = ...) -> None: ...

class Credit(_message.Message):
    __slots__ = ("leases_max", "no_checks")
    LEASES_MAX_FIELD_NUMBER: _ClassVar[int]
    NO_CHECKS_FIELD_NUMBER: _ClassVar[int]
    leases_max: int
    no_checks: bool
    def __init__(self, leases_max: _Optional[int] = ..., no_checks: _Optional[bool] = ...) -> None: ...

class Lease(_message.Message):
    __slots__ = ("task_id", "fence", "attempt", "terms", "params_json", "last_report_json", "alone", "credential", "epoch")
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    FENCE_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    TERMS_FIELD_NUMBER: _ClassVar[int]
    PARAMS_JSON_FIELD_NUMBER: _ClassVar[int]
    LAST_REPORT_JSON_FIELD_NUMBER: _ClassVar[int]
    ALONE_FIELD_NUMBER: _ClassVar[int]
    CREDENTIAL_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    task_id: str
    fence: int
    attempt: int
    terms: int
    params_json: bytes
    last_report_json: bytes
    alone: bool
    credential: str
    epoch: int
    def __init__(self, task_id: _Optional[str] = ..., fence: _Optional[int] = ..., attempt: _Optional[int] = ..., terms: _Optional[int] = ..., params_json: _Optional[bytes] = ..., last_report_json: _Optional[bytes] = ..., alone: _Optional[bool] = ..., credential: _Optional[str] = ..., epoch: _Optional[int] = ...) -> None: ...

class LeaseTerms(_message.Message):
    __slots__ = ("agent", "project", "script", "interpreter", "folder", "params_as_arguments", "env", "timeout", "idle_timeout", "memory_bytes", "processes_max", "open_files_max", "output_bytes_max", "required", "grace", "cpu_cores", "cpu_time", "work_files_max", "work_bytes_max", "run_as", "secrets", "sandbox", "service", "script_sha256", "builtin", "check", "secret_params")
    AGENT_FIELD_NUMBER: _ClassVar[int]
    PROJECT_FIELD_NUMBER: _ClassVar[int]
    SCRIPT_FIELD_NUMBER: _ClassVar[int]
    INTERPRETER_FIELD_NUMBER: _ClassVar[int]
    FOLDER_FIELD_NUMBER: _ClassVar[int]
    PARAMS_AS_ARGUMENTS_FIELD_NUMBER: _ClassVar[int]
    ENV_FIELD_NUMBER: _ClassVar[int]
    TIMEOUT_FIELD_NUMBER: _ClassVar[int]
    IDLE_TIMEOUT_FIELD_NUMBER: _ClassVar[int]
    MEMORY_BYTES_FIELD_NUMBER: _ClassVar[int]
    PROCESSES_MAX_FIELD_NUMBER: _ClassVar[int]
    OPEN_FILES_MAX_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_BYTES_MAX_FIELD_NUMBER: _ClassVar[int]
    REQUIRED_FIELD_NUMBER: _ClassVar[int]
    GRACE_FIELD_NUMBER: _ClassVar[int]
    CPU_CORES_FIELD_NUMBER: _ClassVar[int]
    CPU_TIME_FIELD_NUMBER: _ClassVar[int]
    WORK_FILES_MAX_FIELD_NUMBER: _ClassVar[int]
    WORK_BYTES_MAX_FIELD_NUMBER: _ClassVar[int]
    RUN_AS_FIELD_NUMBER: _ClassVar[int]
    SECRETS_FIELD_NUMBER: _ClassVar[int]
    SANDBOX_FIELD_NUMBER: _ClassVar[int]
    SERVICE_FIELD_NUMBER: _ClassVar[int]
    SCRIPT_SHA256_FIELD_NUMBER: _ClassVar[int]
    BUILTIN_FIELD_NUMBER: _ClassVar[int]
    CHECK_FIELD_NUMBER: _ClassVar[int]
    SECRET_PARAMS_FIELD_NUMBER: _ClassVar[int]
    agent: str
    project: str
    script: str
    interpreter: _containers.RepeatedScalarFieldContainer[str]
    folder: str
    params_as_arguments: bool
    env: _containers.RepeatedScalarFieldContainer[str]
    timeout: _duration_pb2.Duration
    idle_timeout: _duration_pb2.Duration
    memory_bytes: int
    processes_max: int
    open_files_max: int
    output_bytes_max: int
    required: _containers.RepeatedScalarFieldContainer[str]
    grace: _duration_pb2.Duration
    cpu_cores: float
    cpu_time: _duration_pb2.Duration
    work_files_max: int
    work_bytes_max: int
    run_as: str
    secrets: _containers.RepeatedScalarFieldContainer[str]
    sandbox: Sandbox
    service: Service
    script_sha256: str
    builtin: str
    check: bool
    secret_params: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, agent: _Optional[str] = ..., project: _Optional[str] = ..., script: _Optional[str] = ..., interpreter: _Optional[_Iterable[str]] = ..., folder: _Optional[str] = ..., params_as_arguments: _Optional[bool] = ..., env: _Optional[_Iterable[str]] = ..., timeout: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., idle_timeout: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., memory_bytes: _Optional[int] = ..., processes_max: _Optional[int] = ..., open_files_max: _Optional[int] = ..., output_bytes_max: _Optional[int] = ..., required: _Optional[_Iterable[str]] = ..., grace: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., cpu_cores: _Optional[float] = ..., cpu_time: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., work_files_max: _Optional[int] = ..., work_bytes_max: _Optional[int] = ..., run_as: _Optional[str] = ..., secrets: _Optional[_Iterable[str]] = ..., sandbox: _Optional[_Union[Sandbox, _Mapping]] = ..., service: _Optional[_Union[Service, _Mapping]] = ..., script_sha256: _Optional[str] = ..., builtin: _Optional[str] = ..., check: _Optional[bool] = ..., secret_params: _Optional[_Iterable[str]] = ...) -> None: ...

class Sandbox(_message.Message):
    __slots__ = ("write", "read", "hosts", "network")
    WRITE_FIELD_NUMBER: _ClassVar[int]
    READ_FIELD_NUMBER: _ClassVar[int]
    HOSTS_FIELD_NUMBER: _ClassVar[int]
    NETWORK_FIELD_NUMBER: _ClassVar[int]
    write: _containers.RepeatedScalarFieldContainer[str]
    read: _containers.RepeatedScalarFieldContainer[str]
    hosts: _containers.RepeatedScalarFieldContainer[str]
    network: bool
    def __init__(self, write: _Optional[_Iterable[str]] = ..., read: _Optional[_Iterable[str]] = ..., hosts: _Optional[_Iterable[str]] = ..., network: _Optional[bool] = ...) -> None: ...

class Service(_message.Message):
    __slots__ = ("backoff", "backoff_max", "escalate", "hold", "window", "health")
    BACKOFF_FIELD_NUMBER: _ClassVar[int]
    BACKOFF_MAX_FIELD_NUMBER: _ClassVar[int]
    ESCALATE_FIELD_NUMBER: _ClassVar[int]
    HOLD_FIELD_NUMBER: _ClassVar[int]
    WINDOW_FIELD_NUMBER: _ClassVar[int]
    HEALTH_FIELD_NUMBER: _ClassVar[int]
    backoff: _duration_pb2.Duration
    backoff_max: _duration_pb2.Duration
    escalate: int
    hold: int
    window: _duration_pb2.Duration
    health: _duration_pb2.Duration
    def __init__(self, backoff: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., backoff_max: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., escalate: _Optional[int] = ..., hold: _Optional[int] = ..., window: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., health: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class Leases(_message.Message):
    __slots__ = ("leases", "terms")
    LEASES_FIELD_NUMBER: _ClassVar[int]
    TERMS_FIELD_NUMBER: _ClassVar[int]
    leases: _containers.RepeatedCompositeFieldContainer[Lease]
    terms: _containers.RepeatedCompositeFieldContainer[LeaseTerms]
    def __init__(self, leases: _Optional[_Iterable[_Union[Lease, _Mapping]]] = ..., terms: _Optional[_Iterable[_Union[LeaseTerms, _Mapping]]] = ...) -> None: ...

class Heartbeat(_message.Message):
    __slots__ = ("sequence", "held", "draining", "waits", "stalled")
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    HELD_FIELD_NUMBER: _ClassVar[int]
    DRAINING_FIELD_NUMBER: _ClassVar[int]
    WAITS_FIELD_NUMBER: _ClassVar[int]
    STALLED_FIELD_NUMBER: _ClassVar[int]
    sequence: int
    held: _containers.RepeatedCompositeFieldContainer[AttemptRef]
    draining: bool
    waits: _containers.RepeatedCompositeFieldContainer[Wait]
    stalled: str
    def __init__(self, sequence: _Optional[int] = ..., held: _Optional[_Iterable[_Union[AttemptRef, _Mapping]]] = ..., draining: _Optional[bool] = ..., waits: _Optional[_Iterable[_Union[Wait, _Mapping]]] = ..., stalled: _Optional[str] = ...) -> None: ...

class Wait(_message.Message):
    __slots__ = ("attempt", "reason")
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    attempt: AttemptRef
    reason: str
    def __init__(self, attempt: _Optional[_Union[AttemptRef, _Mapping]] = ..., reason: _Optional[str] = ...) -> None: ...

class HeartbeatAck(_message.Message):
    __slots__ = ("sequence", "orders")
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    ORDERS_FIELD_NUMBER: _ClassVar[int]
    sequence: int
    orders: _containers.RepeatedCompositeFieldContainer[Order]
    def __init__(self, sequence: _Optional[int] = ..., orders: _Optional[_Iterable[_Union[Order, _Mapping]]] = ...) -> None: ...

class Order(_message.Message):
    __slots__ = ("attempt", "kind", "reason")
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    attempt: AttemptRef
    kind: OrderKind
    reason: str
    def __init__(self, attempt: _Optional[_Union[AttemptRef, _Mapping]] = ..., kind: _Optional[_Union[OrderKind, str]] = ..., reason: _Optional[str] = ...) -> None: ...

class Orders(_message.Message):
    __slots__ = ("orders", "drain")
    ORDERS_FIELD_NUMBER: _ClassVar[int]
    DRAIN_FIELD_NUMBER: _ClassVar[int]
    orders: _containers.RepeatedCompositeFieldContainer[Order]
    drain: bool
    def __init__(self, orders: _Optional[_Iterable[_Union[Order, _Mapping]]] = ..., drain: _Optional[bool] = ...) -> None: ...

class AttemptEvents(_message.Message):
    __slots__ = ("events", "limits")
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    LIMITS_FIELD_NUMBER: _ClassVar[int]
    events: _containers.RepeatedCompositeFieldContainer[AttemptEvent]
    limits: _containers.RepeatedCompositeFieldContainer[Limits]
    def __init__(self, events: _Optional[_Iterable[_Union[AttemptEvent, _Mapping]]] = ..., limits: _Optional[_Iterable[_Union[Limits, _Mapping]]] = ...) -> None: ...

class Limits(_message.Message):
    __slots__ = ("limits",)
    LIMITS_FIELD_NUMBER: _ClassVar[int]
    limits: _containers.RepeatedCompositeFieldContainer[_tasks_pb2.Limit]
    def __init__(self, limits: _Optional[_Iterable[_Union[_tasks_pb2.Limit, _Mapping]]] = ...) -> None: ...

class AttemptEvent(_message.Message):
    __slots__ = ("attempt", "started", "result", "returned", "paused", "resumed", "service")
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    STARTED_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    RETURNED_FIELD_NUMBER: _ClassVar[int]
    PAUSED_FIELD_NUMBER: _ClassVar[int]
    RESUMED_FIELD_NUMBER: _ClassVar[int]
    SERVICE_FIELD_NUMBER: _ClassVar[int]
    attempt: AttemptRef
    started: Started
    result: Result
    returned: Returned
    paused: Paused
    resumed: Resumed
    service: ServiceNews
    def __init__(self, attempt: _Optional[_Union[AttemptRef, _Mapping]] = ..., started: _Optional[_Union[Started, _Mapping]] = ..., result: _Optional[_Union[Result, _Mapping]] = ..., returned: _Optional[_Union[Returned, _Mapping]] = ..., paused: _Optional[_Union[Paused, _Mapping]] = ..., resumed: _Optional[_Union[Resumed, _Mapping]] = ..., service: _Optional[_Union[ServiceNews, _Mapping]] = ...) -> None: ...

class Started(_message.Message):
    __slots__ = ("at_us", "pid")
    AT_US_FIELD_NUMBER: _ClassVar[int]
    PID_FIELD_NUMBER: _ClassVar[int]
    at_us: int
    pid: int
    def __init__(self, at_us: _Optional[int] = ..., pid: _Optional[int] = ...) -> None: ...

class Returned(_message.Message):
    __slots__ = ("reason",)
    REASON_FIELD_NUMBER: _ClassVar[int]
    reason: str
    def __init__(self, reason: _Optional[str] = ...) -> None: ...

class Paused(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Resumed(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ServiceNews(_message.Message):
    __slots__ = ("restarts", "next_start_at_us", "last_end", "last_lines", "escalated", "health")
    RESTARTS_FIELD_NUMBER: _ClassVar[int]
    NEXT_START_AT_US_FIELD_NUMBER: _ClassVar[int]
    LAST_END_FIELD_NUMBER: _ClassVar[int]
    LAST_LINES_FIELD_NUMBER: _ClassVar[int]
    ESCALATED_FIELD_NUMBER: _ClassVar[int]
    HEALTH_FIELD_NUMBER: _ClassVar[int]
    restarts: int
    next_start_at_us: int
    last_end: str
    last_lines: str
    escalated: bool
    health: str
    def __init__(self, restarts: _Optional[int] = ..., next_start_at_us: _Optional[int] = ..., last_end: _Optional[str] = ..., last_lines: _Optional[str] = ..., escalated: _Optional[bool] = ..., health: _Optional[str] = ...) -> None: ...

class Result(_message.Message):
    __slots__ = ("cause", "sentence", "exit_code", "signal", "started_at_us", "finished_at_us", "duration_us", "cpu_us", "memory_peak_bytes", "limits", "output_tail", "output_bytes", "output_cut", "report_json", "report_fault", "tree_dead", "stragglers", "epoch")
    CAUSE_FIELD_NUMBER: _ClassVar[int]
    SENTENCE_FIELD_NUMBER: _ClassVar[int]
    EXIT_CODE_FIELD_NUMBER: _ClassVar[int]
    SIGNAL_FIELD_NUMBER: _ClassVar[int]
    STARTED_AT_US_FIELD_NUMBER: _ClassVar[int]
    FINISHED_AT_US_FIELD_NUMBER: _ClassVar[int]
    DURATION_US_FIELD_NUMBER: _ClassVar[int]
    CPU_US_FIELD_NUMBER: _ClassVar[int]
    MEMORY_PEAK_BYTES_FIELD_NUMBER: _ClassVar[int]
    LIMITS_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_TAIL_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_BYTES_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_CUT_FIELD_NUMBER: _ClassVar[int]
    REPORT_JSON_FIELD_NUMBER: _ClassVar[int]
    REPORT_FAULT_FIELD_NUMBER: _ClassVar[int]
    TREE_DEAD_FIELD_NUMBER: _ClassVar[int]
    STRAGGLERS_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    cause: EndCause
    sentence: str
    exit_code: int
    signal: int
    started_at_us: int
    finished_at_us: int
    duration_us: int
    cpu_us: int
    memory_peak_bytes: int
    limits: int
    output_tail: str
    output_bytes: int
    output_cut: bool
    report_json: bytes
    report_fault: str
    tree_dead: bool
    stragglers: int
    epoch: int
    def __init__(self, cause: _Optional[_Union[EndCause, str]] = ..., sentence: _Optional[str] = ..., exit_code: _Optional[int] = ..., signal: _Optional[int] = ..., started_at_us: _Optional[int] = ..., finished_at_us: _Optional[int] = ..., duration_us: _Optional[int] = ..., cpu_us: _Optional[int] = ..., memory_peak_bytes: _Optional[int] = ..., limits: _Optional[int] = ..., output_tail: _Optional[str] = ..., output_bytes: _Optional[int] = ..., output_cut: _Optional[bool] = ..., report_json: _Optional[bytes] = ..., report_fault: _Optional[str] = ..., tree_dead: _Optional[bool] = ..., stragglers: _Optional[int] = ..., epoch: _Optional[int] = ...) -> None: ...

class ResultAcks(_message.Message):
    __slots__ = ("accepted", "refused")
    ACCEPTED_FIELD_NUMBER: _ClassVar[int]
    REFUSED_FIELD_NUMBER: _ClassVar[int]
    accepted: _containers.RepeatedCompositeFieldContainer[AttemptRef]
    refused: _containers.RepeatedCompositeFieldContainer[AttemptRef]
    def __init__(self, accepted: _Optional[_Iterable[_Union[AttemptRef, _Mapping]]] = ..., refused: _Optional[_Iterable[_Union[AttemptRef, _Mapping]]] = ...) -> None: ...

class FollowLog(_message.Message):
    __slots__ = ("follow_id", "attempt", "offset", "follow", "stop")
    FOLLOW_ID_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    FOLLOW_FIELD_NUMBER: _ClassVar[int]
    STOP_FIELD_NUMBER: _ClassVar[int]
    follow_id: int
    attempt: AttemptRef
    offset: int
    follow: bool
    stop: bool
    def __init__(self, follow_id: _Optional[int] = ..., attempt: _Optional[_Union[AttemptRef, _Mapping]] = ..., offset: _Optional[int] = ..., follow: _Optional[bool] = ..., stop: _Optional[bool] = ...) -> None: ...

class LogChunk(_message.Message):
    __slots__ = ("follow_id", "data", "offset", "end")
    FOLLOW_ID_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    END_FIELD_NUMBER: _ClassVar[int]
    follow_id: int
    data: bytes
    offset: int
    end: bool
    def __init__(self, follow_id: _Optional[int] = ..., data: _Optional[bytes] = ..., offset: _Optional[int] = ..., end: _Optional[bool] = ...) -> None: ...
