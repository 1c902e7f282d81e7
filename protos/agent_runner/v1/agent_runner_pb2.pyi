import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from protos.common.v1 import options_pb2 as _options_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class DescribeRunnerRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class DescribeRunnerResponse(_message.Message):
    __slots__ = ("name", "slots", "attached", "draining", "warden_pid", "attempts", "enforcement", "held_reason", "sandbox", "sandbox_missing")
    class EnforcementEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    NAME_FIELD_NUMBER: _ClassVar[int]
    SLOTS_FIELD_NUMBER: _ClassVar[int]
    ATTACHED_FIELD_NUMBER: _ClassVar[int]
    DRAINING_FIELD_NUMBER: _ClassVar[int]
    WARDEN_PID_FIELD_NUMBER: _ClassVar[int]
    ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    ENFORCEMENT_FIELD_NUMBER: _ClassVar[int]
    HELD_REASON_FIELD_NUMBER: _ClassVar[int]
    SANDBOX_FIELD_NUMBER: _ClassVar[int]
    SANDBOX_MISSING_FIELD_NUMBER: _ClassVar[int]
    name: str
    slots: int
    attached: bool
    draining: bool
    warden_pid: int
    attempts: _containers.RepeatedCompositeFieldContainer[HeldAttempt]
    enforcement: _containers.ScalarMap[str, str]
    held_reason: str
    sandbox: str
    sandbox_missing: str
    def __init__(self, name: _Optional[str] = ..., slots: _Optional[int] = ..., attached: _Optional[bool] = ..., draining: _Optional[bool] = ..., warden_pid: _Optional[int] = ..., attempts: _Optional[_Iterable[_Union[HeldAttempt, _Mapping]]] = ..., enforcement: _Optional[_Mapping[str, str]] = ..., held_reason: _Optional[str] = ..., sandbox: _Optional[str] = ..., sandbox_missing: _Optional[str] = ...) -> None: ...

class HeldAttempt(_message.Message):
    __slots__ = ("task_id", "fence", "agent", "pid", "started_at", "time_left")
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    FENCE_FIELD_NUMBER: _ClassVar[int]
    AGENT_FIELD_NUMBER: _ClassVar[int]
    PID_FIELD_NUMBER: _ClassVar[int]
    STARTED_AT_FIELD_NUMBER: _ClassVar[int]
    TIME_LEFT_FIELD_NUMBER: _ClassVar[int]
    task_id: str
    fence: int
    agent: str
    pid: int
    started_at: _timestamp_pb2.Timestamp
    time_left: _duration_pb2.Duration
    def __init__(self, task_id: _Optional[str] = ..., fence: _Optional[int] = ..., agent: _Optional[str] = ..., pid: _Optional[int] = ..., started_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., time_left: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class FollowLogRequest(_message.Message):
    __slots__ = ("task_id", "offset")
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    task_id: str
    offset: int
    def __init__(self, task_id: _Optional[str] = ..., offset: _Optional[int] = ...) -> None: ...

class FollowLogResponse(_message.Message):
    __slots__ = ("data", "offset")
    DATA_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    data: bytes
    offset: int
    def __init__(self, data: _Optional[bytes] = ..., offset: _Optional[int] = ...) -> None: ...

class DrainRunnerRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class DrainRunnerResponse(_message.Message):
    __slots__ = ("handed_back", "running")
    HANDED_BACK_FIELD_NUMBER: _ClassVar[int]
    RUNNING_FIELD_NUMBER: _ClassVar[int]
    handed_back: int
    running: int
    def __init__(self, handed_back: _Optional[int] = ..., running: _Optional[int] = ...) -> None: ...
