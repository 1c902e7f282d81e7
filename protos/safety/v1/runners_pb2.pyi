import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from protos.common.v1 import options_pb2 as _options_pb2
from protos.safety.v1 import tokens_pb2 as _tokens_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class InviteRunnerRequest(_message.Message):
    __slots__ = ("name", "lifetime", "replace")
    NAME_FIELD_NUMBER: _ClassVar[int]
    LIFETIME_FIELD_NUMBER: _ClassVar[int]
    REPLACE_FIELD_NUMBER: _ClassVar[int]
    name: str
    lifetime: _duration_pb2.Duration
    replace: bool
    def __init__(self, name: _Optional[str] = ..., lifetime: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., replace: _Optional[bool] = ...) -> None: ...

class InviteRunnerResponse(_message.Message):
    __slots__ = ("info", "token", "identity")
    INFO_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    IDENTITY_FIELD_NUMBER: _ClassVar[int]
    info: _tokens_pb2.TokenInfo
    token: str
    identity: bytes
    def __init__(self, info: _Optional[_Union[_tokens_pb2.TokenInfo, _Mapping]] = ..., token: _Optional[str] = ..., identity: _Optional[bytes] = ...) -> None: ...

class JoinRunnerRequest(_message.Message):
    __slots__ = ("name", "certificate_request")
    NAME_FIELD_NUMBER: _ClassVar[int]
    CERTIFICATE_REQUEST_FIELD_NUMBER: _ClassVar[int]
    name: str
    certificate_request: bytes
    def __init__(self, name: _Optional[str] = ..., certificate_request: _Optional[bytes] = ...) -> None: ...

class JoinRunnerResponse(_message.Message):
    __slots__ = ("certificate", "info", "token")
    CERTIFICATE_FIELD_NUMBER: _ClassVar[int]
    INFO_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    certificate: bytes
    info: _tokens_pb2.TokenInfo
    token: str
    def __init__(self, certificate: _Optional[bytes] = ..., info: _Optional[_Union[_tokens_pb2.TokenInfo, _Mapping]] = ..., token: _Optional[str] = ...) -> None: ...

class RenewRunnerRequest(_message.Message):
    __slots__ = ("certificate_request",)
    CERTIFICATE_REQUEST_FIELD_NUMBER: _ClassVar[int]
    certificate_request: bytes
    def __init__(self, certificate_request: _Optional[bytes] = ...) -> None: ...

class RenewRunnerResponse(_message.Message):
    __slots__ = ("certificate",)
    CERTIFICATE_FIELD_NUMBER: _ClassVar[int]
    certificate: bytes
    def __init__(self, certificate: _Optional[bytes] = ...) -> None: ...

class RemoveRunnerRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class RemoveRunnerResponse(_message.Message):
    __slots__ = ("tokens",)
    TOKENS_FIELD_NUMBER: _ClassVar[int]
    tokens: _containers.RepeatedCompositeFieldContainer[_tokens_pb2.TokenInfo]
    def __init__(self, tokens: _Optional[_Iterable[_Union[_tokens_pb2.TokenInfo, _Mapping]]] = ...) -> None: ...
