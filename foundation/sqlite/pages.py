"""Looks at an encrypted database page by page, by the MACs alone: nothing is opened, locked or written."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from foundation.clock import Clock

# SQLCipher 4: each page ends with its MAC; the first begins with the file's salt.
PAGE_BYTES, SALT_BYTES, MAC_BYTES = 4096, 16, 64
_TRIES = 3
"""A page that a service is just writing may be read torn, once."""
_PAGES_AT_ONCE = 256


def key_fits(path: Path, key: bytes) -> bool:
    """Whether the key opens the database at `path`, told by the MAC of its first page; False where there is none.

    SQLite is not asked: opened with a wrong key, it could take what a crash left in a log for rubbish. Not to be
    called by a process that has the database open: closing the file would drop its locks.
    """
    try:
        with path.open("rb") as file:
            page = file.read(PAGE_BYTES)
    except FileNotFoundError:
        return False
    if len(page) < PAGE_BYTES:
        return False
    return _genuine(page, 1, _mac_key(page[:SALT_BYTES], key))


@dataclass(frozen=True, slots=True, kw_only=True)
class PageReport:
    """How many pages the file has, how many were looked at within the time, and the numbers of damaged ones."""

    pages: int
    looked_at: int
    damaged: tuple[int, ...]


def look_at_pages(path: Path, key: bytes, *, seconds: float, clock: Clock) -> PageReport:
    """Check each page of the database at `path` against its MAC under `key` (32 bytes), for at most `seconds`.

    A page that is flipped, zeroed or cut is damaged; with a wrong key all are. Raises OSError.
    """
    deadline = clock.boottime() + seconds
    size, looked_at, damaged = path.stat().st_size, 0, []
    pages = -(-size // PAGE_BYTES)
    with path.open("rb") as file:
        salt = file.read(SALT_BYTES)
        mac_key = _mac_key(salt, key)
        while looked_at < pages and (looked_at == 0 or clock.boottime() < deadline):
            file.seek(looked_at * PAGE_BYTES)
            read = file.read(_PAGES_AT_ONCE * PAGE_BYTES)
            if not read:
                break  # it has become smaller meanwhile
            for at in range(0, len(read), PAGE_BYTES):
                looked_at += 1
                page = read[at : at + PAGE_BYTES]
                if not any(_genuine(again, looked_at, mac_key) for again in _readings(path, page, looked_at)):
                    damaged.append(looked_at)
    return PageReport(pages=pages, looked_at=looked_at, damaged=tuple(damaged))


def _readings(path: Path, page: bytes, number: int) -> Iterator[bytes]:
    yield page
    for _ in range(_TRIES - 1):
        with path.open("rb") as file:
            file.seek((number - 1) * PAGE_BYTES)
            yield file.read(PAGE_BYTES)


def _mac_key(salt: bytes, key: bytes) -> bytes:
    """Made of the raw key and the file's salt."""
    return hashlib.pbkdf2_hmac("sha512", key, bytes(byte ^ 0x3A for byte in salt), 2, len(key))


def _genuine(page: bytes, number: int, mac_key: bytes) -> bool:
    """Whether a page is as it was written: the MAC covers it and its number."""
    if len(page) < PAGE_BYTES:
        return False
    content, mac = page[SALT_BYTES if number == 1 else 0 : -MAC_BYTES], page[-MAC_BYTES:]
    made = hmac.digest(mac_key, content + number.to_bytes(4, "little"), "sha512")
    return hmac.compare_digest(made, mac)
