"""What a check leaves for people and programs, as JSON; also on disk, while an attempt may still be repeated.

docs/merge-guard.md describes every field.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from foundation.files import atomic_write
from merge_guard.repository import quantum_folder
from merge_guard.values import (
    Action,
    Arrival,
    Colour,
    Culprit,
    Finding,
    Kind,
    Outcome,
    Policy,
    Repository,
    Run,
    SmokeTest,
    Verdict,
)

KEPT_FOR = timedelta(days=7)
_NOTHING_DONE = Outcome(action=Action.NONE, sentence="")


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """All that is known of a check so far."""

    check: str
    repository: str
    folder: str
    finding: Finding
    arrival: Arrival | None = None
    test: SmokeTest | None = None
    trials: tuple[tuple[str, Run], ...] = ()
    """Runs on what was prepared, each with `proposal` as what it was made on."""
    outcome: Outcome = field(default=_NOTHING_DONE)
    among: int = 0
    """How many commits the culprit was looked for among."""
    no_culprit: str = ""
    """Why a bad merge has none, as a sentence."""


def digest_of(argv: Sequence[str]) -> str:
    """How a command is named where it is remembered as flaky: the SHA-256 of its JSON, in hex."""
    return hashlib.sha256(json.dumps(list(argv)).encode()).hexdigest()


def document(evidence: Evidence) -> dict[str, Any]:
    """The report's data. Text that is no UTF-8 comes with `?` in its place."""
    arrival, test, finding, outcome = evidence.arrival, evidence.test, evidence.finding, evidence.outcome
    flaky = test is not None and finding.verdict is Verdict.FLAKY
    runs = [_run(_side(arrival, run), run) for run in finding.runs]
    told = {
        "check": evidence.check,
        "repository": evidence.repository,
        "folder": evidence.folder,
        "branch": arrival.branch if arrival else "",
        "old": arrival.old if arrival else "",
        "new": arrival.new if arrival else "",
        "kind": arrival.kind.value if arrival else "",
        "pulled": bool(arrival and arrival.pulled),
        "commits": arrival.commits if arrival else 0,
        "verdict": finding.verdict.value,
        "reason": finding.reason,
        "command": list(test.argv) if test else [],
        "because": test.because if test else "",
        "timeout_seconds": test.timeout_seconds if test else None,
        "policy": test.policy.value if test else "",
        "runs": [*runs, *(_run(on, run) for on, run in evidence.trials)],
        "culprit": _culprit(finding.culprit),
        "action": outcome.action.value,
        "sentence": sentence(evidence),
        "kept_ref": outcome.kept_ref,
        "proposal": outcome.proposal,
        "flaky_command": digest_of(test.argv) if test and flaky else None,
    }
    cleaned: dict[str, Any] = json.loads(json.dumps(told).encode("utf-8"), object_hook=_utf8_only)
    return cleaned


def sentence(evidence: Evidence) -> str:
    """What came of it, for a person."""
    culprit, began = evidence.finding.culprit, evidence.no_culprit
    if culprit is not None:
        began = (
            f"It began with {culprit.commit[:12]} “{culprit.subject}” by {culprit.author}."
            if evidence.among > 1
            else ""
        )
    return " ".join(part for part in (evidence.finding.reason, began, evidence.outcome.sentence) if part)


def _side(arrival: Arrival | None, run: Run) -> str:
    return "old" if arrival and run.commit == arrival.old else "new"


def _run(on: str, run: Run) -> dict[str, Any]:
    return {"on": on, **dataclasses.asdict(run)}


def _culprit(culprit: Culprit | None) -> dict[str, Any] | None:
    if culprit is None:
        return None
    told = {"commit": culprit.commit, "subject": culprit.subject, "author": culprit.author}
    return {**told, "runs": [_run("candidate", run) for run in culprit.runs]}


def _utf8_only(parts: dict[str, Any]) -> dict[str, Any]:
    return {key: _clean(value) for key, value in parts.items()}


def _clean(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", errors="replace").decode()
    return [_clean(part) for part in value] if isinstance(value, list) else value


# -- kept in the repository while something is done about it


def remember(repository: Repository, evidence: Evidence) -> None:
    """Keep what is known, surviving a power cut: an attempt that is repeated after a crash goes on from there."""
    atomic_write(_path(repository, evidence.check), json.dumps(document(evidence), indent=1).encode())


def recall(repository: Repository, check: str) -> Evidence | None:
    """What an earlier attempt at this check has found; None when there was none, or it cannot be read."""
    try:
        return _read(json.loads(_path(repository, check).read_bytes()))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _read(told: Mapping[str, Any]) -> Evidence:
    runs = told["runs"]
    return Evidence(
        check=told["check"],
        repository=told["repository"],
        folder=told["folder"],
        finding=Finding(
            verdict=Verdict(told["verdict"]),
            reason=told["reason"],
            runs=tuple(_read_run(run) for run in runs if run["on"] in ("old", "new")),
            culprit=_read_culprit(told["culprit"]),
        ),
        arrival=Arrival(
            kind=Kind(told["kind"]), **{key: told[key] for key in ("old", "new", "branch", "pulled", "commits")}
        ),
        test=SmokeTest(
            argv=tuple(told["command"]),
            because=told["because"],
            timeout_seconds=told["timeout_seconds"],
            policy=Policy(told["policy"]),
        ),
        trials=tuple((run["on"], _read_run(run)) for run in runs if run["on"] == "proposal"),
    )


def forget_old(repository: Repository, *, now: datetime) -> None:
    """Remove what was kept for checks of long ago."""
    for path in (repository.common_dir / "quantum").glob("check-*.json"):
        if path.stat().st_mtime < (now - KEPT_FOR).timestamp():
            path.unlink(missing_ok=True)


def _path(repository: Repository, check: str) -> Path:
    return quantum_folder(repository) / f"check-{check}.json"


def _read_run(told: Mapping[str, Any]) -> Run:
    return Run(colour=Colour(told["colour"]), **{k: v for k, v in told.items() if k not in ("on", "colour")})


def _read_culprit(told: Mapping[str, Any] | None) -> Culprit | None:
    if told is None:
        return None
    runs = tuple(_read_run(run) for run in told["runs"])
    return Culprit(commit=told["commit"], subject=told["subject"], author=told["author"], runs=runs)
