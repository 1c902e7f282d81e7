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

class OutcomeKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    OUTCOME_KIND_UNSPECIFIED: _ClassVar[OutcomeKind]
    OUTCOME_KIND_SUCCESS: _ClassVar[OutcomeKind]
    OUTCOME_KIND_FAILURE: _ClassVar[OutcomeKind]
    OUTCOME_KIND_NEUTRAL: _ClassVar[OutcomeKind]

class RenewalKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    RENEWAL_KIND_UNSPECIFIED: _ClassVar[RenewalKind]
    RENEWAL_KIND_CONTINUE: _ClassVar[RenewalKind]
    RENEWAL_KIND_PAUSE: _ClassVar[RenewalKind]
    RENEWAL_KIND_STOP: _ClassVar[RenewalKind]
OUTCOME_KIND_UNSPECIFIED: OutcomeKind
OUTCOME_KIND_SUCCESS: OutcomeKind
OUTCOME_KIND_FAILURE: OutcomeKind
OUTCOME_KIND_NEUTRAL: OutcomeKind
RENEWAL_KIND_UNSPECIFIED: RenewalKind
RENEWAL_KIND_CONTINUE: RenewalKind
RENEWAL_KIND_PAUSE: RenewalKind
RENEWAL_KIND_STOP: RenewalKind

class AttemptKey(_message.Message):
    __slots__ = ("task_id", "fence")
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    FENCE_FIELD_NUMBER: _ClassVar[int]
    task_id: str
    fence: int
    def __init__(self, task_id: _Optional[str] = ..., fence: _Optional[int] = ...) -> None: ...

class Outcome(_message.Message):
    __slots__ = ("attempt", "agent", "project", "uses", "kind", "failure_class", "detail", "finished_at", "epoch")
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    AGENT_FIELD_NUMBER: _ClassVar[int]
    PROJECT_FIELD_NUMBER: _ClassVar[int]
    USES_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    FAILURE_CLASS_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    FINISHED_AT_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    attempt: AttemptKey
    agent: str
    project: str
    uses: _containers.RepeatedScalarFieldContainer[str]
    kind: OutcomeKind
    failure_class: str
    detail: str
    finished_at: _timestamp_pb2.Timestamp
    epoch: int
    def __init__(self, attempt: _Optional[_Union[AttemptKey, _Mapping]] = ..., agent: _Optional[str] = ..., project: _Optional[str] = ..., uses: _Optional[_Iterable[str]] = ..., kind: _Optional[_Union[OutcomeKind, str]] = ..., failure_class: _Optional[str] = ..., detail: _Optional[str] = ..., finished_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., epoch: _Optional[int] = ...) -> None: ...

class Candidate(_message.Message):
    __slots__ = ("attempt", "agent", "project", "uses", "origin", "identified")
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    AGENT_FIELD_NUMBER: _ClassVar[int]
    PROJECT_FIELD_NUMBER: _ClassVar[int]
    USES_FIELD_NUMBER: _ClassVar[int]
    ORIGIN_FIELD_NUMBER: _ClassVar[int]
    IDENTIFIED_FIELD_NUMBER: _ClassVar[int]
    attempt: AttemptKey
    agent: str
    project: str
    uses: _containers.RepeatedScalarFieldContainer[str]
    origin: str
    identified: bool
    def __init__(self, attempt: _Optional[_Union[AttemptKey, _Mapping]] = ..., agent: _Optional[str] = ..., project: _Optional[str] = ..., uses: _Optional[_Iterable[str]] = ..., origin: _Optional[str] = ..., identified: _Optional[bool] = ...) -> None: ...

class AdmitRequest(_message.Message):
    __slots__ = ("outcomes", "candidates")
    OUTCOMES_FIELD_NUMBER: _ClassVar[int]
    CANDIDATES_FIELD_NUMBER: _ClassVar[int]
    outcomes: _containers.RepeatedCompositeFieldContainer[Outcome]
    candidates: _containers.RepeatedCompositeFieldContainer[Candidate]
    def __init__(self, outcomes: _Optional[_Iterable[_Union[Outcome, _Mapping]]] = ..., candidates: _Optional[_Iterable[_Union[Candidate, _Mapping]]] = ...) -> None: ...

class AdmitResponse(_message.Message):
    __slots__ = ("decisions", "mode", "epoch", "retries_halved")
    DECISIONS_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    RETRIES_HALVED_FIELD_NUMBER: _ClassVar[int]
    decisions: _containers.RepeatedCompositeFieldContainer[Decision]
    mode: str
    epoch: int
    retries_halved: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, decisions: _Optional[_Iterable[_Union[Decision, _Mapping]]] = ..., mode: _Optional[str] = ..., epoch: _Optional[int] = ..., retries_halved: _Optional[_Iterable[str]] = ...) -> None: ...

class Decision(_message.Message):
    __slots__ = ("admitted", "scope", "code", "reason", "ask_again_at", "credential")
    ADMITTED_FIELD_NUMBER: _ClassVar[int]
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    CODE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    ASK_AGAIN_AT_FIELD_NUMBER: _ClassVar[int]
    CREDENTIAL_FIELD_NUMBER: _ClassVar[int]
    admitted: bool
    scope: str
    code: str
    reason: str
    ask_again_at: _timestamp_pb2.Timestamp
    credential: str
    def __init__(self, admitted: _Optional[bool] = ..., scope: _Optional[str] = ..., code: _Optional[str] = ..., reason: _Optional[str] = ..., ask_again_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., credential: _Optional[str] = ...) -> None: ...

class IdentifyAttemptRequest(_message.Message):
    __slots__ = ("credential",)
    CREDENTIAL_FIELD_NUMBER: _ClassVar[int]
    credential: str
    def __init__(self, credential: _Optional[str] = ...) -> None: ...

class IdentifyAttemptResponse(_message.Message):
    __slots__ = ("attempt",)
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    attempt: AttemptKey
    def __init__(self, attempt: _Optional[_Union[AttemptKey, _Mapping]] = ...) -> None: ...

class RenewRequest(_message.Message):
    __slots__ = ("attempts",)
    ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    attempts: _containers.RepeatedCompositeFieldContainer[AttemptKey]
    def __init__(self, attempts: _Optional[_Iterable[_Union[AttemptKey, _Mapping]]] = ...) -> None: ...

class Renewal(_message.Message):
    __slots__ = ("kind", "reason", "code", "until")
    KIND_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    CODE_FIELD_NUMBER: _ClassVar[int]
    UNTIL_FIELD_NUMBER: _ClassVar[int]
    kind: RenewalKind
    reason: str
    code: str
    until: _timestamp_pb2.Timestamp
    def __init__(self, kind: _Optional[_Union[RenewalKind, str]] = ..., reason: _Optional[str] = ..., code: _Optional[str] = ..., until: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class RenewResponse(_message.Message):
    __slots__ = ("renewals", "mode", "epoch")
    RENEWALS_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    renewals: _containers.RepeatedCompositeFieldContainer[Renewal]
    mode: str
    epoch: int
    def __init__(self, renewals: _Optional[_Iterable[_Union[Renewal, _Mapping]]] = ..., mode: _Optional[str] = ..., epoch: _Optional[int] = ...) -> None: ...
