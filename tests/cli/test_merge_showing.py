"""`quantum merge list` and `show`, and the line of `quantum status`: what was checked, and what is held."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from cli.merging.standing import standing
from cli.output.documents import document
from clients.merges_values import MergeAction, MergeVerdict
from tests.cli.conftest import Quantum
from tests.cli.fakes import PlayedConnection, PlayedCoordinator, PlayedSafety
from tests.cli.played_merges import A_CHECK, EVIDENCE, REPOSITORY, PlayedMerges, ended


def test_the_list_says_what_was_found_and_done(quantum: Quantum, merges: PlayedMerges) -> None:
    bad = ended(MergeVerdict.BAD, MergeAction.ROLLED_BACK, sentence="main is where it was.")
    merges.put(replace(A_CHECK, id="c3"), replace(bad, id="c2"), replace(bad, id="c1", undone_at=bad.ended_at))
    shown = quantum("merge", "list", "--limit", "3").out.splitlines()
    assert shown[0].split() == ["ID", "BEGAN", "BRANCH", "COMMIT", "VERDICT", "DONE", "WHAT", "CAME", "OF", "IT"]
    assert "app/main" in shown[1] and "running" in shown[1] and shown[1].endswith("make smoke on what came, 2 of 5")
    assert "bad" in shown[2] and "rolled back" in shown[2] and shown[2].endswith("main is where it was.")
    assert "undone" in shown[3]
    assert len(shown) == 4
    assert "quantum merge list --cursor 9" in quantum("merge", "list", "--limit", "1").err
    assert [one["id"] for one in quantum("merge", "list", "--json").document["checks"]] == ["c3", "c2", "c1"]


def test_the_list_says_once_where_merges_are_held(quantum: Quantum, merges: PlayedMerges) -> None:
    merges.put(A_CHECK, replace(A_CHECK, id="c2"), replace(A_CHECK, id="c3", repository="gone", folder="/gone"))
    merges.holds = {REPOSITORY: "two were rolled back"}
    assert quantum("merge", "list").out.count("are held") == 1
    assert "Merges into /home/ann/app are held: two were rolled back\n" in quantum("merge", "list").out
    merges.holds = {REPOSITORY: ""}
    assert "are held" not in quantum("merge", "list").out


def test_the_evidence_is_readable(quantum: Quantum, merges: PlayedMerges) -> None:
    undo = "quantum merge undo c1"
    merges.put(ended(MergeVerdict.BAD, MergeAction.ROLLED_BACK, undo=undo, evidence=EVIDENCE))
    out = quantum("merge", "show", "c1").out
    lines = out.splitlines()
    for line in (
        "verdict:       bad",
        "done:          rolled back",
        "undo:          quantum merge undo c1",
        "test:          make 'smoke test'   (at most 5 min 0 s)",
        "why this test: quantum.toml says so",
        "what came:     3 commits by a merge, pulled",
        "kept as:       refs/quantum/rollback/20260101-b",
        "proposal:      quantum/without-dddd   (git merge quantum/without-dddd takes it)",
        "what came  bbbbbbbbbbbb  777777777777  5×     red, exit 2  0.50 s to 4.50 s",
        "before it  aaaaaaaaaaaa  777777777777  5×     green        0.50 s",
        "culprit:       dddddddddddd “Break it”, by Bob",
        "the last words of the test on what came, bbbbbbbbbbbb, which was red:",
        "  |         make: *** [smoke] Error�[2J",
    ):
        assert line in lines, f"{line!r} is not in\n{out}"
    assert "merged up to it  dddddddddddd  777777777777  1×     red, exit 2  0.50 s" in lines
    assert "green on old" not in out, "what was green needs no words"
    assert out.count("*** [smoke]") == 1, "what was said is not said again"
    assert any(
        line.startswith("asked by:      the hook post-merge, ") and line.endswith("took 1 min 30 s") for line in lines
    )
    assert quantum("merge", "show", "c1", "--json").document["check"]["evidence"] == EVIDENCE


@pytest.mark.parametrize(
    "evidence",
    [{"runs": "none"}, {"runs": [1, {}, {"seconds": "x", "exit_code": True}]}, {"culprit": 3, "command": 4}, {}],
    ids=str,
)
def test_evidence_of_another_shape_breaks_nothing(
    quantum: Quantum, merges: PlayedMerges, evidence: dict[str, object]
) -> None:
    merges.put(ended(MergeVerdict.INCONCLUSIVE, MergeAction.REPORTED, evidence=evidence))
    assert quantum("merge", "show", "c1").code == 0


def test_the_status_has_one_line_only_where_something_runs_or_is_held(merges: PlayedMerges) -> None:
    connection: Any = PlayedConnection(PlayedCoordinator(merges=merges), PlayedSafety())
    assert standing(connection).line == ""
    done = ended(MergeVerdict.GOOD, MergeAction.NONE)
    merges.put(done)
    merges.holds = {REPOSITORY: ""}
    assert standing(connection).line == ""
    merges.put(replace(A_CHECK, id="c2"))
    assert standing(connection).line == "merges: 1 merge being checked  (quantum merge list)"
    merges.holds = {REPOSITORY: "two were rolled back"}
    both = standing(connection)
    assert both.line == "merges: 1 merge being checked; held in app: two were rolled back  (quantum merge list)"
    alike = replace(both, held={**both.held, "/home/ann/lib": "two were rolled back", "/b": "other"})
    assert "held in app, lib: two were rolled back; held in b: other  (" in alike.line
    assert document(both) == {"open": ["c2"], "held": {"/home/ann/app": "two were rolled back"}}
