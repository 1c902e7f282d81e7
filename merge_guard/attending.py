"""One attempt at a merge check, from what was asked to the evidence; repeated after a crash, it goes on from there."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from foundation.clock import Clock
from foundation.errors import Conflict, QuantumError
from merge_guard import evidence as kept
from merge_guard.arrival import read_arrival
from merge_guard.bisect import find_culprit
from merge_guard.checking import Bench, Say, check, definition
from merge_guard.doctor import mend
from merge_guard.enter import enter
from merge_guard.evidence import Evidence, digest_of
from merge_guard.git import Git
from merge_guard.propose import propose_revert, propose_without
from merge_guard.pushed import pushed_to
from merge_guard.repository import current_branch, open_repository
from merge_guard.rollback import KEPT_REFS, roll_back
from merge_guard.scratch import Scratch, remove
from merge_guard.smoke import is_protected
from merge_guard.values import (
    Action,
    Arrival,
    Colour,
    Event,
    Finding,
    Kind,
    Nothing,
    Outcome,
    Policy,
    Repository,
    Run,
    SmokeTest,
    Verdict,
)

Confirm = Callable[[str, str], str]
"""From the commits `old` and `new` to "" when the branch may be moved, else why not, as a sentence."""
NO_TEST = (
    "It shows no smoke test: add [merge] smoke to quantum.toml, a target smoke to the Makefile, or a test with smoke "
    "in its name to tests/."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What is asked; `old` and `new` are hints, `topic` is what an event `request` wants merged."""

    check: str
    repository: str
    folder: str
    event: Event
    old: str = ""
    new: str = ""
    topic: str = ""
    only_report: str = ""
    """Why nothing may be changed; empty: it may."""
    flaky: Mapping[str, str] = field(default_factory=dict)
    """Until when, in ISO 8601, which commands are known to be flaky, by `evidence.digest_of`."""


class Surroundings(NamedTuple):
    """What an attempt has beside its order."""

    git: Git
    work: Path
    """A folder of its own, with room for two copies of the project; emptied at the end."""
    environment: Mapping[str, str]
    clock: Clock
    confirm: Confirm
    say: Say


def attend(order: Order, around: Surroundings) -> Evidence:
    """Do a merge check: read what came, test it, do about it what the repository wishes.

    Raises nothing for what a repository may bring: that is evidence, too, of a check that is inconclusive.
    """
    try:
        git = around.git.at(Path(order.folder))
        repository = open_repository(git.folder, git=git)
        for sentence in _mended(repository, git):
            around.say(sentence)
        kept.forget_old(repository, now=around.clock.now())
        with _Attempt(order, around, repository, git.at(repository.top)) as attempt:
            return attempt.requested() if order.event is Event.REQUEST else attempt.arrived()
    except (QuantumError, OSError) as error:
        reason = str(error) if isinstance(error, QuantumError) else f"It could not be checked: {error}."
        return _told(order, Verdict.INCONCLUSIVE, reason, action=Action.REPORTED)


def _mended(repository: Repository, git: Git) -> list[str]:
    """Finish what an earlier attempt has left; what is being done by somebody else is theirs."""
    try:
        return mend(repository, git=git)
    except Conflict:
        return []


def _told(order: Order, verdict: Verdict, reason: str, *, action: Action = Action.NONE) -> Evidence:
    return Evidence(
        check=order.check,
        repository=order.repository,
        folder=order.folder,
        finding=Finding(verdict=verdict, reason=reason),
        outcome=Outcome(action=action, sentence=""),
    )


class _Attempt:
    """The attempt, once the repository is open."""

    def __init__(self, order: Order, around: Surroundings, repository: Repository, git: Git) -> None:
        self._order = order
        self._around = around
        self._say = around.say
        self._repository = repository
        self._git = git
        self._refused = ""

    def __enter__(self) -> _Attempt:
        remove(self._scratch_folder)
        return self

    def __exit__(self, *_: object) -> None:
        # What cannot be removed goes with the attempt's folder; it is no reason to lose what was found.
        with contextlib.suppress(OSError):
            remove(self._scratch_folder)

    @property
    def _scratch_folder(self) -> Path:
        return self._around.work / "scratch"

    def arrived(self) -> Evidence:
        """Something came, says a hook or the reconcile pass."""
        earlier = kept.recall(self._repository, self._order.check)
        if earlier is not None:
            return self._go_on(earlier)
        order = self._order
        arrival = read_arrival(self._git, self._repository, event=order.event, old_hint=order.old, new_hint=order.new)
        if isinstance(arrival, Nothing):
            return _told(order, Verdict.NOTHING_TO_CHECK, arrival.reason)
        scratch = self._scratch()
        found = self._evidence(arrival, definition(scratch, self._repository, arrival.old))
        if found.test is None:
            return replace(found, finding=Finding(verdict=Verdict.NOTHING_TO_CHECK, reason=NO_TEST))
        if not is_protected(arrival.branch, found.test.branches):
            reason = f"{arrival.branch or 'A detached HEAD'} is not among the protected branches of quantum.toml."
            return replace(found, finding=Finding(verdict=Verdict.NOTHING_TO_CHECK, reason=reason))
        bench = self._bench(scratch, found.test, arrival.old)
        found = replace(found, finding=check(bench, arrival, self._say))
        if found.finding.verdict is Verdict.GOOD:
            return found
        if found.finding.verdict is not Verdict.BAD:
            return replace(found, outcome=Outcome(action=Action.REPORTED, sentence="Nothing was changed."))
        kept.remember(self._repository, found)
        return self._act(found, bench, arrival)

    def _go_on(self, found: Evidence) -> Evidence:
        """An earlier attempt had proved it bad, and ended before it could tell."""
        arrival, test = found.arrival, found.test
        assert arrival is not None and test is not None, "only such evidence is kept"
        bench = self._bench(self._scratch(), test, arrival.old)
        if self._has_moved() and not self._git.is_ancestor(arrival.new, "HEAD"):
            ref = self._git.text("for-each-ref", "--format=%(refname)", f"--points-at={arrival.new}", KEPT_REFS)
            sentence = (
                f"Rolled back: {arrival.branch or 'HEAD'} is at {arrival.old[:12]} again; what came is kept in {ref}."
            )
            done = replace(found, outcome=Outcome(action=Action.ROLLED_BACK, sentence=sentence, kept_ref=ref))
            return self._with_culprit(done, bench, arrival)
        return self._act(found, bench, arrival)

    def _has_moved(self) -> bool:
        """Whether HEAD's reflog tells of a move by this check; one that was undone stands there, too."""
        moves = self._git.run("log", "--walk-reflogs", "--max-count=100", "--format=%gs", "HEAD", "--").out
        return any(line.endswith(f"(check {self._order.check})") for line in moves.decode(errors="replace").split("\n"))

    def _act(self, found: Evidence, bench: Bench, arrival: Arrival) -> Evidence:
        """Do about a proven-bad merge what the repository wishes, then name the culprit."""
        assert found.test is not None
        why_not = self._why_only_report(found.test)
        if why_not:
            outcome = Outcome(action=Action.REPORTED, sentence=f"Nothing was changed: {why_not}")
            return self._with_culprit(replace(found, outcome=outcome), bench, arrival)
        pushed = pushed_to(self._git, arrival)
        if pushed or found.test.policy is Policy.PROPOSE:
            because = f"It was pushed to {pushed}, so it is not taken back." if pushed else ""
            return self._propose(self._with_culprit(found, bench, arrival), bench, arrival, because)
        self._say("The merge is bad; taking it back")
        outcome = roll_back(
            self._git,
            self._repository,
            arrival,
            check_id=self._order.check,
            now=self._around.clock.now(),
            confirm=lambda: self._confirm(arrival),
        )
        return self._with_culprit(replace(found, outcome=self._unless_refused(outcome)), bench, arrival)

    def _why_only_report(self, test: SmokeTest) -> str:
        order = self._order
        if order.only_report:
            return order.only_report
        until = order.flaky.get(digest_of(test.argv))
        if until and datetime.fromisoformat(until) > self._around.clock.now():
            return f"this test is known as flaky until {until[:10]}."
        return "quantum.toml asks for a report alone." if test.policy is Policy.REPORT else ""

    def _propose(self, found: Evidence, bench: Bench, arrival: Arrival, because: str) -> Evidence:
        """Prepare a branch without the culprit; where that cannot be, or is not green, one without all that came."""
        if refused := self._confirm(arrival):
            return replace(found, outcome=Outcome(action=Action.REPORTED, sentence=f"Nothing was changed: {refused}"))
        trials: list[Run] = []

        def trial(commit: str) -> str:
            self._say("Testing what is to be proposed")
            run = bench.run(commit)
            trials.append(run)
            return "" if run.colour is Colour.GREEN else (run.why.rstrip(".") or "its test is red there")

        now, culprit, outcome = self._around.clock.now(), found.finding.culprit, None
        try:
            if culprit is not None and found.among > 1:
                outcome = propose_without(self._git, arrival, culprit.commit, now=now, test=trial)
            if outcome is None or outcome.action is not Action.PROPOSED:
                outcome = propose_revert(self._git, arrival, now=now, test=trial)
        except QuantumError as error:
            outcome = Outcome(action=Action.REPORTED, sentence=f"Nothing was changed: {error}")
        outcome = replace(outcome, sentence=f"{because} {outcome.sentence}".strip())
        return replace(found, outcome=outcome, trials=tuple(("proposal", run) for run in trials))

    def requested(self) -> Evidence:
        """Merge a topic apart from the repository, test that, and let it in if it is good."""
        order, git = self._order, self._git
        earlier = kept.recall(self._repository, order.check)
        if (
            earlier is not None
            and earlier.arrival
            and self._has_moved()
            and git.is_ancestor(earlier.arrival.new, "HEAD")
        ):
            return replace(earlier, outcome=Outcome(action=Action.MERGED, sentence=f"{order.topic} is merged."))
        old, tip, branch = git.commit_of("HEAD"), git.commit_of(order.topic), current_branch(git)
        if not old or not tip:
            missing = "HEAD" if not old else order.topic
            return _told(order, Verdict.NOTHING_TO_CHECK, f"{missing} is no commit here.", action=Action.REPORTED)
        if git.is_ancestor(tip, old):
            return _told(order, Verdict.NOTHING_TO_CHECK, f"{branch or 'HEAD'} holds {order.topic} already.")
        scratch = self._scratch()
        self._say(f"Merging {order.topic} into {branch or 'HEAD'}, apart from the repository")
        ahead = git.is_ancestor(old, tip)
        candidate = tip if ahead else scratch.merge(old, tip, _message(git, order.topic, branch))
        scratch.offer(candidate)
        arrival = Arrival(
            old=old,
            new=candidate,
            kind=Kind.FAST_FORWARD if ahead else Kind.MERGE,
            branch=branch,
            pulled=False,
            commits=int(scratch.git.text("rev-list", "--count", "--first-parent", f"{old}..{candidate}")),
        )
        found = self._evidence(arrival, definition(scratch, self._repository, old))
        if found.test is None:
            finding = Finding(verdict=Verdict.INCONCLUSIVE, reason=NO_TEST)
            return replace(found, finding=finding, outcome=self._not_merged())
        bench = self._bench(scratch, found.test, old)
        found = replace(found, finding=check(bench, arrival, self._say))
        if found.finding.verdict is Verdict.BAD:
            return self._with_culprit(replace(found, outcome=self._not_merged()), bench, arrival)
        if found.finding.verdict is not Verdict.GOOD:
            return replace(found, outcome=self._not_merged())
        kept.remember(self._repository, found)
        outcome = enter(
            git,
            self._repository,
            scratch=scratch.base,
            candidate=candidate,
            topic=order.topic,
            branch=branch,
            old=old,
            check_id=order.check,
            confirm=lambda: order.only_report or self._confirm(arrival),
        )
        if outcome.action is Action.REFUSED:
            # `refused` is said of a bad merge that stays; here nothing came.
            outcome = replace(outcome, action=Action.REPORTED)
        return replace(found, outcome=outcome)

    def _not_merged(self) -> Outcome:
        return Outcome(action=Action.REPORTED, sentence=f"{self._order.topic} is not merged; nothing was changed.")

    def _confirm(self, arrival: Arrival) -> str:
        self._refused = self._around.confirm(arrival.old, arrival.new)
        return self._refused

    def _unless_refused(self, outcome: Outcome) -> Outcome:
        """A move that Quantum did not allow is a report; one that would have touched the user's work is refused."""
        if outcome.action is Action.REFUSED and self._refused:
            return Outcome(action=Action.REPORTED, sentence=f"Nothing was changed: {self._refused}")
        return outcome

    def _with_culprit(self, found: Evidence, bench: Bench, arrival: Arrival) -> Evidence:
        try:
            search = find_culprit(bench, arrival, found.finding, self._say)
        except (QuantumError, OSError) as error:
            # What was done stays done.
            return replace(found, no_culprit=f"The commit that did it was not found: {error}")
        finding = replace(found.finding, culprit=search.culprit)
        return replace(found, finding=finding, among=search.among, no_culprit=search.why)

    def _evidence(self, arrival: Arrival, test: SmokeTest | None) -> Evidence:
        nothing = Finding(verdict=Verdict.INCONCLUSIVE, reason="")
        order = self._order
        return Evidence(
            check=order.check,
            repository=order.repository,
            folder=order.folder,
            finding=nothing,
            arrival=arrival,
            test=test,
        )

    def _scratch(self) -> Scratch:
        self._scratch_folder.mkdir(parents=True)
        return Scratch(self._repository, self._scratch_folder, self._git)

    def _bench(self, scratch: Scratch, test: SmokeTest, old: str) -> Bench:
        return Bench(scratch, test, old, environment=self._around.environment, clock=self._around.clock)


def _message(git: Git, topic: str, branch: str) -> str:
    """As git words it, the branch named where it is not the usual one."""
    is_branch = git.succeeds("show-ref", "--verify", "--quiet", f"refs/heads/{topic}")
    into = f" into {branch}" if branch not in ("main", "master", "") else ""
    return f"Merge {'branch' if is_branch else 'commit'} '{topic}'{into}"
