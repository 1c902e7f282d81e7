"""The one place where our errors become gRPC statuses with rich details, and statuses our errors again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta

import grpc
import grpc.aio
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2  # type: ignore[import-untyped]
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]

from foundation.errors import FieldFault, Kind, QuantumError, for_kind

DOMAIN = "quantum"
DETAILS_KEY = "grpc-status-details-bin"

# Statuses travel in HTTP/2 trailers, whose size both ends bound (METADATA_BYTES_MAX in limits.py);
# base64 and the repeated message take their share of it.
MESSAGE_CHARACTERS_MAX = 2_000
FIELDS_BYTES_MAX = 16 * 1024

_CODES: dict[Kind, grpc.StatusCode] = {
    Kind.INVALID: grpc.StatusCode.INVALID_ARGUMENT,
    Kind.NOT_FOUND: grpc.StatusCode.NOT_FOUND,
    Kind.CONFLICT: grpc.StatusCode.FAILED_PRECONDITION,
    Kind.STALE: grpc.StatusCode.ABORTED,
    Kind.EXHAUSTED: grpc.StatusCode.RESOURCE_EXHAUSTED,
    Kind.UNAUTHENTICATED: grpc.StatusCode.UNAUTHENTICATED,
    Kind.DENIED: grpc.StatusCode.PERMISSION_DENIED,
    Kind.UNAVAILABLE: grpc.StatusCode.UNAVAILABLE,
    Kind.TIMEOUT: grpc.StatusCode.DEADLINE_EXCEEDED,
    Kind.CANCELLED: grpc.StatusCode.CANCELLED,
    Kind.UNSUPPORTED: grpc.StatusCode.UNIMPLEMENTED,
    Kind.INTERNAL: grpc.StatusCode.INTERNAL,
}

# Codes that we never send but grpc itself or a foreign server may; what is in neither table is INTERNAL.
_KINDS: dict[grpc.StatusCode, Kind] = {code: kind for kind, code in _CODES.items()} | {
    grpc.StatusCode.ALREADY_EXISTS: Kind.CONFLICT,
    grpc.StatusCode.OUT_OF_RANGE: Kind.INVALID,
}

# What a status without our details means, in words that a person can use.
_BARE: dict[grpc.StatusCode, tuple[str, str, str]] = {
    grpc.StatusCode.UNAVAILABLE: (
        "unreachable",
        "The service cannot be reached.",
        "See `quantum status`, and start what is missing with `quantum up`.",
    ),
    grpc.StatusCode.DEADLINE_EXCEEDED: (
        "deadline_exceeded",
        "The service did not answer in time; whether it did what was asked is not known.",
        "Ask for the state before asking again, or use an idempotency key.",
    ),
    grpc.StatusCode.CANCELLED: ("call_cancelled", "The call was cancelled.", ""),
    grpc.StatusCode.UNIMPLEMENTED: (
        "unknown_method",
        "The service does not know this call.",
        "Bring both ends to the same version.",
    ),
}


def code_of(kind: Kind) -> grpc.StatusCode:
    """The gRPC code that stands for a kind."""
    return _CODES[kind]


def to_status(error: QuantumError) -> Status:
    """The rich status of an error: ErrorInfo always, BadRequest and RetryInfo where there is cause.

    Long messages and lists of field faults are cut to what a trailer carries; the cut is said.
    """
    status = Status(code=code_of(error.kind).value[0], message=_cut(error.message))
    info = error_details_pb2.ErrorInfo(reason=error.code, domain=DOMAIN)
    if error.remedy:
        info.metadata["remedy"] = _cut(error.remedy)
    status.details.add().Pack(info)
    if error.fields:
        status.details.add().Pack(_bad_request(error.fields))
    if error.retry_after is not None:
        delay = Duration()
        delay.FromTimedelta(error.retry_after)
        status.details.add().Pack(error_details_pb2.RetryInfo(retry_delay=delay))
    return status


def from_status(status: Status) -> QuantumError:
    """The error that `to_status` made this of; for a foreign status, the nearest one of ours."""
    code = next((known for known in grpc.StatusCode if known.value[0] == status.code), grpc.StatusCode.UNKNOWN)
    info: error_details_pb2.ErrorInfo | None = None
    fields: list[FieldFault] = []
    retry_after: timedelta | None = None
    for detail in status.details:
        if detail.Is(error_details_pb2.ErrorInfo.DESCRIPTOR):
            info = error_details_pb2.ErrorInfo()
            detail.Unpack(info)
        elif detail.Is(error_details_pb2.BadRequest.DESCRIPTOR):
            fields.extend(_field_faults(detail.value))
        elif detail.Is(error_details_pb2.RetryInfo.DESCRIPTOR):
            retry_after = error_details_pb2.RetryInfo.FromString(detail.value).retry_delay.ToTimedelta()
    if info is None:
        return _bare(code, status.message)
    return for_kind(_KINDS.get(code, Kind.INTERNAL))(
        info.reason,
        status.message,
        remedy=info.metadata.get("remedy", ""),
        fields=fields,
        retry_after=retry_after,
    )


def from_rpc_error(error: grpc.aio.AioRpcError) -> QuantumError:
    """The error of ours that a failed call stands for, whether a servicer or grpc itself refused it."""
    for key, value in error.trailing_metadata() or ():
        if key == DETAILS_KEY and isinstance(value, bytes):
            try:
                return from_status(Status.FromString(value))
            except DecodeError:
                break  # a foreign server's details; the bare status still says something
    return _bare(error.code(), error.details() or "")


def _bare(code: grpc.StatusCode, message: str) -> QuantumError:
    reason, sentence, remedy = _BARE.get(code, (code.name.lower(), "The call failed.", ""))
    said = f"{sentence[:-1]}: {_cut(message)}" if message else sentence
    return for_kind(_KINDS.get(code, Kind.INTERNAL))(reason, said, remedy=remedy)


def _cut(text: str) -> str:
    return text if len(text) <= MESSAGE_CHARACTERS_MAX else text[: MESSAGE_CHARACTERS_MAX - 1] + "…"


def _bad_request(fields: Sequence[FieldFault]) -> error_details_pb2.BadRequest:
    request = error_details_pb2.BadRequest()
    size = 0
    for number, fault in enumerate(fields):
        violation = error_details_pb2.BadRequest.FieldViolation(field=_cut(fault.path), description=_cut(fault.message))
        size += violation.ByteSize()
        if size > FIELDS_BYTES_MAX:
            request.field_violations.add(description=f"… and {len(fields) - number} more.")
            break
        request.field_violations.append(violation)
    return request


def _field_faults(packed: bytes) -> Iterator[FieldFault]:
    for violation in error_details_pb2.BadRequest.FromString(packed).field_violations:
        yield FieldFault(violation.field, violation.description)
