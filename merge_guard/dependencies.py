"""Tells a test that is red for want of a package that nobody has installed yet from one that what came has broken."""

from __future__ import annotations

import re
from collections.abc import Iterable
from fnmatch import fnmatchcase
from pathlib import PurePosixPath

_DECLARED_IN = (
    *("pyproject.toml", "setup.py", "setup.cfg", "requirements*.txt", "Pipfile*", "poetry.lock", "uv.lock", "pdm.lock"),
    *("package.json", "package-lock.json", "npm-shrinkwrap.json", "yarn.lock", "pnpm-lock.yaml", "bun.lock*"),
    *(
        "Package.swift",
        "Package.resolved",
        "Cargo.toml",
        "Cargo.lock",
        "go.mod",
        "go.sum",
        "Gemfile*",
        "environment.yml",
    ),
)
_NOT_INSTALLED = (
    re.compile(r"(?:ModuleNotFoundError|ImportError): No module named '?([\w.]+)"),
    re.compile(r"Cannot find (?:module|package) '([^'./\\][^']*)'"),
    re.compile(r"cannot load such file -- ([\w/.-]+)"),
)
_NOT_FETCHED = re.compile(
    r"could not resolve host|name resolution|name or service not known|network is unreachable|couldn.t fetch"
    r"|dial tcp|failed to (?:download|fetch|clone)|unable to access 'http|failed to establish a new connection"
    r"|\bENOTFOUND\b|\bEAI_AGAIN\b",
    re.IGNORECASE,
)


def declare_packages(paths: Iterable[str]) -> bool:
    """Whether a project says in one of these files which packages it needs."""
    return any(fnmatchcase(PurePosixPath(path).name, pattern) for path in paths for pattern in _DECLARED_IN)


def wanting(tail: str, own: frozenset[str]) -> str:
    """What a red test is in want of, by the end of its output, as a sentence; empty: nothing that can be told.

    Asked only where what came needs other packages than before. `own` are the names of the project's own files and
    folders, without suffixes: a module that is among them is no package.
    """
    for pattern in _NOT_INSTALLED:
        for name in pattern.findall(tail):
            if not own & {re.split(r"[./]", name)[0], name}:
                return f"What came needs other packages than before, and {name} is not installed where the test runs."
    if _NOT_FETCHED.search(tail):
        return "What came needs other packages than before, and the test could not fetch them."
    return ""
