"""The only place where identifiers and random numbers are made."""

from __future__ import annotations

import hashlib
import random
import secrets
import threading
from typing import Protocol

from foundation.clock import Clock

ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base 32: no i, l, o, u
ID_LENGTH = 26
# Two characters at a time: every task costs an identifier.
_PAIRS = tuple(first + second for first in ALPHABET for second in ALPHABET)
_PAIR_SHIFTS = tuple(range(5 * (ID_LENGTH - 2), -1, -10))
_RANDOM_BITS = 80
_MILLISECONDS_MAX = 2**48 - 1


class Ids(Protocol):
    """Makes identifiers that sort by the moment they were made."""

    def new(self) -> str:
        """A new identifier of 26 lower-case characters, greater than every one this maker gave before."""
        ...

    def many(self, count: int) -> list[str]:
        """So many new identifiers, ascending; cheaper than asking for each."""
        ...


class Randomness(Protocol):
    """Makes the random share of a delay."""

    def uniform(self, low: float = 0.0, high: float = 1.0) -> float:
        """A number in [low, high], every one as likely as the next."""
        ...


class SystemIds:
    """ULIDs (48 bits of milliseconds, 80 random bits), strictly increasing within a process, any thread."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._last = -1

    def new(self) -> str:
        """A new identifier; one more than the last when the clock stood still or went back."""
        return self.many(1)[0]

    def many(self, count: int) -> list[str]:
        """So many new identifiers, each one more than the one before."""
        milliseconds = int(self._clock.now().timestamp() * 1000)
        fresh = milliseconds << _RANDOM_BITS | secrets.randbits(_RANDOM_BITS)
        with self._lock:
            # A clock that stands still or was set back must not break the order.
            first = fresh if fresh >> _RANDOM_BITS > self._last >> _RANDOM_BITS else self._last + 1
            self._last = first + count - 1
        return _encode_run(first, count)


class SequentialIds:
    """Identifiers for tests: the same ones in the same order at each run, of the same form as real ones."""

    def __init__(self, start: int = 1) -> None:
        self._next = start

    def new(self) -> str:
        """The next number, written like any identifier."""
        return self.many(1)[0]

    def many(self, count: int) -> list[str]:
        """The next numbers."""
        first = self._next
        self._next += count
        return _encode_run(first, count)


class SystemRandomness:
    """Randomness for jitter; not for secrets."""

    def uniform(self, low: float = 0.0, high: float = 1.0) -> float:
        """A number in [low, high]."""
        return random.uniform(low, high)


class FixedRandomness:
    """Randomness for tests: always the same share of the way from low to high."""

    def __init__(self, share: float = 0.5) -> None:
        self.share = share

    def uniform(self, low: float = 0.0, high: float = 1.0) -> float:
        """low + share × (high - low)."""
        return low + self.share * (high - low)


def random_bytes(count: int) -> bytes:
    """`count` bytes from the operating system's generator, fit for keys and tokens."""
    return secrets.token_bytes(count)


def derived_id(made: str, other: str) -> str:
    """The identifier for a copy of `other` that belongs to the act that `made` names: the same at each call.

    For acts that may be interrupted and go on later. It has the time of the act; two acts never give the same one.
    """
    digest = hashlib.sha256(f"{made}/{other}".encode()).digest()
    mixed = int.from_bytes(digest) & (1 << _RANDOM_BITS) - 1
    return made[: -_RANDOM_BITS // 5] + _encode(mixed)[-_RANDOM_BITS // 5 :]


def is_id(text: str) -> bool:
    """Whether the text has the form of an identifier; says nothing of whether there is such a thing."""
    return len(text) == ID_LENGTH and text[0] <= "7" and all(character in ALPHABET for character in text)


def _encode_run(first: int, count: int) -> list[str]:
    """Consecutive numbers; they share all but their last two characters a thousand times in a row."""
    encoded: list[str] = []
    number, end = first, first + count
    while number < end:
        head, lowest = _encode(number)[:-2], number & 1023
        some = min(end - number, 1024 - lowest)
        encoded += [head + pair for pair in _PAIRS[lowest : lowest + some]]
        number += some
    return encoded


def _encode(number: int) -> str:
    if number >> _RANDOM_BITS > _MILLISECONDS_MAX:
        raise OverflowError("the identifiers of this clock are used up")
    return "".join([_PAIRS[number >> shift & 1023] for shift in _PAIR_SHIFTS])
