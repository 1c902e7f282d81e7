from protos.common.v1 import options_pb2 as _options_pb2
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Optional as _Optional

DESCRIPTOR: _descriptor.FileDescriptor

class TakeSnapshotRequest(_message.Message):
    __slots__ = ("backup_id",)
    BACKUP_ID_FIELD_NUMBER: _ClassVar[int]
    backup_id: str
    def __init__(self, backup_id: _Optional[str] = ...) -> None: ...

class TakeSnapshotResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class TakeSnapshotForAttemptRequest(_message.Message):
    __slots__ = ("backup_id",)
    BACKUP_ID_FIELD_NUMBER: _ClassVar[int]
    backup_id: str
    def __init__(self, backup_id: _Optional[str] = ...) -> None: ...

class TakeSnapshotForAttemptResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ConcludeBackupRequest(_message.Message):
    __slots__ = ("backup_id", "fault")
    BACKUP_ID_FIELD_NUMBER: _ClassVar[int]
    FAULT_FIELD_NUMBER: _ClassVar[int]
    backup_id: str
    fault: str
    def __init__(self, backup_id: _Optional[str] = ..., fault: _Optional[str] = ...) -> None: ...

class ConcludeBackupResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ConcludeBackupForAttemptRequest(_message.Message):
    __slots__ = ("backup_id", "fault")
    BACKUP_ID_FIELD_NUMBER: _ClassVar[int]
    FAULT_FIELD_NUMBER: _ClassVar[int]
    backup_id: str
    fault: str
    def __init__(self, backup_id: _Optional[str] = ..., fault: _Optional[str] = ...) -> None: ...

class ConcludeBackupForAttemptResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...
