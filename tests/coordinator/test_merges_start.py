"""Starting a merge check: once for each commit, with its task, and only where it may."""

import json
from datetime import timedelta
from pathlib import Path

import pytest

from foundation.errors import Conflict, Invalid, NotFound, Unavailable
from foundation.repositories import GuardedRepository
from services.coordinator.domain.merge_check import Event, Stage
from services.coordinator.domain.merge_freedom import Freedom, Freeness
from services.coordinator.domain.task import Effects
from services.coordinator.ports_merges import WorkTree
from tests.coordinator.merging import CHECK_AGENT, A, B, C, D, Merging


async def test_a_check_and_its_task_are_there_together(merging: Merging) -> None:
    started = await merging.start()
    check, task = started.check, await merging.task(started.check)
    assert not started.known
    assert await merging.check(check) == check
    assert (check.repository, check.project, check.branch, check.old, check.new) == ("r", "HabitQuest", "main", A, B)
    assert (task.agent, task.effects, task.retries, task.timeout) == (
        "merge-check",
        Effects.IDEMPOTENT,
        0,
        CHECK_AGENT.timeout,
    )
    assert task.project == "", "its project's breaker does not hold the check of what may mend it"
    assert json.loads(task.params) == {
        "check": check.id,
        "repository": "r",
        "folder": "/repo",
        "event": "post-merge",
        "old": A,
        "new": B,
        "topic": "",
        "background": False,
        "only_report": "",
        "flaky": {},
    }
    assert (await merging.guard.merges.get(check.id)).stage is Stage.WAITING


async def test_without_a_task_there_is_no_check(merging: Merging) -> None:
    for spec in (None, CHECK_AGENT.__class__(name="merge-check", script="/own.sh", source="agents/merge-check.sh")):
        merging.fleet.catalogue.specs.pop("merge-check", None)
        if spec is not None:
            merging.fleet.catalogue.specs["merge-check"] = spec
        with pytest.raises(Unavailable, match="cannot be checked"):
            await merging.start()
    assert await merging.checks() == []


async def test_what_is_being_checked_or_was_within_a_day_is_known(merging: Merging) -> None:
    first = (await merging.start(B)).check
    again = await merging.start(B, Event.POST_COMMIT)
    assert (again.known, again.check.id) == (True, first.id)
    await merging.run(first)
    merging.clock.advance(timedelta(hours=23, minutes=59))
    assert (await merging.start(B)).known
    assert not (await merging.start(C)).known, "another commit is another check"
    merging.clock.advance(timedelta(minutes=1))
    later = await merging.start(B)
    assert not later.known


async def test_another_repository_knows_nothing_of_it(merging: Merging) -> None:
    await merging.start(B)
    other = GuardedRepository(id="s", folder=Path("/other"), common_dir=Path("/other/.git"))
    merging.repositories.by_id["s"] = other
    merging.repositories.trees[other.folder] = WorkTree(other.common_dir, B, "main")
    assert not (await merging.start(B, repository="s", folder="/other")).known


async def test_what_tested_nothing_is_asked_again(merging: Merging) -> None:
    first = (await merging.start(B)).check
    await merging.run(first, "nothing_to_check")
    second = await merging.start(B)
    assert not second.known
    await merging.begin(second.check)
    broken = await merging.end(second.check, "", code=1)
    assert broken.sentence.startswith("Not checked to the end: ")
    assert not (await merging.start(B)).known


async def test_a_commit_that_a_person_brought_back_is_never_checked_again(merging: Merging) -> None:
    check = await merging.rolled_back(B)
    await merging.guard.merges.undone(check.id)
    merging.clock.advance(timedelta(days=40))
    again = await merging.start(B)
    assert (again.known, again.check.id) == (True, check.id)


async def test_a_hint_that_is_none_is_replaced_by_what_stands_there_and_is_not_told(merging: Merging) -> None:
    check = (await merging.start("HEAD; rm -rf /", old="nonsense")).check
    assert (check.old, check.new) == ("", B)
    params = json.loads((await merging.task(check)).params)
    assert (params["old"], params["new"]) == ("", ""), "the attempt reads for itself"


async def test_a_rewrite_only_reports_and_is_no_answer_to_a_merge(merging: Merging) -> None:
    rewrite = (await merging.start(B, Event.POST_REWRITE)).check
    assert rewrite.only_report
    assert json.loads((await merging.task(rewrite)).params)["only_report"] == rewrite.only_report
    assert not (await merging.start(B)).known
    assert (await merging.start(B, Event.POST_REWRITE)).known


async def test_a_check_that_somebody_left_is_no_answer_to_whoever_waits_but_to_the_pass(merging: Merging) -> None:
    left = (await merging.start(B)).check
    assert (await merging.start(B)).known
    await merging.guard.merges.leave(left.id)
    assert (await merging.start(B, Event.RECONCILE)).check.id == left.id, "it had its check, which was left"
    again = await merging.start(B)
    assert not again.known and not again.check.only_report
    assert (await merging.start(B)).check.id == again.check.id


async def test_a_request_that_somebody_left_is_no_answer_to_whoever_asks_again(merging: Merging) -> None:
    assert not await request(merging)
    assert await request(merging), "the control: as long as nobody has left"
    await merging.guard.merges.leave((await merging.checks())[0].id)
    assert not await request(merging)
    assert await request(merging)


async def test_unknown_and_moved_repositories_are_refused(merging: Merging) -> None:
    with pytest.raises(NotFound, match="no guarded repository “x”"):
        await merging.start(repository="x")
    with pytest.raises(NotFound, match="is no folder"):
        await merging.start(folder="/gone")
    merging.repositories.trees[Path("/copy")] = WorkTree(Path("/copy/.git"), B, "main")
    with pytest.raises(NotFound, match="/copy is not repository r, which stands at /repo") as said:
        await merging.start(folder="/copy")
    assert "quantum hooks install" in said.value.remedy
    merging.repositories.trees[Path("/linked")] = WorkTree(Path("/repo/.git"), C, "topic")
    assert (await merging.start(C, folder="/linked")).check.branch == "topic", "a linked work tree is of it"
    assert len(await merging.checks()) == 1


@pytest.mark.parametrize("mode", ["DRAIN", "FROZEN", "STOPPED"])
async def test_nothing_is_checked_where_nothing_starts(merging: Merging, mode: str) -> None:
    merging.safety.now = mode
    with pytest.raises(Unavailable, match=f"The mode is {mode}"):
        await merging.start()
    assert await merging.checks() == []
    merging.safety.now = "GUARDED"
    assert not (await merging.start()).known, "what a hook tells of is checked in guarded mode"


async def request(merging: Merging, topic: str = "feature") -> bool:
    return (await merging.start("", Event.REQUEST, old="", topic=topic)).known


async def test_a_request_for_a_merge_is_known_while_it_is_open(merging: Merging) -> None:
    assert not await request(merging)
    assert await request(merging)
    assert not await request(merging, "other")
    first = (await merging.checks())[0]
    assert (first.new, first.topic) == ("", "feature"), "its commit is still to be made"
    assert not (await merging.start(B)).known, "what came is no request"
    await merging.run(first, "good", "merged", new=D)
    assert not await request(merging)
    assert (await merging.start(D)).known, "what it has made was tested before it went in"


@pytest.mark.parametrize("topic", ["", "--upload-pack=x", "a\nb", "x" * 501])
async def test_a_request_needs_a_topic(merging: Merging, topic: str) -> None:
    with pytest.raises(Invalid):
        await request(merging, topic)


async def test_a_request_is_refused_while_merges_are_not_free_and_what_came_is_checked(merging: Merging) -> None:
    cases = [
        (
            Freedom(Freeness.APPROVAL, "Little is left."),
            "NORMAL",
            "merge_needs_approval",
            "quantum merge approve r --reason",
        ),
        (Freedom(Freeness.FROZEN, "Nothing is left."), "NORMAL", "merges_frozen", "quantum merge approve r --reason"),
        (Freedom(Freeness.FREE), "GUARDED", "merges_frozen", "quantum resume"),
    ]
    for standing, mode, code, remedy in cases:
        merging.safety.standing, merging.safety.now = standing, mode
        with pytest.raises(Conflict) as said:
            await request(merging)
        assert said.value.code == code
        assert remedy in said.value.remedy
    assert await merging.checks() == []
    assert not (await merging.start()).known


async def test_an_approval_is_good_once_and_for_an_hour(merging: Merging) -> None:
    merging.safety.standing = Freedom(Freeness.APPROVAL, "Little is left.")
    await merging.guard.approve("r", "it mends things")
    assert not await request(merging)
    assert await request(merging), "asked again it is the same merge"
    with pytest.raises(Conflict):
        await request(merging, "second")
    await merging.guard.approve("r", "it mends more")
    merging.clock.advance(timedelta(hours=1))
    with pytest.raises(Conflict):
        await request(merging, "second")
    merging.safety.now = "GUARDED"
    await merging.guard.approve("r", "now")
    with pytest.raises(Conflict, match="GUARDED"):
        await request(merging, "second")
    acts = await merging.store.read(lambda tx: tx.acts(limit=9))
    assert [(act.act, act.target, act.reason) for act in acts] == [
        ("merge_approve", "repository:r", reason) for reason in ("it mends things", "it mends more", "now")
    ]
    with pytest.raises(Invalid):
        await merging.guard.approve("r", " ")
