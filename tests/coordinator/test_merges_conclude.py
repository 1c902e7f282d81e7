"""What becomes of a check when its task ends, whichever way that was."""

import json
from dataclasses import replace
from datetime import timedelta

import pytest

from foundation.errors import Unavailable
from foundation.ids import SequentialIds, SystemIds
from services.coordinator.app.alerts import OVER, WAITING
from services.coordinator.app.attachments import HostState
from services.coordinator.app.cancel import Cancel
from services.coordinator.app.clear import Clear
from services.coordinator.app.merges_facts import flaky
from services.coordinator.app.selection import Selection
from services.coordinator.domain import task as moves
from services.coordinator.domain.merge_check import FLAKY_FOR, FREEZE_WITHIN, Action, Event, Verdict
from services.coordinator.domain.merge_moves import Note
from services.coordinator.domain.task import TaskState
from services.coordinator.ports_safety import PersonalAlert
from tests.coordinator.desk import USER
from tests.coordinator.fleet import ended
from tests.coordinator.merging import A, B, C, D, Merging, report_of


async def alerts(merging: Merging) -> list[PersonalAlert]:
    text = await merging.store.read(lambda tx: tx.fact("alerts_waiting"))
    return [PersonalAlert(*each) for each in json.loads(text or "[]")]


async def test_a_check_ends_with_its_task_in_one_commit(merging: Merging) -> None:
    check = (await merging.start()).check
    over = await merging.run(check, "good", old=C, branch="develop", runs=[{"on": "new"}])
    assert (over.verdict, over.action, over.sentence) == (Verdict.GOOD, Action.NONE, "So it is.")
    assert (over.old, over.new, over.branch, over.ended_at) == (C, B, "develop", merging.clock.now())
    assert json.loads(over.evidence)["runs"] == [{"on": "new"}]
    assert (await merging.task(check)).state is TaskState.SUCCEEDED
    assert await alerts(merging) == []


@pytest.mark.parametrize(
    ("report", "said"),
    [
        ("{", "is not JSON"),
        (json.dumps({"type": "coverage", "data": {}}), "is not one of a merge check"),
        (json.dumps({"type": "merge-check", "data": []}), "holds no evidence"),
        ("other", "is of another check"),
        ({"sentence": 7}, "has no text as its sentence"),
        ({"verdict": "splendid"}, "splendid"),
        ({"new": "main"}, "names as new what is no commit"),
        ({"verdict": "flaky", "action": "rolled_back"}, "tells of a rollback after the verdict flaky"),
    ],
)
async def test_a_report_that_says_nothing_is_inconclusive_with_a_sentence(
    merging: Merging, report: object, said: str
) -> None:
    check = (await merging.start()).check
    await merging.begin(check)
    if isinstance(report, dict):
        wrong = {"verdict": "good", "action": "none", **report}
        report = report_of(check, **wrong)
    elif report == "other":
        report = report_of((await merging.start(C)).check)
    over = await merging.end(check, str(report))
    assert (over.verdict, over.action, over.evidence) == (Verdict.INCONCLUSIVE, Action.NONE, "")
    assert said in over.sentence


async def test_a_report_with_half_a_surrogate_pair_is_taken_as_utf_8_has_it(merging: Merging) -> None:
    check = (await merging.start()).check
    await merging.begin(check)
    over = await merging.end(check, report_of(check, sentence="\udcff.py passes", files=["\udcff.py"]))
    assert (over.verdict, over.sentence) == (Verdict.GOOD, "?.py passes") and '["?.py"]' in over.evidence


async def test_a_runner_that_did_not_take_the_report_says_why(merging: Merging) -> None:
    check = (await merging.start()).check
    task = await merging.begin(check)
    assert merging.runner
    event = replace(ended(task, merging.clock.now()), report_fault="is over 1 MiB")
    await merging.fleet.tell(merging.runner, event)
    assert "is over 1 MiB." in (await merging.check(check)).sentence


async def test_a_rollback_is_told_and_two_within_an_hour_freeze(merging: Merging) -> None:
    first = await merging.rolled_back(B)
    assert first.undo == f"quantum merge undo {first.id}"
    (told,) = await alerts(merging)
    assert (told.cause, told.remedy) == ("merge_rolled_back:r", first.undo)
    merging.clock.advance(timedelta(minutes=59))
    await merging.rolled_back(C)
    assert {alert.cause for alert in await alerts(merging)} == {"merge_rolled_back:r", "merges_frozen:r"}
    held = await merging.guard.freedom("r")
    assert held.freeness == "frozen" and "2 merges were rolled back" in held.reason
    assert not (await merging.start(D)).known, "what comes by git itself is checked all the same"
    merging.clock.advance(timedelta(minutes=1))
    assert (await merging.guard.freedom("r")).freeness == "free", "the first is over an hour ago"


async def test_an_approval_lifts_the_freeze_until_the_next_two(merging: Merging) -> None:
    await merging.rolled_back(B)
    await merging.rolled_back(C)
    await merging.guard.approve("r", "we know why")
    await merging.start("", Event.REQUEST, topic="feature")
    assert (await merging.guard.freedom("r")).freeness == "free", "its approval is used, the freeze is lifted"
    await merging.rolled_back(D)
    assert (await merging.guard.freedom("r")).freeness == "free", "one since then"
    await merging.rolled_back("e" * 40)
    assert (await merging.guard.freedom("r")).freeness == "frozen"


async def test_the_alert_of_a_freeze_is_over_when_it_is_lifted_or_has_gone_by(merging: Merging) -> None:
    async def of_the_freeze() -> list[str]:
        await merging.guard.reconcile.step()
        return [alert.level for alert in await alerts(merging) if alert.cause == "merges_frozen:r"]

    await merging.rolled_back(B)
    await merging.guard.approve("r", "just in case")
    assert await of_the_freeze() == [], "nobody was told of one"
    await merging.rolled_back(C)
    await merging.rolled_back(D)
    assert await of_the_freeze() == ["critical"]
    await merging.guard.approve("r", "we know why")
    assert await of_the_freeze() == [OVER]
    for new in ("e" * 40, "f" * 40):
        await merging.rolled_back(new)
    assert await of_the_freeze() == ["critical"]
    merging.clock.advance(FREEZE_WITHIN)
    assert await of_the_freeze() == [OVER]
    await merging.store.write(lambda tx: tx.set_fact(WAITING, None))
    assert await of_the_freeze() == [], "it is told once"


async def test_what_could_not_be_taken_back_is_told(merging: Merging) -> None:
    over = await merging.run((await merging.start()).check, "bad", "refused")
    (told,) = await alerts(merging)
    assert (told.cause, over.undo) == ("merge_refused:r", "")
    assert told.sentence == "A bad merge stays on main of HabitQuest: So it is."
    assert (await merging.guard.freedom("r")).freeness == "free"


async def test_a_flaky_command_is_known_for_thirty_days(merging: Merging) -> None:
    command = "0" * 64
    await merging.run((await merging.start()).check, "flaky", flaky_command=command)
    until = (merging.clock.now() + FLAKY_FOR).isoformat()
    params = json.loads((await merging.task((await merging.start(C)).check)).params)
    assert params["flaky"] == {command: until}
    merging.clock.advance(FLAKY_FOR)
    await merging.run((await merging.start(D)).check)
    assert await merging.store.read(lambda tx: flaky(tx, "r")) == {}


async def test_a_task_that_failed_with_a_report_has_done_what_it_says(merging: Merging) -> None:
    check = (await merging.start()).check
    await merging.begin(check)
    over = await merging.end(check, report_of(check, "bad", "rolled_back"), code=1)
    assert (await merging.task(check)).state is TaskState.FAILED
    assert over.action is Action.ROLLED_BACK, "the branch has been moved, whatever came after"


async def test_a_check_that_a_short_disk_keeps_from_being_begun_is_inconclusive_at_once(merging: Merging) -> None:
    runs = (await merging.start()).check
    await merging.begin(runs)
    waits = (await merging.start(C)).check
    await merging.guard.sweep.step()
    assert not (await merging.check(waits)).ended, "with room it waits for its place"
    merging.disk_short = "the disk has 1MB free, and at least 1GB are kept"
    await merging.guard.sweep.step()
    over = await merging.check(waits)
    assert over.verdict is Verdict.INCONCLUSIVE
    said = "Not checked to the end: it was not begun, because the disk has 1MB free, and at least 1GB are kept."
    assert over.sentence == said
    assert (await merging.task(waits)).state is TaskState.CANCELLED
    assert not (await merging.check(runs)).ended, "what runs goes on"


async def test_a_check_for_which_nobody_waits_waits_for_room_on_a_short_disk(merging: Merging) -> None:
    merging.repositories.noted.append(Note("post-merge", A, B))
    await merging.guard.reconcile.step()
    (found,) = await merging.checks()
    behind = (await merging.start(C, background=True)).check
    merging.disk_short = "the disk has 1MB free, and at least 1GB are kept"
    await merging.guard.sweep.step()
    for check in (found, behind):
        assert not (await merging.check(check)).ended and (await merging.task(check)).ready
    merging.disk_short = ""
    over = await merging.run(found)
    assert over.verdict is Verdict.GOOD, "what came in is tested after all"


async def test_where_every_runner_finds_its_disk_short_it_is_so_for_checks(merging: Merging) -> None:
    runner = await merging.fleet.runner("one", checks_max=2)
    waits = (await merging.start()).check
    await merging.guard.sweep.step()
    assert not (await merging.check(waits)).ended
    runner.host = HostState("new starts wait: the disk is full", disk_short="the disk is full")
    await merging.guard.sweep.step()
    said = "it was not begun, because runner one starts no merge check: the disk is full."
    assert (await merging.check(waits)).sentence == f"Not checked to the end: {said}"
    with pytest.raises(Unavailable, match="runner one starts no merge check: the disk is full") as refused:
        await merging.start(C)
    assert refused.value.code == "disk_low"
    runner.host = HostState()
    assert not (await merging.start(C)).known, "with room it is taken"


async def test_a_check_that_ran_before_a_short_disk_was_not_begun_again(merging: Merging) -> None:
    check = (await merging.start()).check
    await merging.begin(check)
    before = await merging.task(check)
    again = moves.again(before, reason="Lost.", measured=before.measured, not_before=None, now=merging.clock.now())
    await merging.store.write(lambda tx: tx.save([(before, again)]))
    merging.disk_short = "the disk has 1MB free"
    await merging.guard.sweep.step()
    said = (await merging.check(check)).sentence
    assert said == "Not checked to the end: it was not begun again, because the disk has 1MB free."
    assert (await merging.task(check)).reason == "It was not begun again: the disk has 1MB free."


async def test_on_a_short_disk_no_check_is_taken_and_what_a_hook_noted_is_kept_until_there_is_room(
    merging: Merging,
) -> None:
    merging.disk_short = "the disk has 1MB free, and at least 1GB are kept"
    with pytest.raises(Unavailable, match="Nothing is checked now: the disk has 1MB free") as refused:
        await merging.start()
    assert refused.value.code == "disk_low" and refused.value.remedy.startswith("Make room")
    merging.repositories.noted.append(Note("post-merge", A, B))
    await merging.guard.reconcile.step()
    assert merging.repositories.noted and not await merging.checks()
    merging.disk_short = ""
    await merging.guard.reconcile.step()
    assert not merging.repositories.noted and len(await merging.checks()) == 1


async def test_an_attempt_that_goes_on_ends_no_check(merging: Merging) -> None:
    check = (await merging.start()).check
    task = await merging.begin(check)
    before = await merging.task(check)
    again = moves.again(before, reason="Lost.", measured=before.measured, not_before=None, now=merging.clock.now())
    await merging.store.write(lambda tx: tx.save([(before, again)]))
    await merging.guard.sweep.step()
    assert not (await merging.check(check)).ended
    assert task.attempt == 1


async def test_the_sweep_finds_every_other_end(merging: Merging) -> None:
    changes, clock = merging.fleet.changes, merging.clock
    lost = (await merging.start(D)).check
    await merging.begin(lost)
    cancelled, cleared, gone = [(await merging.start(new)).check for new in (A, B, C)]
    dead = await merging.task(lost)
    over = moves.end(dead, TaskState.DEAD, reason="Lost too often.", measured=dead.measured, now=clock.now())
    await merging.store.write(lambda tx: tx.save([(dead, over)]))
    cancel = Cancel(merging.store, changes, ids=SequentialIds(), clock=clock)
    await cancel(Selection(ids=(cancelled.task_id,)), "Not now.")
    stays = (await merging.start("f" * 40)).check
    before = await merging.checks()
    await merging.guard.sweep.step()
    ends = [await merging.check(each) for each in (cancelled, lost)]
    assert [end.verdict for end in ends] == [Verdict.INCONCLUSIVE] * 2
    assert "is cancelled. Not now." in ends[0].sentence
    assert "is dead. Lost too often." in ends[1].sentence
    assert all(end.told for end in ends), "no budget hears of what was not found out"
    assert len(before) == 5
    for check in (cleared, gone, stays):
        assert not (await merging.check(check)).ended
    clock.advance(timedelta(milliseconds=1))  # what is cleared is what was there before
    clear = Clear(merging.store, changes, ids=SystemIds(clock), clock=clock)
    await clear("merge-check", "tidy", USER, dry_run=False)
    await merging.guard.sweep.step()
    ends = [await merging.check(each) for each in (cleared, gone, stays)]
    assert all(end.verdict is Verdict.INCONCLUSIVE for end in ends)


async def test_a_check_whose_attempt_was_let_move_says_so_when_it_breaks_off(merging: Merging) -> None:
    check = (await merging.start()).check
    task = await merging.begin(check)
    await merging.guard.confirm(check.id, (task.id, task.fence), old=A, new=B)
    over = await merging.end(check, "", code=1)
    assert "`quantum merge doctor`" in over.sentence


async def test_a_person_brings_back_what_was_taken_once(merging: Merging) -> None:
    check = await merging.rolled_back(B)
    for _ in range(2):
        shown = await merging.guard.merges.undone(check.id)
        assert (shown.check.undone_at, shown.check.undo) == (merging.clock.now(), "")
    acts = await merging.store.read(lambda tx: tx.acts(limit=9))
    assert [(act.act, act.target, act.before, act.after) for act in acts] == [("merge_undo", "repository:r", A, B)]
