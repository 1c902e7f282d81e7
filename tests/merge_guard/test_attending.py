"""attending: from a real merge to the evidence and what was done, by every policy, and again after a crash."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from foundation.clock import SystemClock
from merge_guard.attending import Order, Surroundings, attend
from merge_guard.evidence import digest_of, document
from merge_guard.values import Event
from tests.merge_guard.sample import Sample

OLD = {"quantum.toml": "[merge]\nsmoke = ['sh', 'smoke.sh']\n", "smoke.sh": "test ! -e broken\n", "a.txt": "a\n"}
SMOKE = ["sh", "smoke.sh"]


class Broke(Exception):
    """The attempt ended here, as if killed."""


class Attempts:
    """Attempts at checks of one repository, and what they were told."""

    def __init__(self, sample: Sample, work: Path) -> None:
        self.sample = sample
        self.work = work
        self.said: list[str] = []
        self.asked: list[tuple[str, str]] = []
        self.answer = ""
        self.break_at: Callable[[str], bool] = lambda line: False

    def __call__(self, check: str = "c1", event: Event = Event.POST_MERGE, **order: Any) -> dict[str, Any]:
        self.work.mkdir(exist_ok=True)
        around = Surroundings(
            git=self.sample.git,
            work=self.work,
            environment=self.sample.environment,
            clock=SystemClock(),
            confirm=self._confirm,
            say=self._say,
        )
        asked = Order(check=check, repository="r1", folder=str(self.sample.folder), event=event, **order)
        found = document(attend(asked, around))
        assert json.loads(json.dumps(found)) == found
        assert list(self.work.iterdir()) == []
        return found

    def _confirm(self, old: str, new: str) -> str:
        self.asked.append((old, new))
        return self.answer

    def _say(self, line: str) -> None:
        self.said.append(line)
        if self.break_at(line):
            raise Broke(line)


@pytest.fixture
def attempt(sample: Sample, tmp_path: Path) -> Attempts:
    return Attempts(sample, tmp_path / "work")


def merged(sample: Sample, *commits: Mapping[str, str], old: Mapping[str, str] = OLD, flags: str = "--ff") -> str:
    """Merge a branch with these commits into main, as the user would; returns what main was at."""
    before = sample.commit(old)
    sample.run("switch", "--quiet", "--create", "topic")
    for number, files in enumerate(commits):
        sample.commit(files, f"Number {number}")
    sample.run("switch", "--quiet", "main")
    sample.run("merge", "--quiet", "--no-edit", flags, "topic")
    return before


BAD = {"broken": "", "b.txt": "b\n"}


def test_good(sample: Sample, attempt: Attempts) -> None:
    old = merged(sample, {"b.txt": "b\n"})
    before = sample.everything()
    found = attempt()
    assert (found["verdict"], found["action"], found["old"]) == ("good", "none", old)
    assert [run["on"] for run in found["runs"]] == ["new"] and found["command"] == SMOKE and found["branch"] == "main"
    assert attempt.asked == [] and sample.everything() == before


@pytest.mark.parametrize("flags", ["--ff", "--no-ff"])
def test_bad_is_rolled_back_and_named(sample: Sample, attempt: Attempts, flags: str) -> None:
    old = merged(sample, {"one": "1\n"}, BAD, {"three": "3\n"}, flags=flags)
    new, culprit = sample.run("rev-parse", "HEAD"), sample.run("rev-parse", "topic~1")
    (sample.folder / "a.txt").write_text("being edited\n")
    (sample.folder / "mine").write_text("untracked\n")
    found = attempt()
    assert (found["verdict"], found["action"]) == ("bad", "rolled_back"), found["sentence"]
    assert sample.run("rev-parse", "HEAD") == old and sample.run("rev-parse", found["kept_ref"]) == new
    assert sample.run("status", "--porcelain") == "M a.txt\n?? mine" and not (sample.folder / "broken").exists()
    assert found["culprit"]["commit"] == culprit and "“Number 1” by Ada" in found["sentence"]
    assert sorted({run["on"] for run in found["runs"]}) == ["new", "old"] and len(found["runs"]) == 10
    assert attempt.asked == [(old, new)]


@pytest.mark.parametrize(
    ("settings", "order", "sentence"),
    [
        ("policy = 'report'\n", {}, "report alone"),
        ("", {"only_report": "whoever waited has gone."}, "whoever waited"),
        ("", {"flaky": {digest_of(SMOKE): "2100-01-01T00:00:00+00:00"}}, "known as flaky until 2100-01-01"),
    ],
)
def test_only_reported(
    sample: Sample, attempt: Attempts, settings: str, order: Mapping[str, Any], sentence: str
) -> None:
    merged(sample, BAD, old={**OLD, "quantum.toml": OLD["quantum.toml"] + settings})
    before = sample.everything()
    found = attempt(**order)
    assert (found["verdict"], found["action"]) == ("bad", "reported") and sentence in found["sentence"]
    assert attempt.asked == [] and sample.everything() == before


@pytest.mark.parametrize(
    "flaky", [{digest_of(SMOKE): "2020-01-01T00:00:00+00:00"}, {digest_of(["x"]): "2100-01-01T00:00:00+00:00"}]
)
def test_what_was_flaky_long_ago_or_is_another_command_holds_nothing(
    sample: Sample, attempt: Attempts, flaky: Mapping[str, str]
) -> None:
    merged(sample, BAD)
    assert attempt(flaky=flaky)["action"] == "rolled_back"


def test_flaky_is_told_with_its_command(sample: Sample, attempt: Attempts, tmp_path: Path) -> None:
    merged(sample, {"b": "b\n"}, old={**OLD, "smoke.sh": f"cd {tmp_path}; test -e ran && exit 0; touch ran; exit 1\n"})
    found = attempt()
    # Red, green before, then green.
    assert (found["verdict"], found["action"]) == ("flaky", "reported")
    assert found["flaky_command"] == digest_of(SMOKE) and len(found["runs"]) == 3


def test_quantum_does_not_allow_it(sample: Sample, attempt: Attempts) -> None:
    merged(sample, BAD)
    attempt.answer = "The mode is FROZEN."
    before = sample.run("for-each-ref"), sample.run("status", "--porcelain"), sample.run("rev-parse", "HEAD")
    found = attempt()
    assert (found["verdict"], found["action"]) == ("bad", "reported") and "FROZEN" in found["sentence"]
    after = sample.run("for-each-ref"), sample.run("status", "--porcelain"), sample.run("rev-parse", "HEAD")
    kept = [line for line in after[0].split("\n") if "refs/quantum/" not in line]
    assert ("\n".join(kept), *after[1:]) == before


@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        ({"a": "a\n"}, "shows no smoke test"),
        ({**OLD, "quantum.toml": OLD["quantum.toml"] + "branches = ['release/*']\n"}, "not among the protected"),
    ],
)
def test_nothing_to_check(sample: Sample, attempt: Attempts, files: Mapping[str, str], sentence: str) -> None:
    merged(sample, BAD, old=files)
    found = attempt()
    assert (found["verdict"], found["action"]) == ("nothing_to_check", "none") and sentence in found["sentence"]


def test_no_merge_at_all(sample: Sample, attempt: Attempts) -> None:
    sample.commit(OLD)
    sample.commit(BAD)
    sample.run("reset", "--quiet", "--hard", "HEAD~1")
    assert attempt()["verdict"] == "nothing_to_check"


def test_a_bad_quantum_toml_is_inconclusive(sample: Sample, attempt: Attempts) -> None:
    merged(sample, BAD, old={**OLD, "quantum.toml": "[merge]\nsmoke = 1\n"})
    found = attempt()
    assert (found["verdict"], found["action"]) == ("inconclusive", "reported") and "list of words" in found["sentence"]


def test_no_repository_is_inconclusive(sample: Sample, attempt: Attempts) -> None:
    sample.folder = sample.folder.parent
    assert attempt()["verdict"] == "inconclusive"


def five(bad: int) -> list[Mapping[str, str]]:
    return [{f"{n}.txt": f"{n}\n", **({"broken": ""} if n == bad else {})} for n in range(1, 6)]


@pytest.mark.parametrize("flags", ["--ff", "--no-ff"])
def test_of_five_the_third_is_named_and_a_green_branch_without_it_is_offered(
    sample: Sample, attempt: Attempts, flags: str
) -> None:
    settings = OLD["quantum.toml"] + "policy = 'propose'\n"
    merged(sample, *five(3), old={**OLD, "quantum.toml": settings}, flags=flags)
    new, third = sample.run("rev-parse", "HEAD"), sample.run("rev-parse", "topic~2")
    found = attempt()
    assert (found["verdict"], found["action"]) == ("bad", "proposed"), found["sentence"]
    assert found["culprit"]["commit"] == third and len(found["culprit"]["runs"]) == 5
    assert found["proposal"].startswith("quantum/without-") and sample.run("rev-parse", "HEAD") == new
    names = sample.run("ls-tree", "--name-only", found["proposal"]).split()
    assert {"1.txt", "2.txt", "4.txt", "5.txt"} <= set(names) and "broken" not in names
    trial = [run for run in found["runs"] if run["on"] == "proposal"]
    assert [run["colour"] for run in trial] == ["green"]
    assert trial[0]["commit"] == sample.run("rev-parse", found["proposal"])


def test_where_it_is_not_green_without_the_culprit_all_is_taken_back(sample: Sample, attempt: Attempts) -> None:
    settings = OLD["quantum.toml"] + "policy = 'propose'\n"
    smoke = "test ! -e broken && test ! -e broken2\n"
    old = merged(sample, BAD, {"broken2": ""}, old={**OLD, "quantum.toml": settings, "smoke.sh": smoke})
    found = attempt()
    assert (found["verdict"], found["action"]) == ("bad", "proposed"), found["sentence"]
    assert found["culprit"]["subject"] == "Number 0" and found["proposal"].startswith("quantum/revert-")
    assert sample.tree(found["proposal"]) == sample.tree(old)
    assert [run["colour"] for run in found["runs"] if run["on"] == "proposal"] == ["red", "green"]
    assert sample.run("for-each-ref", "refs/heads/quantum/without-*") == ""


def test_what_was_pushed_is_never_taken_back_a_revert_is_offered(
    sample: Sample, attempt: Attempts, tmp_path: Path
) -> None:
    sample.run("init", "--quiet", "--bare", str(tmp_path / "remote.git"))
    sample.run("remote", "add", "origin", str(tmp_path / "remote.git"))
    old = merged(sample, BAD)
    sample.run("push", "--quiet", "--set-upstream", "origin", "main")
    new = sample.run("rev-parse", "HEAD")
    found = attempt()
    assert (found["verdict"], found["action"]) == ("bad", "proposed"), found["sentence"]
    assert "pushed to origin/main" in found["sentence"] and sample.run("rev-parse", "HEAD") == new
    assert sample.tree(found["proposal"]) == sample.tree(old)


# -- again, after a crash


def test_a_crash_after_the_rollback_loses_no_evidence(sample: Sample, attempt: Attempts) -> None:
    old = merged(sample, *five(3))
    attempt.break_at = lambda line: line.startswith("Looking for the commit")
    with pytest.raises(Broke):
        attempt()
    assert sample.run("rev-parse", "HEAD") == old
    sample.commit({"later": "the user goes on\n"})
    attempt.break_at = lambda line: False
    runs_before = len(attempt.said)
    found = attempt()
    assert (found["verdict"], found["action"]) == ("bad", "rolled_back") and found["kept_ref"]
    assert found["culprit"]["subject"] == "Number 2" and len(found["runs"]) == 10
    assert not any(line.startswith("Testing") for line in attempt.said[runs_before:])


def test_a_crash_before_the_rollback_goes_on_to_it(sample: Sample, attempt: Attempts) -> None:
    old = merged(sample, BAD)
    attempt.break_at = lambda line: line.startswith("The merge is bad")
    with pytest.raises(Broke):
        attempt()
    assert sample.run("rev-parse", "HEAD") != old
    attempt.break_at = lambda line: False
    assert attempt()["action"] == "rolled_back" and sample.run("rev-parse", "HEAD") == old
    # Another check of the same repository knows nothing of it.
    assert attempt("c2")["verdict"] == "nothing_to_check"


def test_a_user_who_has_gone_on_meanwhile_keeps_everything(sample: Sample, attempt: Attempts) -> None:
    merged(sample, BAD)
    attempt.break_at = lambda line: line.startswith("The merge is bad")
    with pytest.raises(Broke):
        attempt()
    later = sample.commit({"later": "x\n"})
    attempt.break_at = lambda line: False
    found = attempt()
    assert found["action"] == "refused" and sample.run("rev-parse", "HEAD") == later


# -- the safe way in


def topic(sample: Sample, *commits: Mapping[str, str], main: Mapping[str, str] | None = None) -> str:
    old = sample.commit(OLD)
    sample.run("switch", "--quiet", "--create", "topic")
    for files in commits:
        sample.commit(files)
    sample.run("switch", "--quiet", "main")
    return sample.commit(main) if main else old


@pytest.mark.parametrize("main", [None, {"m.txt": "m\n"}])
def test_a_request_is_merged_when_green(sample: Sample, attempt: Attempts, main: Mapping[str, str] | None) -> None:
    old = topic(sample, {"b.txt": "b\n"}, {"c.txt": "c\n"}, main=main)
    (sample.folder / "mine").write_text("untracked\n")
    found = attempt(event=Event.REQUEST, topic="topic")
    assert (found["verdict"], found["action"]) == ("good", "merged"), found["sentence"]
    parents = sample.run("rev-list", "--parents", "-1", "HEAD").split()[1:]
    assert parents == ([old, sample.run("rev-parse", "topic")] if main else [sample.run("rev-parse", "topic~1")])
    assert sample.run("status", "--porcelain") == "?? mine" and (sample.folder / "c.txt").exists()
    assert found["kind"] == ("merge" if main else "fast_forward") and attempt.asked == [(old, found["new"])]
    if main:
        assert sample.run("log", "-1", "--format=%s|%an") == "Merge branch 'topic'|Ada"
    # Asked again, there is nothing to be done.
    assert attempt("c2", event=Event.REQUEST, topic="topic")["verdict"] == "nothing_to_check"


def test_a_request_again_after_a_crash_tells_that_it_is_merged(sample: Sample, attempt: Attempts) -> None:
    topic(sample, {"b.txt": "b\n"})
    first = attempt(event=Event.REQUEST, topic="topic")
    again = attempt(event=Event.REQUEST, topic="topic")
    assert first["action"] == again["action"] == "merged" and again["runs"] == first["runs"]


@pytest.mark.parametrize(
    ("commits", "main", "verdict", "sentence"),
    [
        ([BAD], {"m.txt": "m\n"}, "bad", "topic is not merged"),
        ([{"smoke.sh": "exit 127\n"}], None, "inconclusive", "topic is not merged"),
        ([{"a.txt": "theirs\n"}], {"a.txt": "ours\n"}, "inconclusive", "a.txt"),
        ([{"b.txt": "b\n"}], {"smoke.sh": "false\n"}, "pre_existing", "topic is not merged"),
    ],
)
def test_a_request_that_is_not_green_changes_nothing(
    sample: Sample,
    attempt: Attempts,
    commits: list[Mapping[str, str]],
    main: Mapping[str, str] | None,
    verdict: str,
    sentence: str,
) -> None:
    topic(sample, *commits, main=main)
    before = sample.everything()
    found = attempt(event=Event.REQUEST, topic="topic")
    assert (found["verdict"], found["action"]) == (verdict, "reported") and sentence in found["sentence"], found
    assert sample.everything() == before


@pytest.mark.parametrize("wanted", ["nope", "--all", "", "main~9"])
def test_a_request_for_nothing(sample: Sample, attempt: Attempts, wanted: str) -> None:
    topic(sample, {"b.txt": "b\n"})
    found = attempt(event=Event.REQUEST, topic=wanted)
    assert (found["verdict"], found["action"]) == ("nothing_to_check", "reported")


def test_a_request_is_not_let_in_where_quantum_or_the_users_work_is_in_the_way(
    sample: Sample, attempt: Attempts
) -> None:
    old = topic(sample, {"b.txt": "b\n"})
    attempt.answer = "The mode is GUARDED."
    found = attempt(event=Event.REQUEST, topic="topic")
    assert (found["verdict"], found["action"]) == ("good", "reported") and "GUARDED" in found["sentence"]
    attempt.answer = ""
    (sample.folder / "b.txt").write_text("the user's own\n")
    found = attempt("c2", event=Event.REQUEST, topic="topic")
    assert (found["verdict"], found["action"]) == ("good", "reported")
    assert sample.run("rev-parse", "HEAD") == old and (sample.folder / "b.txt").read_text() == "the user's own\n"
