import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from protos.common.v1 import options_pb2 as _options_pb2
from protos.safety.v1 import admission_pb2 as _admission_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ReservationStage(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    RESERVATION_STAGE_UNSPECIFIED: _ClassVar[ReservationStage]
    RESERVATION_STAGE_HELD: _ClassVar[ReservationStage]
    RESERVATION_STAGE_SETTLED: _ClassVar[ReservationStage]
    RESERVATION_STAGE_RELEASED: _ClassVar[ReservationStage]
    RESERVATION_STAGE_CHARGED: _ClassVar[ReservationStage]
RESERVATION_STAGE_UNSPECIFIED: ReservationStage
RESERVATION_STAGE_HELD: ReservationStage
RESERVATION_STAGE_SETTLED: ReservationStage
RESERVATION_STAGE_RELEASED: ReservationStage
RESERVATION_STAGE_CHARGED: ReservationStage

class Reservation(_message.Message):
    __slots__ = ("attempt", "key", "agent", "provider", "model", "input_tokens", "output_tokens", "reserved_micros", "stage", "actual_micros", "made_at", "ended_at")
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    AGENT_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    INPUT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    RESERVED_MICROS_FIELD_NUMBER: _ClassVar[int]
    STAGE_FIELD_NUMBER: _ClassVar[int]
    ACTUAL_MICROS_FIELD_NUMBER: _ClassVar[int]
    MADE_AT_FIELD_NUMBER: _ClassVar[int]
    ENDED_AT_FIELD_NUMBER: _ClassVar[int]
    attempt: _admission_pb2.AttemptKey
    key: str
    agent: str
    provider: str
    model: str
    input_tokens: int
    output_tokens: int
    reserved_micros: int
    stage: ReservationStage
    actual_micros: int
    made_at: _timestamp_pb2.Timestamp
    ended_at: _timestamp_pb2.Timestamp
    def __init__(self, attempt: _Optional[_Union[_admission_pb2.AttemptKey, _Mapping]] = ..., key: _Optional[str] = ..., agent: _Optional[str] = ..., provider: _Optional[str] = ..., model: _Optional[str] = ..., input_tokens: _Optional[int] = ..., output_tokens: _Optional[int] = ..., reserved_micros: _Optional[int] = ..., stage: _Optional[_Union[ReservationStage, str]] = ..., actual_micros: _Optional[int] = ..., made_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., ended_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class ReserveSpendRequest(_message.Message):
    __slots__ = ("key", "provider", "model", "input_tokens", "output_tokens")
    KEY_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    INPUT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    key: str
    provider: str
    model: str
    input_tokens: int
    output_tokens: int
    def __init__(self, key: _Optional[str] = ..., provider: _Optional[str] = ..., model: _Optional[str] = ..., input_tokens: _Optional[int] = ..., output_tokens: _Optional[int] = ...) -> None: ...

class ReserveSpendResponse(_message.Message):
    __slots__ = ("reservation",)
    RESERVATION_FIELD_NUMBER: _ClassVar[int]
    reservation: Reservation
    def __init__(self, reservation: _Optional[_Union[Reservation, _Mapping]] = ...) -> None: ...

class ExtendSpendRequest(_message.Message):
    __slots__ = ("key", "input_tokens", "output_tokens")
    KEY_FIELD_NUMBER: _ClassVar[int]
    INPUT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    key: str
    input_tokens: int
    output_tokens: int
    def __init__(self, key: _Optional[str] = ..., input_tokens: _Optional[int] = ..., output_tokens: _Optional[int] = ...) -> None: ...

class ExtendSpendResponse(_message.Message):
    __slots__ = ("reservation",)
    RESERVATION_FIELD_NUMBER: _ClassVar[int]
    reservation: Reservation
    def __init__(self, reservation: _Optional[_Union[Reservation, _Mapping]] = ...) -> None: ...

class TokensUsed(_message.Message):
    __slots__ = ("input_tokens", "output_tokens")
    INPUT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    input_tokens: int
    output_tokens: int
    def __init__(self, input_tokens: _Optional[int] = ..., output_tokens: _Optional[int] = ...) -> None: ...

class SettleSpendRequest(_message.Message):
    __slots__ = ("key", "used", "micros")
    KEY_FIELD_NUMBER: _ClassVar[int]
    USED_FIELD_NUMBER: _ClassVar[int]
    MICROS_FIELD_NUMBER: _ClassVar[int]
    key: str
    used: TokensUsed
    micros: int
    def __init__(self, key: _Optional[str] = ..., used: _Optional[_Union[TokensUsed, _Mapping]] = ..., micros: _Optional[int] = ...) -> None: ...

class SettleSpendResponse(_message.Message):
    __slots__ = ("reservation",)
    RESERVATION_FIELD_NUMBER: _ClassVar[int]
    reservation: Reservation
    def __init__(self, reservation: _Optional[_Union[Reservation, _Mapping]] = ...) -> None: ...

class ReleaseSpendRequest(_message.Message):
    __slots__ = ("key",)
    KEY_FIELD_NUMBER: _ClassVar[int]
    key: str
    def __init__(self, key: _Optional[str] = ...) -> None: ...

class ReleaseSpendResponse(_message.Message):
    __slots__ = ("reservation",)
    RESERVATION_FIELD_NUMBER: _ClassVar[int]
    reservation: Reservation
    def __init__(self, reservation: _Optional[_Union[Reservation, _Mapping]] = ...) -> None: ...

class CorrectSpendRequest(_message.Message):
    __slots__ = ("attempt", "key", "micros", "reason")
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    MICROS_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    attempt: _admission_pb2.AttemptKey
    key: str
    micros: int
    reason: str
    def __init__(self, attempt: _Optional[_Union[_admission_pb2.AttemptKey, _Mapping]] = ..., key: _Optional[str] = ..., micros: _Optional[int] = ..., reason: _Optional[str] = ...) -> None: ...

class CorrectSpendResponse(_message.Message):
    __slots__ = ("reservation",)
    RESERVATION_FIELD_NUMBER: _ClassVar[int]
    reservation: Reservation
    def __init__(self, reservation: _Optional[_Union[Reservation, _Mapping]] = ...) -> None: ...

class SpendCap(_message.Message):
    __slots__ = ("scope", "per", "micros", "origin", "actor", "reason", "at")
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    PER_FIELD_NUMBER: _ClassVar[int]
    MICROS_FIELD_NUMBER: _ClassVar[int]
    ORIGIN_FIELD_NUMBER: _ClassVar[int]
    ACTOR_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    AT_FIELD_NUMBER: _ClassVar[int]
    scope: str
    per: str
    micros: int
    origin: str
    actor: str
    reason: str
    at: _timestamp_pb2.Timestamp
    def __init__(self, scope: _Optional[str] = ..., per: _Optional[str] = ..., micros: _Optional[int] = ..., origin: _Optional[str] = ..., actor: _Optional[str] = ..., reason: _Optional[str] = ..., at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class SpendAccount(_message.Message):
    __slots__ = ("scope", "per", "window", "spent_micros", "reserved_micros", "cap", "opens_at")
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    PER_FIELD_NUMBER: _ClassVar[int]
    WINDOW_FIELD_NUMBER: _ClassVar[int]
    SPENT_MICROS_FIELD_NUMBER: _ClassVar[int]
    RESERVED_MICROS_FIELD_NUMBER: _ClassVar[int]
    CAP_FIELD_NUMBER: _ClassVar[int]
    OPENS_AT_FIELD_NUMBER: _ClassVar[int]
    scope: str
    per: str
    window: str
    spent_micros: int
    reserved_micros: int
    cap: SpendCap
    opens_at: _timestamp_pb2.Timestamp
    def __init__(self, scope: _Optional[str] = ..., per: _Optional[str] = ..., window: _Optional[str] = ..., spent_micros: _Optional[int] = ..., reserved_micros: _Optional[int] = ..., cap: _Optional[_Union[SpendCap, _Mapping]] = ..., opens_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class PausedAttempt(_message.Message):
    __slots__ = ("attempt", "agent", "reason")
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    AGENT_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    attempt: _admission_pb2.AttemptKey
    agent: str
    reason: str
    def __init__(self, attempt: _Optional[_Union[_admission_pb2.AttemptKey, _Mapping]] = ..., agent: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class GetSpendRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetSpendResponse(_message.Message):
    __slots__ = ("accounts", "open", "paused", "stopped_by")
    ACCOUNTS_FIELD_NUMBER: _ClassVar[int]
    OPEN_FIELD_NUMBER: _ClassVar[int]
    PAUSED_FIELD_NUMBER: _ClassVar[int]
    STOPPED_BY_FIELD_NUMBER: _ClassVar[int]
    accounts: _containers.RepeatedCompositeFieldContainer[SpendAccount]
    open: _containers.RepeatedCompositeFieldContainer[Reservation]
    paused: _containers.RepeatedCompositeFieldContainer[PausedAttempt]
    stopped_by: str
    def __init__(self, accounts: _Optional[_Iterable[_Union[SpendAccount, _Mapping]]] = ..., open: _Optional[_Iterable[_Union[Reservation, _Mapping]]] = ..., paused: _Optional[_Iterable[_Union[PausedAttempt, _Mapping]]] = ..., stopped_by: _Optional[str] = ...) -> None: ...

class ListPricesRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Price(_message.Message):
    __slots__ = ("provider", "model", "valid_from", "valid_until", "input_micros", "output_micros", "call_micros")
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    VALID_FROM_FIELD_NUMBER: _ClassVar[int]
    VALID_UNTIL_FIELD_NUMBER: _ClassVar[int]
    INPUT_MICROS_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_MICROS_FIELD_NUMBER: _ClassVar[int]
    CALL_MICROS_FIELD_NUMBER: _ClassVar[int]
    provider: str
    model: str
    valid_from: str
    valid_until: str
    input_micros: int
    output_micros: int
    call_micros: int
    def __init__(self, provider: _Optional[str] = ..., model: _Optional[str] = ..., valid_from: _Optional[str] = ..., valid_until: _Optional[str] = ..., input_micros: _Optional[int] = ..., output_micros: _Optional[int] = ..., call_micros: _Optional[int] = ...) -> None: ...

class ListPricesResponse(_message.Message):
    __slots__ = ("prices", "fault")
    PRICES_FIELD_NUMBER: _ClassVar[int]
    FAULT_FIELD_NUMBER: _ClassVar[int]
    prices: _containers.RepeatedCompositeFieldContainer[Price]
    fault: str
    def __init__(self, prices: _Optional[_Iterable[_Union[Price, _Mapping]]] = ..., fault: _Optional[str] = ...) -> None: ...

class SetSpendCapRequest(_message.Message):
    __slots__ = ("scope", "per", "micros", "clear", "reason")
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    PER_FIELD_NUMBER: _ClassVar[int]
    MICROS_FIELD_NUMBER: _ClassVar[int]
    CLEAR_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    scope: str
    per: str
    micros: int
    clear: bool
    reason: str
    def __init__(self, scope: _Optional[str] = ..., per: _Optional[str] = ..., micros: _Optional[int] = ..., clear: _Optional[bool] = ..., reason: _Optional[str] = ...) -> None: ...

class SetSpendCapResponse(_message.Message):
    __slots__ = ("cap",)
    CAP_FIELD_NUMBER: _ClassVar[int]
    cap: SpendCap
    def __init__(self, cap: _Optional[_Union[SpendCap, _Mapping]] = ...) -> None: ...
