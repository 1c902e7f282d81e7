import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from protos.common.v1 import options_pb2 as _options_pb2
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Mode(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    MODE_UNSPECIFIED: _ClassVar[Mode]
    MODE_NORMAL: _ClassVar[Mode]
    MODE_GUARDED: _ClassVar[Mode]
    MODE_DRAIN: _ClassVar[Mode]
    MODE_FROZEN: _ClassVar[Mode]
    MODE_STOPPED: _ClassVar[Mode]
MODE_UNSPECIFIED: Mode
MODE_NORMAL: Mode
MODE_GUARDED: Mode
MODE_DRAIN: Mode
MODE_FROZEN: Mode
MODE_STOPPED: Mode

class ModeStatus(_message.Message):
    __slots__ = ("mode", "reason", "actor", "since", "stop_file")
    MODE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    ACTOR_FIELD_NUMBER: _ClassVar[int]
    SINCE_FIELD_NUMBER: _ClassVar[int]
    STOP_FILE_FIELD_NUMBER: _ClassVar[int]
    mode: Mode
    reason: str
    actor: str
    since: _timestamp_pb2.Timestamp
    stop_file: bool
    def __init__(self, mode: _Optional[_Union[Mode, str]] = ..., reason: _Optional[str] = ..., actor: _Optional[str] = ..., since: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., stop_file: _Optional[bool] = ...) -> None: ...

class GetModeRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetModeResponse(_message.Message):
    __slots__ = ("status",)
    STATUS_FIELD_NUMBER: _ClassVar[int]
    status: ModeStatus
    def __init__(self, status: _Optional[_Union[ModeStatus, _Mapping]] = ...) -> None: ...

class TightenModeRequest(_message.Message):
    __slots__ = ("mode", "reason")
    MODE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    mode: Mode
    reason: str
    def __init__(self, mode: _Optional[_Union[Mode, str]] = ..., reason: _Optional[str] = ...) -> None: ...

class TightenModeResponse(_message.Message):
    __slots__ = ("status", "changed")
    STATUS_FIELD_NUMBER: _ClassVar[int]
    CHANGED_FIELD_NUMBER: _ClassVar[int]
    status: ModeStatus
    changed: bool
    def __init__(self, status: _Optional[_Union[ModeStatus, _Mapping]] = ..., changed: _Optional[bool] = ...) -> None: ...

class ResumeModeRequest(_message.Message):
    __slots__ = ("reason", "mode")
    REASON_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    reason: str
    mode: Mode
    def __init__(self, reason: _Optional[str] = ..., mode: _Optional[_Union[Mode, str]] = ...) -> None: ...

class ResumeModeResponse(_message.Message):
    __slots__ = ("status", "changed")
    STATUS_FIELD_NUMBER: _ClassVar[int]
    CHANGED_FIELD_NUMBER: _ClassVar[int]
    status: ModeStatus
    changed: bool
    def __init__(self, status: _Optional[_Union[ModeStatus, _Mapping]] = ..., changed: _Optional[bool] = ...) -> None: ...
