"""What a service's answer to --health means."""

from __future__ import annotations

import json

TIMEOUT_SECONDS = 10.0
ANSWER_BYTES_MAX = 16 * 1024
_STATUSES = ("ok", "degraded", "down")


def fault_of(exit_code: int | None, signal: int, cause: str, answer: bytes) -> str:
    """Why an answer counts as unhealthy, as the rest of a sentence; empty: it is healthy.

    `exit_code` None: it was ended by `signal`. `cause` is the warden's: whatever it had to end has not answered.
    """
    if cause != "exit":
        return f"gave no answer within {TIMEOUT_SECONDS:g} s" if cause == "timeout" else f"was ended ({cause})"
    if exit_code is None:
        return f"was ended by signal {signal}"
    said = _said(answer)
    match exit_code:
        case 0 if said:
            return ""
        case 0:
            return 'printed no JSON object with a "status" of ok, degraded or down'
        case 2:
            return f"says that it is {said or 'unhealthy'}"
        case code:
            return f"exited with {code}, which is neither 0 nor 2"


def _said(answer: bytes) -> str:
    try:
        document = json.loads(answer)
    except (ValueError, RecursionError):
        return ""
    status = document.get("status") if isinstance(document, dict) else None
    return status if status in _STATUSES else ""
