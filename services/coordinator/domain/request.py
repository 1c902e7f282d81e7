"""What a caller asks for, its bounds, and the digest that tells one request from another."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from foundation.errors import FieldFault

TASKS_MAX = 10_000
PARAMS_BYTES_MAX = 256 * 1024
PRIORITY_MAX = 9
PRIORITY_DEFAULT = 5
LABELS_MAX = 32
LABEL_LENGTH_MAX = 64
TIMEOUT_MIN = timedelta(milliseconds=50)
TIMEOUT_MAX = timedelta(days=30)
KEY_LENGTH_MAX = 255

_NO_LABELS: Mapping[str, str] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskRequest:
    """One task as asked for. `params` is UTF-8 JSON, empty for {}; None means absent: the manifest decides."""

    agent: str
    params: bytes = b""
    project: str = ""
    priority: int | None = None
    not_before: datetime | None = None
    depends_on: tuple[str, ...] = ()
    ref: str = ""
    timeout: timedelta | None = None
    retries: int | None = None
    labels: Mapping[str, str] = field(default_factory=lambda: _NO_LABELS)


def _refuse_constant(name: str) -> object:
    raise ValueError(f"{name} is not JSON")


_decode = json.JSONDecoder(parse_constant=_refuse_constant).decode


def read_params(params: bytes) -> str:
    """Return the text of the params, {} for none. Raises ValueError with the rest of a sentence: “params …”."""
    if not params or params == b"{}":
        return "{}"
    if len(params) > PARAMS_BYTES_MAX:
        raise ValueError(f"are {len(params)} bytes long; at most {PARAMS_BYTES_MAX} are taken.")
    try:
        text = params.decode()
        value = _decode(text)
    except UnicodeDecodeError as error:
        raise ValueError(f"are not UTF-8 (byte {error.start}).") from None
    except RecursionError:
        raise ValueError("are nested too deeply.") from None
    except ValueError as error:
        raise ValueError(f"are not JSON: {error}.") from None
    if not isinstance(value, dict):
        raise ValueError(f"must be a JSON object, not {_json_type(value)}.")
    return text


def _json_type(value: object) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case list():
            return "an array"
        case str():
            return "a string"
        case _:
            return "a number"


def check_bounds(request: TaskRequest, index: int, *, retries_max: int, faults: list[FieldFault]) -> None:
    """Add a fault for every field of the request that is out of its bounds."""
    priority, retries, timeout = request.priority, request.retries, request.timeout
    if priority is not None and not 0 <= priority <= PRIORITY_MAX:
        _fault(faults, index, "priority", f"A priority is 0 to {PRIORITY_MAX}, {PRIORITY_MAX} first; not {priority}.")
    if retries is not None and not 0 <= retries <= retries_max:
        _fault(faults, index, "retries", f"Retries are 0 to {retries_max} (max_retries), not {retries}.")
    if timeout is not None and not TIMEOUT_MIN <= timeout <= TIMEOUT_MAX:
        _fault(faults, index, "timeout", "A timeout is between 50 ms and 30 days.")
    if request.labels:
        _check_labels(request.labels, index, faults)


def _check_labels(labels: Mapping[str, str], index: int, faults: list[FieldFault]) -> None:
    if len(labels) > LABELS_MAX:
        _fault(faults, index, "labels", f"A task has at most {LABELS_MAX} labels, not {len(labels)}.")
        return
    for key, value in labels.items():
        if not 1 <= len(key) <= LABEL_LENGTH_MAX or len(value) > LABEL_LENGTH_MAX:
            said = f"The label “{key[:LABEL_LENGTH_MAX]}” is longer than {LABEL_LENGTH_MAX} characters or has no key."
            _fault(faults, index, "labels", said)


def _fault(faults: list[FieldFault], index: int, name: str, said: str) -> None:
    faults.append(FieldFault(f"tasks[{index}].{name}", said))


def digest_of(requests: Sequence[TaskRequest]) -> str:
    """SHA-256 of what was asked for, whatever the spelling of the JSON or the order of its keys."""
    canonical = [
        (
            request.agent,
            _canonical(request.params),
            request.project,
            request.priority,
            request.not_before and request.not_before.isoformat(),
            request.depends_on,
            request.ref,
            None if request.timeout is None else request.timeout.total_seconds(),
            request.retries,
            dict(request.labels),
        )
        for request in requests
    ]
    return digest_of_parts(canonical)


def digest_of_parts(parts: object) -> str:
    """SHA-256 of a value made of JSON's types."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _canonical(params: bytes) -> object:
    try:
        return json.loads(params) if params else {}
    except (ValueError, RecursionError):
        return repr(params)
