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

class BudgetGrade(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    BUDGET_GRADE_UNSPECIFIED: _ClassVar[BudgetGrade]
    BUDGET_GRADE_NORMAL: _ClassVar[BudgetGrade]
    BUDGET_GRADE_RETRIES_HALVED: _ClassVar[BudgetGrade]
    BUDGET_GRADE_ONE_AT_A_TIME: _ClassVar[BudgetGrade]
    BUDGET_GRADE_SPENT: _ClassVar[BudgetGrade]

class MergeFreedom(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    MERGE_FREEDOM_UNSPECIFIED: _ClassVar[MergeFreedom]
    MERGE_FREEDOM_FREE: _ClassVar[MergeFreedom]
    MERGE_FREEDOM_APPROVAL: _ClassVar[MergeFreedom]
    MERGE_FREEDOM_FROZEN: _ClassVar[MergeFreedom]
BUDGET_GRADE_UNSPECIFIED: BudgetGrade
BUDGET_GRADE_NORMAL: BudgetGrade
BUDGET_GRADE_RETRIES_HALVED: BudgetGrade
BUDGET_GRADE_ONE_AT_A_TIME: BudgetGrade
BUDGET_GRADE_SPENT: BudgetGrade
MERGE_FREEDOM_UNSPECIFIED: MergeFreedom
MERGE_FREEDOM_FREE: MergeFreedom
MERGE_FREEDOM_APPROVAL: MergeFreedom
MERGE_FREEDOM_FROZEN: MergeFreedom

class Budget(_message.Message):
    __slots__ = ("scope", "objective", "attempts", "failures", "left", "windows", "grade", "evidence", "since", "thaws_at", "running_task_id", "forgiven_at", "forgiven_by", "forgiven_reason")
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    OBJECTIVE_FIELD_NUMBER: _ClassVar[int]
    ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    FAILURES_FIELD_NUMBER: _ClassVar[int]
    LEFT_FIELD_NUMBER: _ClassVar[int]
    WINDOWS_FIELD_NUMBER: _ClassVar[int]
    GRADE_FIELD_NUMBER: _ClassVar[int]
    EVIDENCE_FIELD_NUMBER: _ClassVar[int]
    SINCE_FIELD_NUMBER: _ClassVar[int]
    THAWS_AT_FIELD_NUMBER: _ClassVar[int]
    RUNNING_TASK_ID_FIELD_NUMBER: _ClassVar[int]
    FORGIVEN_AT_FIELD_NUMBER: _ClassVar[int]
    FORGIVEN_BY_FIELD_NUMBER: _ClassVar[int]
    FORGIVEN_REASON_FIELD_NUMBER: _ClassVar[int]
    scope: str
    objective: float
    attempts: int
    failures: int
    left: float
    windows: _containers.RepeatedCompositeFieldContainer[BudgetWindow]
    grade: BudgetGrade
    evidence: str
    since: _timestamp_pb2.Timestamp
    thaws_at: _timestamp_pb2.Timestamp
    running_task_id: str
    forgiven_at: _timestamp_pb2.Timestamp
    forgiven_by: str
    forgiven_reason: str
    def __init__(self, scope: _Optional[str] = ..., objective: _Optional[float] = ..., attempts: _Optional[int] = ..., failures: _Optional[int] = ..., left: _Optional[float] = ..., windows: _Optional[_Iterable[_Union[BudgetWindow, _Mapping]]] = ..., grade: _Optional[_Union[BudgetGrade, str]] = ..., evidence: _Optional[str] = ..., since: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., thaws_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., running_task_id: _Optional[str] = ..., forgiven_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., forgiven_by: _Optional[str] = ..., forgiven_reason: _Optional[str] = ...) -> None: ...

class BudgetWindow(_message.Message):
    __slots__ = ("minutes", "attempts", "failures", "burn")
    MINUTES_FIELD_NUMBER: _ClassVar[int]
    ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    FAILURES_FIELD_NUMBER: _ClassVar[int]
    BURN_FIELD_NUMBER: _ClassVar[int]
    minutes: int
    attempts: int
    failures: int
    burn: float
    def __init__(self, minutes: _Optional[int] = ..., attempts: _Optional[int] = ..., failures: _Optional[int] = ..., burn: _Optional[float] = ...) -> None: ...

class ListBudgetsRequest(_message.Message):
    __slots__ = ("not_normal",)
    NOT_NORMAL_FIELD_NUMBER: _ClassVar[int]
    not_normal: bool
    def __init__(self, not_normal: _Optional[bool] = ...) -> None: ...

class ListBudgetsResponse(_message.Message):
    __slots__ = ("budgets",)
    BUDGETS_FIELD_NUMBER: _ClassVar[int]
    budgets: _containers.RepeatedCompositeFieldContainer[Budget]
    def __init__(self, budgets: _Optional[_Iterable[_Union[Budget, _Mapping]]] = ...) -> None: ...

class ResetBudgetRequest(_message.Message):
    __slots__ = ("scope", "reason")
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    scope: str
    reason: str
    def __init__(self, scope: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class ResetBudgetResponse(_message.Message):
    __slots__ = ("budget",)
    BUDGET_FIELD_NUMBER: _ClassVar[int]
    budget: Budget
    def __init__(self, budget: _Optional[_Union[Budget, _Mapping]] = ...) -> None: ...

class RecordMergeOutcomeRequest(_message.Message):
    __slots__ = ("project", "check_id", "bad")
    PROJECT_FIELD_NUMBER: _ClassVar[int]
    CHECK_ID_FIELD_NUMBER: _ClassVar[int]
    BAD_FIELD_NUMBER: _ClassVar[int]
    project: str
    check_id: str
    bad: bool
    def __init__(self, project: _Optional[str] = ..., check_id: _Optional[str] = ..., bad: _Optional[bool] = ...) -> None: ...

class RecordMergeOutcomeResponse(_message.Message):
    __slots__ = ("standing",)
    STANDING_FIELD_NUMBER: _ClassVar[int]
    standing: MergeStanding
    def __init__(self, standing: _Optional[_Union[MergeStanding, _Mapping]] = ...) -> None: ...

class GetMergeStandingRequest(_message.Message):
    __slots__ = ("project",)
    PROJECT_FIELD_NUMBER: _ClassVar[int]
    project: str
    def __init__(self, project: _Optional[str] = ...) -> None: ...

class GetMergeStandingResponse(_message.Message):
    __slots__ = ("standing",)
    STANDING_FIELD_NUMBER: _ClassVar[int]
    standing: MergeStanding
    def __init__(self, standing: _Optional[_Union[MergeStanding, _Mapping]] = ...) -> None: ...

class MergeStanding(_message.Message):
    __slots__ = ("freedom", "reason")
    FREEDOM_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    freedom: MergeFreedom
    reason: str
    def __init__(self, freedom: _Optional[_Union[MergeFreedom, str]] = ..., reason: _Optional[str] = ...) -> None: ...
