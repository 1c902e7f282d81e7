#!/usr/bin/env python3
# /// script
# [tool.quantum]
# description = "Finds functions that are too long or too complex, and the trend since its last report"
# effects = "none"
# timeout = "15m"
# schedule = { cron = "0 5 * * MON", projects = "git" }
# ///
"""Measures every function of every tracked source file with lizard (Python, Swift, C, Go, Java and more)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from kit.attempt import git, give_up, given, last_data, publish, require_repository, say

try:
    import lizard
except ImportError:
    give_up("code-health needs lizard: pip install lizard (it comes with pip install -r requirements.txt).")

# Written by programs or by others: nobody here will shorten these functions.
_NOT_OURS = (
    "*_pb2.py",
    "*_pb2_grpc.py",
    "*.min.js",
    "*/vendor/*",
    "vendor/*",
    "*/node_modules/*",
    "node_modules/*",
)
_SOURCE_BYTES_MAX = 1024 * 1024
_REPORT_EVERY = 200


@dataclass(frozen=True, kw_only=True, slots=True)
class Params:
    """A function is a finding above `lines_max` lines of code or `complexity_max` paths (cyclomatic)."""

    lines_max: int = 60
    complexity_max: int = 15
    findings_max: int = 200


@dataclass(frozen=True, kw_only=True, slots=True)
class Function:
    """One function as lizard measured it: `lines` without comments and blanks."""

    file: str
    name: str
    line: int
    lines: int
    complexity: int

    @property
    def key(self) -> str:
        """What stays the same when the function moves within its file."""
        return f"{self.file}::{self.name}"


def source_files() -> Iterator[str]:
    """Yield the tracked files, relative to the current folder, that lizard can read and that are ours."""
    for name in git("ls-files", "-z").split("\0"):
        ours = name and not any(fnmatch(name, pattern) for pattern in _NOT_OURS)
        path = Path(name)
        if ours and lizard.get_reader_for(name) and path.is_file() and path.stat().st_size <= _SOURCE_BYTES_MAX:
            yield name


def measure(files: Iterable[str], unreadable: list[str]) -> Iterator[Function]:
    """Yield every function; a file that lizard cannot parse goes to `unreadable` and stops nothing."""
    for count, file in enumerate(files, start=1):
        try:
            parsed = lizard.analyze_file(file)
        except (RecursionError, UnicodeError, ValueError, IndexError, AttributeError):
            unreadable.append(file)
            continue
        for function in parsed.function_list:
            yield Function(
                file=file,
                name=function.name,
                line=function.start_line,
                lines=function.nloc,
                complexity=function.cyclomatic_complexity,
            )
        if count % _REPORT_EVERY == 0:
            say(f"{count} files measured")


def trend(keys: set[str], total: int, previous: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Compare the findings with those of the last report; None when there was none."""
    if previous is None:
        return None
    before = {str(finding.get("key")) for finding in previous.get("findings", [])}
    return {
        "change": total - int(previous.get("finding_count", len(before))),
        "new": sorted(keys - before),
        "gone": sorted(before - keys),
    }


def main() -> None:
    """Measure, compare with the last report, publish."""
    params = given(Params)
    require_repository()
    unreadable: list[str] = []
    functions = list(measure(source_files(), unreadable))
    findings = [
        function
        for function in functions
        if function.lines > params.lines_max or function.complexity > params.complexity_max
    ]
    findings.sort(key=lambda function: (-function.complexity, -function.lines, function.key))
    for function in findings[:10]:
        say(f"{function.file}:{function.line}  {function.name}: {function.lines} lines, {function.complexity} paths")
    for file in unreadable:
        say(f"Not measured, lizard cannot parse it: {file}")
    listed = findings[: params.findings_max]
    since = trend({function.key for function in listed}, len(findings), last_data())
    words = "first look" if since is None else f"{since['change']:+d} since the last look"
    data = {
        "functions": len(functions),
        "lines_mean": round(sum(f.lines for f in functions) / len(functions), 1) if functions else None,
        "complexity_mean": round(sum(f.complexity for f in functions) / len(functions), 1) if functions else None,
        "too_long": sum(function.lines > params.lines_max for function in functions),
        "too_complex": sum(function.complexity > params.complexity_max for function in functions),
        "finding_count": len(findings),
        "trend": since,
        "unreadable": unreadable,
        "findings": [
            {
                "key": function.key,
                "file": function.file,
                "line": function.line,
                "function": function.name,
                "lines": function.lines,
                "complexity": function.complexity,
            }
            for function in listed
        ],
    }
    publish(
        "code-health",
        f"{len(findings)} of {len(functions)} functions are over {params.lines_max} lines "
        f"or {params.complexity_max} paths ({words})",
        data,
    )


if __name__ == "__main__":
    main()
