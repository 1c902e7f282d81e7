"""What an attempt is given and what it hands back, for the agents that come with Quantum."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, Field, fields
from pathlib import Path
from typing import Any, NoReturn, TypeVar

# sysexits.h EX_CONFIG: Quantum does not try again what cannot work as it is.
EXIT_CONFIGURATION = 78

Params = TypeVar("Params")


def say(line: str) -> None:
    """Print one line of progress at once, so that `quantum follow` shows it live."""
    print(line, flush=True)


def give_up(sentence: str) -> NoReturn:
    """End the attempt as misconfigured (exit 78), with the reason on stderr."""
    sys.stdout.flush()
    print(sentence, file=sys.stderr, flush=True)
    raise SystemExit(EXIT_CONFIGURATION)


def given(shape: type[Params]) -> Params:
    """Return the params of this attempt as `shape`, a dataclass whose every field has a default.

    Gives up naming every unknown param and every one whose JSON type differs from its default's.
    """
    document = _read_object("QUANTUM_PARAMS") or {}
    known = {field.name: field for field in fields(shape)}  # type: ignore[arg-type]
    faults = [f"There is no param {name!r}" for name in document if name not in known]
    for name, value in document.items():
        if name in known and type(value) is not type(default := _default(known[name])):
            faults.append(f"Param {name!r} must be of the type of {default!r}, not {value!r}")
    if faults:
        give_up(f"{'; '.join(faults)}. Params and their defaults: {shape()}.")
    return shape(**document)


def _default(of: Field[Any]) -> object:
    return of.default if of.default_factory is MISSING else of.default_factory()


def last_data() -> Mapping[str, Any] | None:
    """Return the `data` of this agent's last report for this project; None on the first run."""
    report = _read_object("QUANTUM_LAST_REPORT")
    data = report.get("data") if report else None
    return data if isinstance(data, dict) else None


def publish(kind: str, summary: str, data: Mapping[str, Any], *, aloud: bool = True) -> None:
    """Hand in the report, and say its summary. Run by hand, outside Quantum, it only says the summary.

    Not `aloud` where somebody else says it to whoever follows the output.
    """
    report = {
        "type": kind,
        "project": os.environ.get("QUANTUM_PROJECT", ""),
        "summary": summary,
        "data": data,
    }
    target = os.environ.get("QUANTUM_REPORT")
    if target:
        Path(target).write_text(json.dumps(report, indent=2), encoding="utf-8")
    if aloud:
        say(summary)


def git(*arguments: str) -> str:
    """Return what a git command prints in the current folder; gives up with git's own words when it fails."""
    completed = run_git(*arguments)
    if completed.returncode != 0:
        give_up(completed.stderr.strip() or f"git {arguments[0]} failed with exit code {completed.returncode}.")
    return completed.stdout


def run_git(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run git and return whatever became of it. Bytes that are not UTF-8 come back as `\\xNN`."""
    try:
        return subprocess.run(
            ["git", *arguments], capture_output=True, encoding="utf-8", errors="backslashreplace", check=False
        )
    except FileNotFoundError:
        give_up("git is not installed: install it with your package manager.")


def require_repository() -> None:
    """Give up unless the current folder is inside a git work tree."""
    if run_git("rev-parse", "--is-inside-work-tree").stdout.strip() != "true":
        give_up(f"{Path.cwd()} is not a git repository; name a project that is one, or run `git init` there.")


def pass_through(argv: Sequence[str], environment: Mapping[str, str] | None = None) -> int:
    """Run a program with its output going straight to ours, and return its exit code as a shell would.

    A program that a signal ended gives 128 + the signal's number. Gives up when it cannot be started.
    """
    sys.stdout.flush()
    try:
        code = subprocess.run(argv, env={**os.environ, **(environment or {})}, check=False).returncode
    except FileNotFoundError:
        give_up(f"{argv[0]} is not installed here, or not on PATH: install it and try again.")
    except PermissionError:
        give_up(f"{argv[0]} is not executable: chmod +x it and try again.")
    return code if code >= 0 else 128 - code


def _read_object(variable: str) -> dict[str, Any] | None:
    path = os.environ.get(variable)
    if not path or not Path(path).is_file():
        return None
    try:
        document = json.loads(Path(path).read_text(encoding="utf-8"))
    except ValueError as error:
        give_up(f"The file that {variable} names is not JSON: {error}.")
    if not isinstance(document, dict):
        give_up(f"The file that {variable} names does not hold a JSON object.")
    return document
