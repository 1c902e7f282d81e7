"""What a script may publish as its report: JSON of the form {type, project, summary, data}."""

from __future__ import annotations

import json
import re
from typing import NamedTuple

_TYPE = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}\Z")
_NAMED_MAX, _NAMED_CHARACTERS = 5, 40
_KEYS = frozenset({"type", "project", "summary", "data"})


class ReportReading(NamedTuple):
    """The report as text, or, when it is empty, the sentence that says why it was not taken."""

    text: str
    fault: str


def read_report(raw: bytes, bytes_max: int) -> ReportReading:
    """Check a report's shape; `raw` may be cut one byte after `bytes_max`."""
    if len(raw) > bytes_max:
        return ReportReading("", f"the report is over {bytes_max} bytes")
    try:
        text = raw.decode()
        document = json.loads(text)
    except (ValueError, RecursionError):
        return ReportReading("", "the report is not JSON in UTF-8")
    fault = _fault(document)
    return ReportReading("", fault) if fault else ReportReading(text, "")


def _fault(document: object) -> str:
    if not isinstance(document, dict):
        return "the report is not a JSON object"
    if unknown := sorted(map(str, document.keys() - _KEYS)):
        named = ", ".join(ascii(key[:_NAMED_CHARACTERS])[1:-1] for key in unknown[:_NAMED_MAX])
        return f"the report has keys that no report has: {named}{' …' if len(unknown) > _NAMED_MAX else ''}"
    if not isinstance(document.get("type"), str) or not _TYPE.match(document["type"]):
        return "the report's `type` must be a name like coverage or code-health"
    for key, kind, name in (("project", str, "a text"), ("summary", str, "a text"), ("data", dict, "an object")):
        value = document.get(key)
        if value is not None and not isinstance(value, kind):
            return f"the report's `{key}` must be {name}"
    return ""
