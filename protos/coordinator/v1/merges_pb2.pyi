import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from protos.common.v1 import options_pb2 as _options_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class MergeEvent(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    MERGE_EVENT_UNSPECIFIED: _ClassVar[MergeEvent]
    MERGE_EVENT_POST_MERGE: _ClassVar[MergeEvent]
    MERGE_EVENT_POST_COMMIT: _ClassVar[MergeEvent]
    MERGE_EVENT_POST_REWRITE: _ClassVar[MergeEvent]
    MERGE_EVENT_RECONCILE: _ClassVar[MergeEvent]
    MERGE_EVENT_REQUEST: _ClassVar[MergeEvent]

class MergeCheckState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    MERGE_CHECK_STATE_UNSPECIFIED: _ClassVar[MergeCheckState]
    MERGE_CHECK_STATE_WAITING: _ClassVar[MergeCheckState]
    MERGE_CHECK_STATE_RUNNING: _ClassVar[MergeCheckState]
    MERGE_CHECK_STATE_ENDED: _ClassVar[MergeCheckState]

class MergeVerdict(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    MERGE_VERDICT_UNSPECIFIED: _ClassVar[MergeVerdict]
    MERGE_VERDICT_GOOD: _ClassVar[MergeVerdict]
    MERGE_VERDICT_BAD: _ClassVar[MergeVerdict]
    MERGE_VERDICT_FLAKY: _ClassVar[MergeVerdict]
    MERGE_VERDICT_PRE_EXISTING: _ClassVar[MergeVerdict]
    MERGE_VERDICT_INCONCLUSIVE: _ClassVar[MergeVerdict]
    MERGE_VERDICT_NOTHING_TO_CHECK: _ClassVar[MergeVerdict]

class MergeAction(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    MERGE_ACTION_UNSPECIFIED: _ClassVar[MergeAction]
    MERGE_ACTION_NONE: _ClassVar[MergeAction]
    MERGE_ACTION_ROLLED_BACK: _ClassVar[MergeAction]
    MERGE_ACTION_PROPOSED: _ClassVar[MergeAction]
    MERGE_ACTION_REPORTED: _ClassVar[MergeAction]
    MERGE_ACTION_REFUSED: _ClassVar[MergeAction]
    MERGE_ACTION_MERGED: _ClassVar[MergeAction]

class MergeFreeness(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    MERGE_FREENESS_UNSPECIFIED: _ClassVar[MergeFreeness]
    MERGE_FREENESS_FREE: _ClassVar[MergeFreeness]
    MERGE_FREENESS_APPROVAL: _ClassVar[MergeFreeness]
    MERGE_FREENESS_FROZEN: _ClassVar[MergeFreeness]
MERGE_EVENT_UNSPECIFIED: MergeEvent
MERGE_EVENT_POST_MERGE: MergeEvent
MERGE_EVENT_POST_COMMIT: MergeEvent
MERGE_EVENT_POST_REWRITE: MergeEvent
MERGE_EVENT_RECONCILE: MergeEvent
MERGE_EVENT_REQUEST: MergeEvent
MERGE_CHECK_STATE_UNSPECIFIED: MergeCheckState
MERGE_CHECK_STATE_WAITING: MergeCheckState
MERGE_CHECK_STATE_RUNNING: MergeCheckState
MERGE_CHECK_STATE_ENDED: MergeCheckState
MERGE_VERDICT_UNSPECIFIED: MergeVerdict
MERGE_VERDICT_GOOD: MergeVerdict
MERGE_VERDICT_BAD: MergeVerdict
MERGE_VERDICT_FLAKY: MergeVerdict
MERGE_VERDICT_PRE_EXISTING: MergeVerdict
MERGE_VERDICT_INCONCLUSIVE: MergeVerdict
MERGE_VERDICT_NOTHING_TO_CHECK: MergeVerdict
MERGE_ACTION_UNSPECIFIED: MergeAction
MERGE_ACTION_NONE: MergeAction
MERGE_ACTION_ROLLED_BACK: MergeAction
MERGE_ACTION_PROPOSED: MergeAction
MERGE_ACTION_REPORTED: MergeAction
MERGE_ACTION_REFUSED: MergeAction
MERGE_ACTION_MERGED: MergeAction
MERGE_FREENESS_UNSPECIFIED: MergeFreeness
MERGE_FREENESS_FREE: MergeFreeness
MERGE_FREENESS_APPROVAL: MergeFreeness
MERGE_FREENESS_FROZEN: MergeFreeness

class MergeCheck(_message.Message):
    __slots__ = ("id", "repository_id", "folder", "project", "event", "branch", "old_commit", "new_commit", "state", "progress", "verdict", "action", "sentence", "undo", "task_id", "created_at", "ended_at", "evidence_json", "only_report_reason", "undone_at", "freedom_reason")
    ID_FIELD_NUMBER: _ClassVar[int]
    REPOSITORY_ID_FIELD_NUMBER: _ClassVar[int]
    FOLDER_FIELD_NUMBER: _ClassVar[int]
    PROJECT_FIELD_NUMBER: _ClassVar[int]
    EVENT_FIELD_NUMBER: _ClassVar[int]
    BRANCH_FIELD_NUMBER: _ClassVar[int]
    OLD_COMMIT_FIELD_NUMBER: _ClassVar[int]
    NEW_COMMIT_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    VERDICT_FIELD_NUMBER: _ClassVar[int]
    ACTION_FIELD_NUMBER: _ClassVar[int]
    SENTENCE_FIELD_NUMBER: _ClassVar[int]
    UNDO_FIELD_NUMBER: _ClassVar[int]
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    ENDED_AT_FIELD_NUMBER: _ClassVar[int]
    EVIDENCE_JSON_FIELD_NUMBER: _ClassVar[int]
    ONLY_REPORT_REASON_FIELD_NUMBER: _ClassVar[int]
    UNDONE_AT_FIELD_NUMBER: _ClassVar[int]
    FREEDOM_REASON_FIELD_NUMBER: _ClassVar[int]
    id: str
    repository_id: str
    folder: str
    project: str
    event: MergeEvent
    branch: str
    old_commit: str
    new_commit: str
    state: MergeCheckState
    progress: str
    verdict: MergeVerdict
    action: MergeAction
    sentence: str
    undo: str
    task_id: str
    created_at: _timestamp_pb2.Timestamp
    ended_at: _timestamp_pb2.Timestamp
    evidence_json: bytes
    only_report_reason: str
    undone_at: _timestamp_pb2.Timestamp
    freedom_reason: str
    def __init__(self, id: _Optional[str] = ..., repository_id: _Optional[str] = ..., folder: _Optional[str] = ..., project: _Optional[str] = ..., event: _Optional[_Union[MergeEvent, str]] = ..., branch: _Optional[str] = ..., old_commit: _Optional[str] = ..., new_commit: _Optional[str] = ..., state: _Optional[_Union[MergeCheckState, str]] = ..., progress: _Optional[str] = ..., verdict: _Optional[_Union[MergeVerdict, str]] = ..., action: _Optional[_Union[MergeAction, str]] = ..., sentence: _Optional[str] = ..., undo: _Optional[str] = ..., task_id: _Optional[str] = ..., created_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., ended_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., evidence_json: _Optional[bytes] = ..., only_report_reason: _Optional[str] = ..., undone_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., freedom_reason: _Optional[str] = ...) -> None: ...

class StartMergeCheckRequest(_message.Message):
    __slots__ = ("repository_id", "folder", "event", "old_commit", "new_commit", "topic", "background")
    REPOSITORY_ID_FIELD_NUMBER: _ClassVar[int]
    FOLDER_FIELD_NUMBER: _ClassVar[int]
    EVENT_FIELD_NUMBER: _ClassVar[int]
    OLD_COMMIT_FIELD_NUMBER: _ClassVar[int]
    NEW_COMMIT_FIELD_NUMBER: _ClassVar[int]
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    BACKGROUND_FIELD_NUMBER: _ClassVar[int]
    repository_id: str
    folder: str
    event: MergeEvent
    old_commit: str
    new_commit: str
    topic: str
    background: bool
    def __init__(self, repository_id: _Optional[str] = ..., folder: _Optional[str] = ..., event: _Optional[_Union[MergeEvent, str]] = ..., old_commit: _Optional[str] = ..., new_commit: _Optional[str] = ..., topic: _Optional[str] = ..., background: _Optional[bool] = ...) -> None: ...

class StartMergeCheckResponse(_message.Message):
    __slots__ = ("check", "known")
    CHECK_FIELD_NUMBER: _ClassVar[int]
    KNOWN_FIELD_NUMBER: _ClassVar[int]
    check: MergeCheck
    known: bool
    def __init__(self, check: _Optional[_Union[MergeCheck, _Mapping]] = ..., known: _Optional[bool] = ...) -> None: ...

class LeaveMergeCheckRequest(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    def __init__(self, id: _Optional[str] = ...) -> None: ...

class LeaveMergeCheckResponse(_message.Message):
    __slots__ = ("check",)
    CHECK_FIELD_NUMBER: _ClassVar[int]
    check: MergeCheck
    def __init__(self, check: _Optional[_Union[MergeCheck, _Mapping]] = ...) -> None: ...

class GetMergeCheckRequest(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    def __init__(self, id: _Optional[str] = ...) -> None: ...

class GetMergeCheckResponse(_message.Message):
    __slots__ = ("check",)
    CHECK_FIELD_NUMBER: _ClassVar[int]
    check: MergeCheck
    def __init__(self, check: _Optional[_Union[MergeCheck, _Mapping]] = ...) -> None: ...

class ListMergeChecksRequest(_message.Message):
    __slots__ = ("repository_id", "project", "page_size", "page_token")
    REPOSITORY_ID_FIELD_NUMBER: _ClassVar[int]
    PROJECT_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    repository_id: str
    project: str
    page_size: int
    page_token: str
    def __init__(self, repository_id: _Optional[str] = ..., project: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListMergeChecksResponse(_message.Message):
    __slots__ = ("checks", "next_page_token")
    CHECKS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    checks: _containers.RepeatedCompositeFieldContainer[MergeCheck]
    next_page_token: str
    def __init__(self, checks: _Optional[_Iterable[_Union[MergeCheck, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class WatchMergeCheckRequest(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    def __init__(self, id: _Optional[str] = ...) -> None: ...

class WatchMergeCheckResponse(_message.Message):
    __slots__ = ("check",)
    CHECK_FIELD_NUMBER: _ClassVar[int]
    check: MergeCheck
    def __init__(self, check: _Optional[_Union[MergeCheck, _Mapping]] = ...) -> None: ...

class ConfirmMergeCheckRequest(_message.Message):
    __slots__ = ("id", "old_commit", "new_commit")
    ID_FIELD_NUMBER: _ClassVar[int]
    OLD_COMMIT_FIELD_NUMBER: _ClassVar[int]
    NEW_COMMIT_FIELD_NUMBER: _ClassVar[int]
    id: str
    old_commit: str
    new_commit: str
    def __init__(self, id: _Optional[str] = ..., old_commit: _Optional[str] = ..., new_commit: _Optional[str] = ...) -> None: ...

class ConfirmMergeCheckResponse(_message.Message):
    __slots__ = ("may_move", "reason")
    MAY_MOVE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    may_move: bool
    reason: str
    def __init__(self, may_move: _Optional[bool] = ..., reason: _Optional[str] = ...) -> None: ...

class GetMergeFreedomRequest(_message.Message):
    __slots__ = ("repository_id",)
    REPOSITORY_ID_FIELD_NUMBER: _ClassVar[int]
    repository_id: str
    def __init__(self, repository_id: _Optional[str] = ...) -> None: ...

class GetMergeFreedomResponse(_message.Message):
    __slots__ = ("freeness", "reason")
    FREENESS_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    freeness: MergeFreeness
    reason: str
    def __init__(self, freeness: _Optional[_Union[MergeFreeness, str]] = ..., reason: _Optional[str] = ...) -> None: ...

class ApproveMergeRequest(_message.Message):
    __slots__ = ("repository_id", "reason")
    REPOSITORY_ID_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    repository_id: str
    reason: str
    def __init__(self, repository_id: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class ApproveMergeResponse(_message.Message):
    __slots__ = ("until",)
    UNTIL_FIELD_NUMBER: _ClassVar[int]
    until: _timestamp_pb2.Timestamp
    def __init__(self, until: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class RecordMergeUndoneRequest(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    def __init__(self, id: _Optional[str] = ...) -> None: ...

class RecordMergeUndoneResponse(_message.Message):
    __slots__ = ("check",)
    CHECK_FIELD_NUMBER: _ClassVar[int]
    check: MergeCheck
    def __init__(self, check: _Optional[_Union[MergeCheck, _Mapping]] = ...) -> None: ...
