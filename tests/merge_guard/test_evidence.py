"""evidence: what is handed in fits, is UTF-8, and is read back as it was."""

from __future__ import annotations

import json
import os
from datetime import timedelta

import pytest

from foundation.clock import SystemClock
from merge_guard.evidence import KEPT_FOR, Evidence, digest_of, document, forget_old, recall, remember
from merge_guard.repository import open_repository, quantum_folder
from merge_guard.running import TAIL_BYTES
from merge_guard.values import Arrival, Colour, Culprit, Finding, Kind, Policy, Run, SmokeTest, Verdict
from tests.merge_guard.sample import Sample

ARRIVAL = Arrival(old="0" * 40, new="1" * 40, kind=Kind.MERGE, branch="main", pulled=True, commits=1)
TEST = SmokeTest(argv=("make", "smoke"), because="quantum.toml says so", timeout_seconds=90.0, policy=Policy.ROLLBACK)


def run_of(commit: str, colour: Colour, tail: str = "") -> Run:
    return Run(commit=commit, tree="2" * 40, colour=colour, exit_code=1, seconds=0.5, tail=tail)


def evidence(tail: str = "", subject: str = "a subject") -> Evidence:
    """The largest that there can be: five and five, a culprit with five more, two proposals."""
    reds = tuple(run_of(ARRIVAL.new, Colour.RED, tail) for _ in range(5))
    greens = tuple(run_of(ARRIVAL.old, Colour.GREEN, tail) for _ in range(5))
    culprit = Culprit(commit="3" * 40, subject=subject, author="Ada", runs=reds)
    return Evidence(
        check="c1",
        repository="r1",
        folder="/p",
        finding=Finding(verdict=Verdict.BAD, reason="It is bad.", runs=(*reds, *greens), culprit=culprit),
        arrival=ARRIVAL,
        test=TEST,
        trials=(("proposal", run_of("4" * 40, Colour.RED, tail)),) * 2,
        among=5,
    )


def test_the_largest_fits_into_a_report() -> None:
    # A control character takes six bytes of JSON.
    assert len(json.dumps(document(evidence("\x01" * TAIL_BYTES)))) < 1024 * 1024


def test_what_is_no_utf8_is_replaced() -> None:
    told = document(evidence(subject=os.fsdecode(b"caf\xe9")))
    assert told["culprit"]["subject"] == "caf?" and "caf?" in told["sentence"]
    json.dumps(told, ensure_ascii=False).encode("utf-8")


def test_sides_and_digest() -> None:
    told = document(evidence())
    assert [run["on"] for run in told["runs"]] == ["new"] * 5 + ["old"] * 5 + ["proposal"] * 2
    assert told["flaky_command"] is None
    assert digest_of(TEST.argv) == "a2ccb9348879799368f17d99083ef9a23e03deff6edcf8969f1d49d085baf427"


def test_remembered_as_it_was(sample: Sample) -> None:
    repository = open_repository(sample.folder, git=sample.git)
    assert recall(repository, "c1") is None
    told = evidence("tail")
    remember(repository, told)
    again = recall(repository, "c1")
    assert again is not None and again.finding == told.finding and again.arrival == ARRIVAL
    assert again.test == TEST and again.trials == told.trials and recall(repository, "c2") is None


@pytest.mark.parametrize("text", ["", "[]", "{", '{"runs": []}', '{"runs": 1}'])
def test_what_cannot_be_read_is_as_if_it_were_not_there(sample: Sample, text: str) -> None:
    repository = open_repository(sample.folder, git=sample.git)
    (quantum_folder(repository) / "check-c1.json").write_text(text)
    assert recall(repository, "c1") is None


def test_what_is_old_is_forgotten(sample: Sample) -> None:
    repository = open_repository(sample.folder, git=sample.git)
    now = SystemClock().now()
    remember(repository, evidence())
    forget_old(repository, now=now)
    assert recall(repository, "c1") is not None
    forget_old(repository, now=now + KEPT_FOR + timedelta(hours=1))
    assert recall(repository, "c1") is None
