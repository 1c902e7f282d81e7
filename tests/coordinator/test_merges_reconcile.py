"""The pass that looks for branches which moved without a check."""

import json
from pathlib import Path

import pytest

from services.coordinator.domain.merge_check import Action, Event, Verdict
from services.coordinator.domain.merge_moves import Note
from services.coordinator.ports_merges import WorkTree
from tests.coordinator.merging import A, B, C, D, Merging, R, report_of

FF = "merge feature: Fast-forward"


async def look(merging: Merging) -> list[tuple[str, str, str]]:
    """One pass; what is there after it."""
    await merging.guard.reconcile.step()
    return [(str(check.event), check.old[:1], check.new[:1]) for check in await merging.checks()]


async def test_the_first_sight_is_only_remembered(merging: Merging) -> None:
    merging.repositories.move(B, FF)
    assert await look(merging) == []
    merging.restart()
    assert await look(merging) == []


async def test_a_merge_that_no_hook_told_of_is_checked_once(merging: Merging) -> None:
    await settled(merging)
    merging.repositories.move(B, FF)
    assert await look(merging) == [("reconcile", "a", "b")]
    (check,) = await merging.checks()
    params = json.loads((await merging.task(check)).params)
    assert (params["event"], params["background"], params["old"], params["new"]) == ("reconcile", True, A, B)
    merging.restart()
    assert len(await look(merging)) == 1


async def settled(merging: Merging) -> None:
    """Seen once at A, which is the oldest that the reflog has."""
    merging.repositories.move(A, "commit (initial): first")
    await look(merging)


async def test_plain_commits_are_nobodys_business(merging: Merging) -> None:
    await settled(merging)
    for to, message in ((B, "commit: more"), (C, "commit (amend): better"), (D, "cherry-pick: that")):
        merging.repositories.move(to, message)
    assert await look(merging) == []


async def test_a_reset_is_told_once_and_changes_nothing(merging: Merging) -> None:
    await settled(merging)
    merging.repositories.move(B, "commit: more")
    await look(merging)
    merging.repositories.move(A, "reset: moving to HEAD~1")
    for _ in range(2):
        assert await look(merging) == [("reconcile", "b", "a")]
    (told,) = await merging.checks()
    assert (told.verdict, told.action, told.task_id) == (Verdict.NOTHING_TO_CHECK, Action.REPORTED, "")
    assert "reset: moving to HEAD~1" in told.sentence
    merging.repositories.move(B, "reset: moving to ORIG_HEAD")
    assert len(await look(merging)) == 2


async def test_a_move_that_the_reflog_does_not_tell_is_told(merging: Merging) -> None:
    await settled(merging)
    merging.repositories.branches["main"] = C
    assert await look(merging) == [("reconcile", "a", "c")]
    assert "does not tell" in (await merging.checks())[0].sentence


async def test_what_hooks_have_told_of_is_not_looked_at_again(merging: Merging) -> None:
    await settled(merging)
    merging.repositories.move(B, FF)
    await merging.start(B)
    assert await look(merging) == [("post-merge", "a", "b")]


async def test_our_own_moves_are_known(merging: Merging) -> None:
    await settled(merging)
    merging.repositories.move(B, FF)
    check = (await merging.start(B)).check
    task = await merging.begin(check)
    await look(merging)
    await merging.guard.confirm(check.id, (task.id, task.fence), old=A, new=B)
    merging.repositories.branches["main"] = A  # it has moved; its reflog is not written yet
    assert len(await look(merging)) == 1, "while it is taken back"
    merging.repositories.move(A, "quantum: took back feature")
    await merging.end(check, "")
    assert len(await look(merging)) == 1, "after it was"
    merging.repositories.move(B, "quantum: brought back feature")
    assert len(await look(merging)) == 1, "once it is brought back"
    asked = (await merging.start("", Event.REQUEST, topic="other")).check
    await merging.run(asked, "good", "merged", new=D)
    merging.repositories.branches["main"] = D
    assert len(await look(merging)) == 2, "what `quantum merge` brought"


async def test_the_control_without_the_confirmation_a_branch_that_goes_back_is_told(merging: Merging) -> None:
    await settled(merging)
    merging.repositories.move(B, FF)
    await merging.start(B)
    await look(merging)
    merging.repositories.branches["main"] = A
    assert len(await look(merging)) == 2


@pytest.mark.parametrize(
    ("verdict", "action", "ours"),
    [("bad", "rolled_back", True), ("bad", "proposed", False), ("bad", "reported", False), ("good", "merged", False)],
)
async def test_a_branch_that_goes_back_is_ours_only_if_the_check_says_so(
    merging: Merging, verdict: str, action: str, ours: bool
) -> None:
    await settled(merging)
    merging.repositories.move(B, FF)
    check = (await merging.start(B)).check
    task = await merging.begin(check)
    await look(merging)
    await merging.guard.confirm(check.id, (task.id, task.fence), old=A, new=B)
    await merging.end(check, report_of(check, verdict, action))
    merging.repositories.move(A, "reset: moving to HEAD~1")
    assert len(await look(merging)) == (1 if ours else 2)


async def test_a_branch_that_goes_back_once_more_after_an_undo_is_told(merging: Merging) -> None:
    await settled(merging)
    merging.repositories.move(B, FF)
    check = await merging.rolled_back(B)
    merging.repositories.move(A, "quantum: rolled back")
    await look(merging)
    await merging.guard.merges.undone(check.id)
    merging.repositories.move(B, "quantum: brought back")
    assert len(await look(merging)) == 1
    merging.repositories.move(A, "reset: moving to HEAD~1")
    assert len(await look(merging)) == 2


async def test_commits_on_top_of_a_checked_merge_are_plain_and_on_top_of_another_it_is_told(merging: Merging) -> None:
    await settled(merging)
    merging.repositories.move(B, FF)
    await merging.start(B)
    merging.repositories.move(C, "commit: more")
    assert len(await look(merging)) == 1
    merging.repositories.move(D, FF)
    merging.repositories.move("e" * 40, "commit: and more")
    assert await look(merging) == [("post-merge", "a", "b"), ("reconcile", "c", "d")]
    assert (await merging.checks())[1].action is Action.REPORTED, "HEAD has gone on: it cannot be taken back any more"


async def test_a_branch_that_is_not_checked_out_is_told(merging: Merging) -> None:
    await settled(merging)
    merging.repositories.move(B, FF)
    merging.repositories.trees[R.folder] = WorkTree(R.common_dir, D, "elsewhere")
    assert await look(merging) == [("reconcile", "a", "b")]
    assert (await merging.checks())[0].action is Action.REPORTED


LINKED = Path("/linked")


async def test_what_came_in_a_linked_work_tree_is_checked_there(merging: Merging) -> None:
    await settled(merging)
    merging.repositories.move(B, FF)
    merging.repositories.trees |= {
        R.folder: WorkTree(R.common_dir, D, "elsewhere"),
        LINKED: WorkTree(R.common_dir, B, "main"),
    }
    assert await look(merging) == [("reconcile", "a", "b")]
    check = (await merging.checks())[0]
    assert (check.folder, check.branch, check.ended) == ("/linked", "main", False)


async def test_what_a_hook_has_noted_in_a_linked_work_tree_is_checked_there(merging: Merging) -> None:
    await settled(merging)
    merging.repositories.trees[LINKED] = WorkTree(R.common_dir, C, "topic")
    merging.repositories.noted = [Note("post-merge", A, C), Note("post-merge", A, D)]
    await look(merging)
    folders = {check.new: check.folder for check in await merging.checks()}
    assert folders == {C: "/linked", D: "/repo"}, "where nobody has it checked out, the repository's own says so"


async def test_what_cannot_be_started_now_is_started_later(merging: Merging) -> None:
    await settled(merging)
    merging.repositories.move(B, FF)
    merging.repositories.noted = [Note("post-merge", A, B)]
    merging.safety.now = "DRAIN"
    assert await look(merging) == []
    merging.restart()
    merging.safety.now = "NORMAL"
    assert await look(merging) == [("reconcile", "a", "b")]
    assert merging.repositories.noted == []


async def test_a_repository_without_git_holds_up_no_other(merging: Merging) -> None:
    await settled(merging)
    merging.repositories.move(B, FF)
    merging.repositories.away = True
    assert await look(merging) == []
    merging.repositories.away = False
    assert await look(merging) == [("reconcile", "a", "b")]


async def test_notes_of_hooks_are_checked_and_taken_away(merging: Merging) -> None:
    await settled(merging)
    merging.repositories.noted = [
        Note("post-merge", A, C),
        Note("post-merge", A, C),
        Note("post-rewrite", "", ""),
        Note("post-commit", "", ""),
    ]
    assert await look(merging) == [("reconcile", "a", "c"), ("reconcile", "", "a")], "what is not known is read"
    assert merging.repositories.noted == []
    assert len(await look(merging)) == 2


async def test_notes_of_a_repository_that_moved_away_are_dropped_with_a_sentence(merging: Merging) -> None:
    await settled(merging)
    merging.repositories.trees[R.folder] = WorkTree(Path("/elsewhere/.git"), B, "main")
    merging.repositories.noted = [Note("post-merge", A, C)]
    assert await look(merging) == []
    assert merging.repositories.noted == []


async def test_a_repository_that_is_not_watched_is_said_once_while_the_cause_stays(
    merging: Merging, caplog: pytest.LogCaptureFixture
) -> None:
    def told() -> int:
        return caplog.text.count("is not watched just now")

    merging.repositories.noted.append(Note("post-merge", A, B))
    for free in (3, 2, 1):
        merging.disk_short = f"the disk has {free}MB free, and at least 1GB are kept"
        await look(merging)
    assert told() == 1, "how much is free says nothing new"
    merging.repositories.away = True
    await look(merging)
    assert told() == 2, "another cause does"
