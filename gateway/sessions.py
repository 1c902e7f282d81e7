"""Sessions of browsers, which cannot send headers: the token stays in this process's memory, a cookie only names it."""

from __future__ import annotations

import hashlib
import hmac
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta

LIFETIME = timedelta(hours=12)
SESSIONS_MAX = 64
_NAME_BYTES = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """One browser's session; it opens the status page and nothing else."""

    token: str = field(repr=False)
    form_key: str = field(repr=False)
    """Stands in every form of the page, so that no other page can send one."""
    ends_at: float
    """Seconds of the clock that never goes back."""


class Sessions:
    """At most 64 sessions, each for 12 hours; the oldest goes first. All end with the process."""

    def __init__(self, random_bytes: Callable[[int], bytes]) -> None:
        self._random_bytes = random_bytes
        self._lock = threading.Lock()
        self._by_digest: OrderedDict[str, Session] = OrderedDict()

    def new_key(self) -> str:
        """256 random bits, for the field of a form and the cookie that must match it."""
        return self._random_bytes(_NAME_BYTES).hex()

    def open(self, token: str, *, at: float) -> str:
        """Begins a session and returns the name that goes into the cookie; what is kept is its digest."""
        name = self.new_key()
        session = Session(token=token, form_key=self.new_key(), ends_at=at + LIFETIME.total_seconds())
        with self._lock:
            self._by_digest[_digest(name)] = session
            if len(self._by_digest) > SESSIONS_MAX:
                self._by_digest.popitem(last=False)
        return name

    def find(self, name: str, *, at: float) -> Session | None:
        """The session of a cookie, None when there is none (any more)."""
        with self._lock:
            session = self._by_digest.get(_digest(name))
        return session if session is not None and at < session.ends_at else None

    def close(self, name: str) -> None:
        """Ends a session; does nothing when it has ended."""
        with self._lock:
            self._by_digest.pop(_digest(name), None)


def same(one: str, other: str) -> bool:
    """Whether two keys are equal and not empty, in a time that does not depend on where they differ."""
    return bool(one) and hmac.compare_digest(one.encode(), other.encode())


def _digest(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()
