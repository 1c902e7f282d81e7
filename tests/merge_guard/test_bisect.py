"""bisect: the culprit among those that came, by every way of coming, and where no culprit is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from foundation.clock import SystemClock
from merge_guard.bisect import Search, find_culprit
from merge_guard.checking import Bench, check, definition
from merge_guard.repository import open_repository
from merge_guard.scratch import Scratch
from merge_guard.values import Arrival, Colour, Kind, Verdict
from tests.merge_guard.sample import Sample

OLD = {"quantum.toml": "[merge]\nsmoke = ['sh', 'smoke.sh']\n", "smoke.sh": "test ! -e broken\n"}
HARMLESS = ({"one": "1\n"}, {"two": "2\n"}, {"three": "3\n"}, {"four": "4\n"}, {"five": "5\n"})


def searched(sample: Sample, tmp_path: Path, old: str, kind: Kind) -> Search:
    new = sample.run("rev-parse", "HEAD")
    (tmp_path / "work").mkdir()
    repository = open_repository(sample.folder, git=sample.git)
    scratch = Scratch(repository, tmp_path / "work", sample.git)
    test = definition(scratch, repository, old)
    assert test is not None
    bench = Bench(scratch, test, old, environment=sample.environment, clock=SystemClock())
    count = int(sample.run("rev-list", "--count", "--first-parent", f"{old}..{new}"))
    arrival = Arrival(old=old, new=new, kind=kind, branch="main", pulled=False, commits=count)
    finding = check(bench, arrival, lambda line: None)
    assert finding.verdict is Verdict.BAD
    return find_culprit(bench, arrival, finding, lambda line: None)


@pytest.mark.parametrize("bad", range(5))
def test_each_of_five_is_named(sample: Sample, tmp_path: Path, bad: int) -> None:
    old = sample.commit(OLD)
    commits = [
        sample.commit(files | ({"broken": ""} if place == bad else {}), f"Number {place}")
        for place, files in enumerate(HARMLESS)
    ]
    culprit = searched(sample, tmp_path, old, Kind.FAST_FORWARD).culprit
    assert culprit is not None and culprit.commit == commits[bad]
    assert (culprit.subject, culprit.author) == (f"Number {bad}", "Ada")
    assert [run.colour for run in culprit.runs] == [Colour.RED] * 5


def test_of_a_true_merge_the_commit_of_the_branch_is_named(sample: Sample, tmp_path: Path) -> None:
    sample.commit(OLD)
    sample.run("switch", "--quiet", "--create", "topic")
    commits = [sample.commit(f | ({"broken": ""} if i == 2 else {})) for i, f in enumerate(HARMLESS)]
    sample.run("switch", "--quiet", "main")
    old = sample.commit({"main": "went on\n"})
    sample.run("merge", "--quiet", "--no-edit", "topic")
    culprit = searched(sample, tmp_path, old, Kind.MERGE).culprit
    assert culprit is not None and culprit.commit == commits[2]


def test_an_octopus_is_its_own_culprit(sample: Sample, tmp_path: Path) -> None:
    base = sample.commit(OLD)
    for name in ("a", "b"):
        sample.run("switch", "--quiet", "--create", name, base)
        sample.commit({name: ""} | ({"broken": ""} if name == "b" else {}))
    sample.run("switch", "--quiet", "main")
    old = sample.commit({"main": "went on\n"})
    sample.run("merge", "--quiet", "--no-edit", "a", "b")
    culprit = searched(sample, tmp_path, old, Kind.MERGE).culprit
    assert culprit is not None and culprit.commit == sample.run("rev-parse", "HEAD")


def test_where_the_search_cannot_go_on_nobody_is_accused(sample: Sample, tmp_path: Path) -> None:
    old = sample.commit(OLD)
    sample.commit({"smoke.sh": "exit 127\n"})
    sample.commit({"smoke.sh": OLD["smoke.sh"], "one": "1\n"})
    sample.commit({"smoke.sh": "exit 127\n"})
    sample.commit({"smoke.sh": OLD["smoke.sh"], "broken": ""})
    search = searched(sample, tmp_path, old, Kind.FAST_FORWARD)
    # The second is green; the third, next to be looked at, tells nothing.
    assert search.culprit is None and "127" in search.why


def test_a_conflict_on_the_way_accuses_nobody(sample: Sample, tmp_path: Path) -> None:
    sample.commit({**OLD, "text": "a\n"})
    sample.run("switch", "--quiet", "--create", "topic")
    sample.commit({"text": "topic\n"})
    sample.commit({"text": "a\n"})
    sample.commit({"broken": ""})
    sample.run("switch", "--quiet", "main")
    old = sample.commit({"text": "main\n"})
    sample.run("merge", "--quiet", "--no-edit", "topic")
    search = searched(sample, tmp_path, old, Kind.MERGE)
    assert search.culprit is None or search.culprit.commit == sample.run("rev-parse", "topic")
