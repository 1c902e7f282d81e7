"""`quantum merge`: a branch is merged by a check and followed; what was done is undone, mended, approved."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import pytest
from click.shell_completion import ShellComplete

from cli.__main__ import quantum as the_command
from cli.__main__ import run
from cli.merging.request import EXIT_CODES, follow
from cli.output.live import LiveLine
from cli.tasks.following import Interrupts
from clients.merges_values import MergeAction, MergeEvent, MergeVerdict
from foundation.clock import ManualClock
from merge_guard.intent import Intent, write_intent
from merge_guard.repository import open_repository
from tests.cli.conftest import Quantum
from tests.cli.fakes import PlayedConnection, PlayedCoordinator, PlayedSafety, PlayedSession
from tests.cli.played_merges import A_CHECK, EVIDENCE, REPOSITORY, PlayedMerges, Repo, ended
from tests.programs import require

MERGED = ended(MergeVerdict.GOOD, MergeAction.MERGED, sentence="feature is in main, at bbbbbbbbbbbb.")


@pytest.fixture
def repo(folder: Path, tmp_path: Path) -> Repo:
    """A guarded repository in the workspace's folder."""
    require("git")
    repo = Repo.make(tmp_path / "app")
    repo.guard(folder)
    return repo


def test_a_branch_is_asked_for_and_followed(quantum: Quantum, merges: PlayedMerges, repo: Repo) -> None:
    merges.course = (A_CHECK, A_CHECK, replace(A_CHECK, progress="moving main"), MERGED)
    done = quantum("merge", "feature", "--repo", str(repo.top))
    assert (done.code, done.out) == (0, "feature is in main, at bbbbbbbbbbbb.\n")
    assert done.err.splitlines() == ["make smoke on what came, 2 of 5", "moving main"], "each change once"
    (asked,) = merges.asked
    assert (asked.repository, asked.folder, asked.topic) == (REPOSITORY, str(repo.top), "feature")
    assert asked.event is MergeEvent.REQUEST


@pytest.mark.parametrize(
    "words", [["--", "list"], ["--branch", "list"], ["--branch=show", "--json"], ["--json", "--", "undo"]], ids=str
)
def test_a_branch_that_is_called_like_a_word_can_be_merged(
    quantum: Quantum, merges: PlayedMerges, repo: Repo, words: list[str]
) -> None:
    name = next(word for word in reversed(words) if word != "--json").removeprefix("--branch=")
    repo.git("branch", name, "feature")
    merges.course = (MERGED,)
    assert quantum("merge", "--repo", str(repo.top), *words).code == 0
    assert merges.asked[0].topic == name


def test_a_branch_may_have_the_name_that_stands_for_every_branch(
    quantum: Quantum, merges: PlayedMerges, repo: Repo
) -> None:
    repo.git("branch", "BRANCH", "feature")
    merges.course = (MERGED,)
    assert quantum("merge", "BRANCH", "--repo", str(repo.top)).code == 0
    assert merges.asked[0].topic == "BRANCH"


def test_the_words_themselves_are_no_branches(quantum: Quantum, merges: PlayedMerges, repo: Repo) -> None:
    assert quantum("merge", "list").out == "No merge has been checked yet.\n"
    assert merges.asked == []


@pytest.mark.parametrize("verdict", list(MergeVerdict))
def test_what_was_not_merged_ends_by_its_verdict(
    quantum: Quantum, merges: PlayedMerges, repo: Repo, verdict: MergeVerdict
) -> None:
    merges.course = (ended(verdict, MergeAction.REPORTED, freedom_reason="Two were rolled back."),)
    done = quantum("merge", "feature", "--repo", str(repo.top))
    assert done.code == EXIT_CODES[verdict] != 0
    assert done.out == "What came of it.\n"
    assert "quantum merge show c1" in done.err and "Merges are held now: Two were rolled back." in done.err
    assert len(set(EXIT_CODES.values())) == len(MergeVerdict)


def test_a_branch_that_is_in_already_is_a_success(quantum: Quantum, merges: PlayedMerges, repo: Repo) -> None:
    repo.git("merge", "--quiet", "feature")
    merges.course = (ended(MergeVerdict.NOTHING_TO_CHECK, MergeAction.NONE),)
    assert quantum("merge", "feature", "--repo", str(repo.top)).code == 0


def test_as_json_it_is_one_document(quantum: Quantum, merges: PlayedMerges, repo: Repo) -> None:
    merges.course = (A_CHECK, ended(MergeVerdict.FLAKY, MergeAction.NONE, evidence={"runs": []}))
    done = quantum("merge", "feature", "--repo", str(repo.top), "--json")
    assert (done.code, done.document["exit_code"]) == (80, 80)
    check = done.document["check"]
    assert (check["verdict"], check["undo"], check["evidence"]) == ("flaky", None, {"runs": []})


def test_a_slip_in_a_branch_is_met_with_the_nearest(quantum: Quantum, merges: PlayedMerges, repo: Repo) -> None:
    done = quantum("merge", "featur", "--repo", str(repo.top))
    assert done.code == 66
    assert "There is no branch or commit “featur”" in done.err and "Did you mean “feature”?" in done.err
    assert quantum("merge", "--repo", str(repo.top), "--", "--upload-pack=x").code == 66
    assert merges.asked == []


def test_what_holds_merges_is_said_with_what_to_do(quantum: Quantum, merges: PlayedMerges, repo: Repo) -> None:
    merges.held = "Two merges were rolled back within an hour."
    done = quantum("merge", "feature", "--repo", str(repo.top))
    assert done.code == 73
    assert done.err == f"quantum: {merges.held}\n  → quantum merge approve --reason WHY\n"


def test_where_nothing_is_guarded_the_line_that_guards_is_said(
    quantum: Quantum, merges: PlayedMerges, tmp_path: Path, folder: Path
) -> None:
    require("git")
    other = Repo.make(tmp_path / "an other")
    done = quantum("merge", "feature", "--repo", str(other.top))
    assert done.code == 66
    assert f"  → quantum hooks install '{other.top}'" in done.err
    (tmp_path / "plain").mkdir()
    assert "is in no git repository" in quantum("merge", "feature", "--repo", str(tmp_path / "plain")).err


def test_outside_of_a_workspace_the_repository_names_the_one_that_guards_it(
    repo: Repo, folder: Path, coordinator: PlayedCoordinator, merges: PlayedMerges, capsys: pytest.CaptureFixture[str]
) -> None:
    session = PlayedSession(folder, coordinator, PlayedSafety())
    session.environ, session.cwd = {"HOME": "/"}, Path("/")
    assert run(["merge", "feature", "--repo", str(repo.top)], session) == 66
    repo.git("config", "quantum.workspace", str(folder))
    merges.course = (MERGED,)
    assert run(["merge", "feature", "--repo", str(repo.top)], session) == 0
    assert session.workspace.root == folder
    within = PlayedSession(folder, coordinator, PlayedSafety())
    within.environ, within.cwd = {"HOME": "/"}, repo.top
    assert run(["merge", "list"], within) == 0
    assert MERGED.sentence in capsys.readouterr().out.splitlines()[-1]


def _follow(merges: PlayedMerges, *, interrupted: int, shown: bool) -> tuple[Any, str]:
    coordinator = PlayedCoordinator(merges=merges)
    merges.put(A_CHECK)
    stream = io.StringIO()
    connection: Any = PlayedConnection(coordinator, PlayedSafety())
    line, interrupts = LiveLine(stream, shown=shown), Interrupts(count=interrupted)
    return follow(connection, A_CHECK, ManualClock(), interrupts=interrupts, line=line), stream.getvalue()


def test_ctrl_c_leaves_the_check_which_then_merges_nothing(merges: PlayedMerges) -> None:
    merges.course = (A_CHECK,)
    check, _ = _follow(merges, interrupted=1, shown=False)
    assert (merges.left, check.ended) == (["c1"], False)


def test_who_leaves_is_told_so_and_who_leaves_too_late_what_came_of_it(
    quantum: Quantum, merges: PlayedMerges, repo: Repo
) -> None:
    merges.course, merges.interrupt = (A_CHECK,), True
    left = quantum("merge", "feature", "--repo", str(repo.top))
    assert (left.code, left.out) == (130, "")
    assert left.err == "Left. The check goes on and merges nothing: quantum merge show c1\n"
    merges.course = (A_CHECK, MERGED)
    late = quantum("merge", "feature", "--repo", str(repo.top))
    assert (late.code, late.out) == (0, f"{MERGED.sentence}\n")


def test_on_a_terminal_one_line_is_drawn_over_itself_and_leaves_no_trace(merges: PlayedMerges) -> None:
    merges.course = (A_CHECK, replace(A_CHECK, progress="evil\x1b[2Jtest"), MERGED)
    check, drawn = _follow(merges, interrupted=0, shown=True)
    assert check is MERGED
    assert "make smoke on what came, 2 of 5, 0 s" in drawn
    assert "\x1b[2J" not in drawn and "\n" not in drawn and drawn.endswith("\r\x1b[K")


def test_undo_brings_it_back_and_has_it_recorded(quantum: Quantum, merges: PlayedMerges, repo: Repo) -> None:
    check = repo.merge_and_roll_back()
    merges.put(check)
    assert repo.git("rev-parse", "main") == check.old and not (repo.top / "other").exists()
    done = quantum("merge", "undo", "c1")
    assert done.code == 0
    assert done.out == f"main is at {check.new[:12]} again, as before.\n  undo: git reset --keep {check.old[:12]}\n"
    assert repo.git("rev-parse", "main") == check.new and (repo.top / "other").read_text() == "two\n"
    assert repo.git("status", "--porcelain") == ""
    assert merges.checks["c1"].undone_at is not None


def test_what_could_not_be_recorded_is_said_and_recorded_the_second_time(
    quantum: Quantum, merges: PlayedMerges, repo: Repo
) -> None:
    merges.put(repo.merge_and_roll_back())
    merges.recording_fails = True
    failed = quantum("merge", "undo", "c1")
    assert failed.code == 69
    assert "again, as before. But that could not be recorded" in failed.err
    merges.recording_fails = False
    assert quantum("merge", "undo", "c1", "--json").document["sentence"].endswith(" already.")
    assert merges.checks["c1"].undone_at is not None


def test_undo_refuses_where_it_would_touch_what_is_yours(quantum: Quantum, merges: PlayedMerges, repo: Repo) -> None:
    merges.put(repo.merge_and_roll_back())
    (repo.top / "other").write_text("mine\n")
    refused = quantum("merge", "undo", "c1")
    assert refused.code == 73
    assert "It is not brought back" in refused.err
    assert (repo.top / "other").read_text() == "mine\n"
    assert merges.checks["c1"].undone_at is None


def test_undo_of_what_took_nothing_away_or_stands_elsewhere(quantum: Quantum, merges: PlayedMerges) -> None:
    merges.put(ended(MergeVerdict.BAD, MergeAction.PROPOSED, evidence=EVIDENCE))
    assert quantum("merge", "undo", "c1").code == 73
    merges.put(ended(MergeVerdict.BAD, MergeAction.ROLLED_BACK, evidence=EVIDENCE, folder="/nowhere/at/all"))
    assert "/nowhere/at/all is not on this machine" in quantum("merge", "undo", "c1").err


def test_doctor_finds_nothing_half_made(quantum: Quantum, repo: Repo) -> None:
    assert quantum("merge", "doctor").out == "Nothing is half-made.\n"
    assert quantum("merge", "doctor", "--repo", str(repo.top), "--json").document["repositories"][0]["done"] == []


def test_doctor_says_what_it_would_do_and_does_it(quantum: Quantum, repo: Repo) -> None:
    _break_off(repo)
    before = repo.git("rev-parse", "main")
    would = quantum("merge", "doctor", "--dry-run")
    assert would.out.startswith(f"The rollback of main in {repo.top} was broken off and would be ended")
    assert quantum("merge", "doctor", "--dry-run").out == would.out, "it changed nothing"
    done = quantum("merge", "doctor")
    assert done.code == 0
    assert done.out.startswith(f"The rollback of main in {repo.top} was undone: it is at {before[:12]} as before")
    assert quantum("merge", "doctor").out == "Nothing is half-made.\n"


def test_doctor_tells_of_what_it_cannot_look_at_and_goes_on(quantum: Quantum, repo: Repo, folder: Path) -> None:
    _break_off(repo)
    file = folder / ".quantum" / "repositories.toml"
    file.write_text(f'{file.read_text()}[gone]\nfolder = "/nowhere/at/all"\ncommon_dir = "/nowhere/.git"\n')
    done = quantum("merge", "doctor")
    assert done.code == 1
    assert done.err.startswith("/nowhere/at/all: ")
    assert "was undone" in done.out


def _break_off(repo: Repo) -> None:
    """Leave the record of a move that never began."""
    main, feature = repo.git("rev-parse", "main"), repo.git("rev-parse", "feature")
    repository = open_repository(repo.top)
    top, git_dir = str(repository.top), str(repository.git_dir)
    intent = Intent(check="c1", what="rollback", top=top, git_dir=git_dir, branch="main", source=main, target=feature)
    write_intent(repository, intent)


def test_an_approval_needs_a_reason(quantum: Quantum, merges: PlayedMerges, repo: Repo) -> None:
    where = ("--repo", str(repo.top))
    assert quantum("merge", "approve", *where).code == 2
    done = quantum("merge", "approve", "--reason", "looked at it", *where)
    assert merges.approved == [(REPOSITORY, "looked at it")]
    assert done.out.startswith("One merge may be made there until 2026-01-01 ")
    assert quantum("merge", "approve", "0another", "--reason", "x").code == 0
    assert merges.approved[1] == ("0another", "x")
    assert quantum("merge", "approve", "0another", "--reason", "x", *where).code == 2
    said = quantum("merge", "approve", "--reason", "again", *where, "--json").document
    assert said["until"] == "2026-01-01T01:00:00Z"


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        (["merge"], {"list", "show", "undo", "doctor", "approve", "feature", "main"}),
        (["merge", "--repo", "."], {"feature", "main"}),
    ],
    ids=["a first word", "a branch"],
)
def test_completion_knows_words_and_branches(
    repo: Repo, monkeypatch: pytest.MonkeyPatch, typed: list[str], offered: set[str]
) -> None:
    monkeypatch.chdir(repo.top)
    completion = ShellComplete(the_command, {}, "quantum", "_QUANTUM_COMPLETE")
    assert {item.value for item in completion.get_completions(typed, "")} == offered
    assert [item.value for item in completion.get_completions(typed, "fe")] == ["feature"]


def test_help_is_help(quantum: Quantum) -> None:
    assert isinstance(the_command.get_command(click.Context(the_command), "merge"), click.Group)
    assert "BRANCH | COMMAND" in quantum("merge", "--help").out
    assert "quantum merge BRANCH [OPTIONS]" in quantum("merge", "feature", "--help").out
