"""Tests what came against what was there before, until the runs prove something."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from foundation.clock import Clock
from foundation.errors import QuantumError
from merge_guard.dependencies import declare_packages, wanting
from merge_guard.running import Ran, environment_of_test, run_once
from merge_guard.scratch import Scratch
from merge_guard.smoke import exit_tells, missing_part, smoke_test
from merge_guard.values import Arrival, Colour, Finding, Repository, Run, SmokeTest, Verdict
from merge_guard.verdict import RUNS, RunNext, Side, agreed, judge

Say = Callable[[str], None]
"""Tells whoever waits what is being done, a sentence at a time."""


class Bench:
    """Tests commits in a scratch repository, one run at a time, each on the very tree of its commit."""

    def __init__(
        self, scratch: Scratch, test: SmokeTest, before: str, *, environment: Mapping[str, str], clock: Clock
    ) -> None:
        self.scratch = scratch
        self._test = test
        self._old = before
        self._before = scratch.files_of(before)
        self._environment = environment
        self._clock = clock

    def run(self, commit: str) -> Run:
        """Test a commit once. What keeps it from being tested makes the colour unknown, with the reason."""
        tree = ""
        try:
            tree = self.scratch.tree_of(commit)
            missing = missing_part(self._test.argv, self._before, self.scratch.files_of(commit))
            if missing:
                return Run(commit=commit, tree=tree, colour=Colour.UNKNOWN, exit_code=None, seconds=0.0, why=missing)
            self.scratch.check_out(commit)
            where = self.scratch.tree
            environment = environment_of_test(
                self._environment, where, self.scratch.folder / "gitconfig", self.scratch.users
            )
            limit = self._test.timeout_seconds
            ran = run_once(self._test.argv, where, environment, timeout_seconds=limit, clock=self._clock)
            # What it has written is in nobody's way, should it have filled the disk.
            self.scratch.tidy()
        except (QuantumError, OSError) as error:
            why = error.message if isinstance(error, QuantumError) else f"It could not be tested: {error}."
            return Run(commit=commit, tree=tree, colour=Colour.UNKNOWN, exit_code=None, seconds=0.0, why=why)
        colour, why = self._colour(commit, ran)
        return Run(
            commit=commit,
            tree=tree,
            colour=colour,
            exit_code=ran.exit_code,
            seconds=round(ran.seconds, 3),
            why=why,
            tail=ran.tail,
        )

    def _colour(self, commit: str, ran: Ran) -> tuple[Colour, str]:
        if ran.exit_code is None:
            return Colour.UNKNOWN, f"The test took longer than its time limit of {self._test.timeout_seconds:g} s."
        if not ran.clean:
            return Colour.UNKNOWN, "A process that the test started could not be ended."
        if ran.exit_code == 0:
            return Colour.GREEN, ""
        why = exit_tells(self._test.argv, ran.exit_code, ran.tail) or self._wanting(commit, ran.tail)
        return (Colour.UNKNOWN, why) if why else (Colour.RED, "")

    def _wanting(self, commit: str, tail: str) -> str:
        """Why the test may be red only because nobody has installed yet what came asks for; empty: it is not that."""
        try:
            if not declare_packages(self.scratch.changed(self._old, commit)):
                return ""
            return wanting(tail, self._before.names | self.scratch.files_of(commit).names)
        except QuantumError as error:
            return error.message


def definition(scratch: Scratch, repository: Repository, before: str) -> SmokeTest | None:
    """The smoke test by the tree before the merge; None when it shows none. Raises Invalid for a bad `quantum.toml`.

    A pytest that is found runs in the user's own environment, where what it needs is installed.
    """
    own = repository.top / ".venv" / "bin" / "python"
    if own.is_file():
        return smoke_test(scratch.files_of(before), python=str(own), pythonpath="src:.")
    return smoke_test(scratch.files_of(before))


def check(bench: Bench, arrival: Arrival, say: Say) -> Finding:
    """Test until something is proved, `verdict.judge` deciding; the finding names no culprit yet."""
    commits = {Side.NEW: arrival.new, Side.OLD: arrival.old}
    runs: dict[Side, list[Run]] = {side: [] for side in commits}
    made: list[Run] = []
    while isinstance(step := judge(*([run.colour for run in runs[side]] for side in commits)), RunNext):
        count = len(runs[step.side]) + 1
        name = "what came" if step.side is Side.NEW else "what was there before"
        say(f"Testing {name}" + (f", for the {_NTH[count]} time of up to {RUNS}" if made else ""))
        run = bench.run(commits[step.side])
        runs[step.side].append(run)
        made.append(run)
    reason = made[-1].why if step.verdict is Verdict.INCONCLUSIVE else step.reason
    return Finding(verdict=step.verdict, reason=reason, runs=tuple(made))


_NTH = ("", "first", "second", "third", "fourth", "fifth")
assert len(_NTH) == RUNS + 1


def judged(bench: Bench, commit: str) -> tuple[Colour, tuple[Run, ...]]:
    """Test one commit by itself until enough runs agree; UNKNOWN when one told nothing or two disagree."""
    runs: list[Run] = []
    while (colour := agreed([run.colour for run in runs])) is None:
        runs.append(bench.run(commit))
    return colour, tuple(runs)
