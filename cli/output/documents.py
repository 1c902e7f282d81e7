"""Turns values into JSON documents that name their fields as the HTTP interface does."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum
from pathlib import Path
from typing import Any

_IN_SECONDS = {"duration", "timeout", "cpu", "time_left", "catch_up", "late"}


def document(value: object) -> Any:
    """What JSON can say of a value: moments in UTC with `Z`, durations in seconds, an empty text as null."""
    if is_dataclass(value) and not isinstance(value, type):
        return _record(value)
    match value:
        case Enum():
            return value.value
        case datetime():
            return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
        case timedelta():
            return value.total_seconds()
        case Path():
            return str(value)
        case Mapping():
            return {str(key): document(item) for key, item in value.items()}
        case set() | frozenset():
            return sorted(document(item) for item in value)
        case list() | tuple():
            return [document(item) for item in value]
        case _:
            return value


def documents(values: Iterable[object]) -> list[Any]:
    """Each of them."""
    return [document(value) for value in values]


def _record(value: Any) -> dict[str, Any]:
    record: dict[str, Any] = {}
    for field in fields(value):
        item = getattr(value, field.name)
        if field.name == "limits":
            # By name, as over HTTP: who reads one limit does not want to search a list.
            record["limits"] = {
                one.name: {"value": one.value, "enforcement": one.enforcement.value, "detail": one.detail or None}
                for one in item
            }
            details = {one.name: one.detail for one in item}
            record["sandbox"], record["secrets"] = details.get("sandbox"), details.get("secrets")
            continue
        name = f"{field.name}_seconds" if field.name in _IN_SECONDS else field.name
        record[name] = None if isinstance(item, str) and not item else document(item)
    return record
