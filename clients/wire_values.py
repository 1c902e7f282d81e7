"""Conversions between protobuf's well-known types and Python's own, shared by the clients."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from foundation.errors import Internal, Invalid

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# What the wire's timestamp can say.
_SECONDS_MIN, _SECONDS_MAX = -62_135_596_800, 253_402_300_799
_DURATION_MAX = timedelta(seconds=315_576_000_000)
"""What the wire's duration can say."""


def to_timestamp(moment: datetime | None) -> Timestamp | None:
    """A wire timestamp of an aware moment; None stays None (absent). Raises Invalid, code `bad_time`."""
    if moment is None:
        return None
    if moment.tzinfo is None:
        raise Invalid(
            "bad_time",
            f"“{moment.isoformat()}” has no time zone.",
            remedy="Write it like 2026-12-01T06:00:00Z.",
        )
    since = moment - _EPOCH  # a third of the cost of FromDatetime
    seconds = since.days * 86_400 + since.seconds
    if not _SECONDS_MIN <= seconds <= _SECONDS_MAX:
        raise Invalid("bad_time", f"“{moment.isoformat()}” is outside the years 1 to 9999.")
    return Timestamp(seconds=seconds, nanos=since.microseconds * 1000)


def to_duration(duration: timedelta | None) -> Duration | None:
    """A wire duration; None stays None (absent). Raises Invalid, code `bad_duration`, beyond 10,000 years."""
    if duration is None:
        return None
    if abs(duration) > _DURATION_MAX:
        raise Invalid("bad_duration", "That duration is longer than 10,000 years.")
    wire = Duration()
    wire.FromTimedelta(duration)
    return wire


def micros_of(moment: datetime) -> int:
    """Whole microseconds from 1970 to an aware moment."""
    elapsed = moment - _EPOCH
    return (elapsed.days * 86_400 + elapsed.seconds) * 1_000_000 + elapsed.microseconds


def moment_in(message: Message, field: str) -> datetime | None:
    """The aware UTC moment in a timestamp field; None when it is absent."""
    if not message.HasField(field):
        return None
    wire: Timestamp = getattr(message, field)
    return _EPOCH + timedelta(seconds=wire.seconds, microseconds=wire.nanos // 1000)  # a third of ToDatetime's cost


def duration_in(message: Message, field: str) -> timedelta | None:
    """The duration in a duration field; None when it is absent."""
    return getattr(message, field).ToTimedelta() if message.HasField(field) else None


def to_json(value: Mapping[str, object]) -> bytes:
    """A JSON object in UTF-8; raises Invalid, code `bad_params`, for what JSON cannot say."""
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
    except (TypeError, ValueError, RecursionError):
        raise Invalid("bad_params", "The params cannot be written as JSON.") from None


def from_json(data: bytes) -> Mapping[str, object]:
    """The JSON object in a field; empty is {}. Raises Internal, code `bad_answer`, for anything else."""
    if not data or data == b"{}":
        return {}
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise Internal("bad_answer", "A service answered with something that is not a JSON object.")
    return value
