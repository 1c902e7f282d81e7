"""Turns the evidence of a merge check (docs/merge-guard.md) into lines for people."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from cli.output.printing import counted, printable, took

_SHORT = 12
_WHERE = {
    "new": "what came",
    "old": "before it",
    "candidate": "merged up to it",
    "proposal": "what is proposed",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Run:
    """One run of the test, as far as the evidence tells."""

    where: str
    commit: str
    tree: str
    colour: str
    exit_code: str
    why: str
    seconds: float
    tail: str

    @property
    def kind(self) -> tuple[str, ...]:
        """Runs of one kind are shown as one."""
        return (self.where, self.commit, self.tree, self.colour, self.exit_code, self.why)


def lines_of(evidence: Mapping[str, object]) -> Iterator[str]:
    """The test, its runs, the culprit, what was kept or proposed, and the ends of the outputs that were not green.

    What is not there is left out; nothing in it moves a terminal's cursor.
    """
    facts = {
        "test": _command(evidence),
        "why this test": _text(evidence, "because"),
        "policy": _text(evidence, "policy"),
        "what came": _what_came(evidence),
        "why": _text(evidence, "reason"),
        "kept as": _text(evidence, "kept_ref"),
        "proposal": _proposal(evidence),
    }
    yield from (f"{name + ':':14} {printable(fact)}" for name, fact in facts.items() if fact)
    runs = _runs(evidence)
    culprit = _object(evidence.get("culprit"))
    if runs:
        yield ""
        yield from _table(runs)
    if culprit:
        first = f"{_text(culprit, 'commit')[:_SHORT]} “{_text(culprit, 'subject')}”, by {_text(culprit, 'author')}"
        yield ""
        yield f"{'culprit:':14} {printable(first)}"
        yield from _table(_runs(culprit))
    yield from _outputs([*runs, *_runs(culprit)])


def _command(evidence: Mapping[str, object]) -> str:
    words = [word for word in _list(evidence.get("command")) if isinstance(word, str)]
    limit = evidence.get("timeout_seconds")
    limited = f"   (at most {took(timedelta(seconds=limit))})" if isinstance(limit, int | float) else ""
    return f"{shlex.join(words)}{limited}" if words else ""


def _what_came(evidence: Mapping[str, object]) -> str:
    commits = evidence.get("commits")
    if not isinstance(commits, int) or not commits:
        return ""
    how = {"merge": "by a merge", "fast_forward": "by a fast-forward"}.get(_text(evidence, "kind"), "")
    pulled = ", pulled" if evidence.get("pulled") is True else ""
    return f"{counted(commits, 'commit')} {how}".rstrip() + pulled


def _proposal(evidence: Mapping[str, object]) -> str:
    branch = _text(evidence, "proposal")
    return f"{branch}   (git merge {shlex.quote(branch)} takes it)" if branch else ""


def _table(runs: Sequence[_Run]) -> Iterator[str]:
    rows = [("RUN ON", "COMMIT", "TREE", "TIMES", "ENDED", "TOOK")]
    for kind in dict.fromkeys(run.kind for run in runs):
        alike = [run for run in runs if run.kind == kind]
        first = alike[0]
        ended = f"{first.colour}{first.exit_code}" + (f": {first.why}" if first.why else "")
        rows.append(
            (first.where, first.commit[:_SHORT], first.tree[:_SHORT], f"{len(alike)}×", ended, _range(alike)),
        )
    widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
    for row in rows:
        cells = (printable(cell).ljust(width) for cell, width in zip(row, widths, strict=True))
        yield "  ".join(cells).rstrip()


def _range(runs: Sequence[_Run]) -> str:
    shortest, longest = (pick(run.seconds for run in runs) for pick in (min, max))
    low, high = took(timedelta(seconds=shortest)), took(timedelta(seconds=longest))
    return low if low == high else f"{low} to {high}"


def _outputs(runs: Iterable[_Run]) -> Iterator[str]:
    """The end of the newest output of each kind of run that was not green; what says the same is not said again."""
    newest = {run.kind: run for run in runs if run.colour != "green" and run.tail.strip()}
    first_of = {run.tail: run for run in reversed(newest.values())}
    for run in (run for run in newest.values() if first_of[run.tail] is run):
        yield ""
        yield printable(f"the last words of the test on {run.where}, {run.commit[:_SHORT]}, which was {run.colour}:")
        yield from (f"  | {printable(line)}" for line in run.tail.expandtabs().splitlines())


def _runs(holder: Mapping[str, object]) -> list[_Run]:
    return [_run(run) for run in map(_object, _list(holder.get("runs"))) if run]


def _run(run: Mapping[str, object]) -> _Run:
    exit_code, seconds = run.get("exit_code"), run.get("seconds")
    return _Run(
        where=_WHERE.get(_text(run, "on"), _text(run, "on") or "-"),
        commit=_text(run, "commit"),
        tree=_text(run, "tree"),
        colour=_text(run, "colour"),
        exit_code=f", exit {exit_code}" if isinstance(exit_code, int) and exit_code else "",
        why=_text(run, "why"),
        seconds=float(seconds) if isinstance(seconds, int | float) else 0.0,
        tail=_text(run, "tail"),
    )


def _text(holder: Mapping[str, object], name: str) -> str:
    value = holder.get(name)
    return value if isinstance(value, str) else ""


def _list(value: object) -> Sequence[object]:
    return value if isinstance(value, list) else []


def _object(value: object) -> Mapping[str, object]:
    return value if isinstance(value, dict) else {}
