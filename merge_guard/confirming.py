"""Asks Quantum, just before a branch is moved, whether this attempt may still move it."""

from __future__ import annotations

import http.client
import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path

_TIMEOUT_SECONDS = 10.0
# A gateway that is being restarted is back by then.
_PAUSES_SECONDS = (0.5, 1.0, 2.0, 4.0)
_ANSWER_BYTES_MAX = 64 * 1024


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: object) -> None:
        """The credential goes to nobody else."""


def ask_to_move(
    environment: Mapping[str, str],
    check: str,
    old: str,
    new: str,
    *,
    wait: Callable[[float], None] = time.sleep,
) -> str:
    """Return "" when the branch may be moved, else why not, as a sentence.

    Asks the gateway at QUANTUM_GATEWAY with the attempt's credential, the file QUANTUM_CREDENTIAL; again while it is
    out of reach, for under a minute. Whatever is not a clear yes is a no.
    """
    try:
        request = _request(environment, check, old, new)
    except (KeyError, OSError, ValueError):
        return "This attempt has no credential to ask Quantum with."
    for pause in (*_PAUSES_SECONDS, None):
        try:
            return _answer(request)
        except urllib.error.HTTPError as error:
            if error.code != 503 or pause is None:
                return _refusal(error)
        except (OSError, http.client.HTTPException) as error:
            if pause is None:
                said = error.reason if isinstance(error, urllib.error.URLError) else error
                return f"Quantum could not be asked: {said}."
        except ValueError:
            return "Quantum's answer was not understood."
        wait(pause)
    raise AssertionError("the last time has no pause")


def _request(environment: Mapping[str, str], check: str, old: str, new: str) -> urllib.request.Request:
    gateway, credential = environment["QUANTUM_GATEWAY"], environment["QUANTUM_CREDENTIAL"]
    return urllib.request.Request(
        f"{gateway.rstrip('/')}/merges/{check}/confirm",
        data=json.dumps({"old": old, "new": new}).encode(),
        headers={
            "Content-Type": "application/json",
            "X-Auth-Token": Path(credential).read_text(encoding="ascii").strip(),
        },
        method="POST",
    )


def _answer(request: urllib.request.Request) -> str:
    # No proxy of the user's stands between two programs of one machine.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), _NoRedirect())
    with opener.open(request, timeout=_TIMEOUT_SECONDS) as response:
        answer = json.loads(response.read(_ANSWER_BYTES_MAX))
    if not isinstance(answer, dict) or not isinstance(answer.get("may_move"), bool):
        raise ValueError("another shape")
    if answer["may_move"]:
        return ""
    return str(answer.get("reason") or "Quantum does not let it be moved, and does not say why.")


def _refusal(error: urllib.error.HTTPError) -> str:
    """What a problem+json says; its body is not always one."""
    try:
        problem = json.loads(error.read(_ANSWER_BYTES_MAX))
        said = problem.get("detail") or problem.get("title")
    except (OSError, ValueError, AttributeError):
        said = None
    return str(said or f"Quantum refused to say whether it may be moved (HTTP {error.code}).")
