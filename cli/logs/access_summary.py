"""Sums up the gateway's access log: so many requests by each token from each place to each route."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from foundation.errors import Denied
from foundation.log_files import files_of, open_log

Key = tuple[str, str, str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """What one token asked of one route. `refused`: 401, 403, 421, 429; `failed`: 5xx; `who` empty: no good token."""

    who: str
    source: str
    method: str
    route: str
    requests: int
    refused: int
    failed: int
    first: datetime
    last: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """The busiest first."""

    lines: tuple[Access, ...]
    unreadable: int


@dataclass(slots=True)
class _Tally:
    first: datetime
    last: datetime
    requests: int = 0
    refused: int = 0
    failed: int = 0


_REFUSALS = (401, 403, 421, 429)


def summed_up(logs: Path, *, since: datetime | None) -> Summary:
    """The sums over `access.log` and its rotated files. Raises Denied when they are another user's."""
    tallies: dict[Key, _Tally] = {}
    unreadable = 0
    for text in _texts(logs):
        try:
            line = json.loads(text)
            at, status = datetime.fromisoformat(line["at"]), int(line["status"])
            key = (line["who"] or "", line["from"], line["method"], line["route"] or "")
        except (ValueError, KeyError, TypeError):
            unreadable += 1
            continue
        if since is None or at >= since:
            _count(tallies, key, at, status)
    lines = [_access(key, tally) for key, tally in tallies.items()]
    lines.sort(key=lambda line: (-line.requests, line.who, line.route))
    return Summary(lines=tuple(lines), unreadable=unreadable)


def _texts(logs: Path) -> Iterator[str]:
    for path in files_of(logs / "access.log"):
        try:
            with open_log(path) as file:
                for line in file:
                    yield line.decode(errors="replace")
        except PermissionError:
            raise Denied("log_not_yours", f"{path} is another user's.") from None
        except FileNotFoundError:
            continue  # rotated away since it was listed


def _count(tallies: dict[Key, _Tally], key: Key, at: datetime, status: int) -> None:
    tally = tallies.setdefault(key, _Tally(first=at, last=at))
    tally.first, tally.last = min(tally.first, at), max(tally.last, at)
    tally.requests += 1
    tally.refused += status in _REFUSALS
    tally.failed += status >= 500


def _access(key: Key, tally: _Tally) -> Access:
    who, source, method, route = key
    return Access(
        who=who,
        source=source,
        method=method,
        route=route,
        requests=tally.requests,
        refused=tally.refused,
        failed=tally.failed,
        first=tally.first,
        last=tally.last,
    )
