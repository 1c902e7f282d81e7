"""The error budget of a project hears of what was found out, once, as soon as safety can be asked."""

from dataclasses import replace

from foundation.errors import Invalid
from tests.coordinator.merging import A, B, C, D, Merging, R


async def test_good_and_bad_are_told_and_nothing_else(merging: Merging) -> None:
    good = await merging.run((await merging.start(A)).check, "good")
    bad = await merging.run((await merging.start(B)).check, "bad", "reported")
    for number, verdict in enumerate(("flaky", "pre_existing", "inconclusive", "nothing_to_check")):
        await merging.run((await merging.start(str(number) * 40)).check, verdict)
    await merging.start(C)
    await merging.guard.tell.step()
    await merging.guard.tell.step()
    assert merging.safety.told == [("HabitQuest", good.id, False), ("HabitQuest", bad.id, True)]


async def test_a_repository_of_no_project_is_told_to_nobody(merging: Merging) -> None:
    merging.repositories.by_id["r"] = replace(R, project="")
    await merging.run((await merging.start(A)).check, "bad", "reported")
    await merging.guard.tell.step()
    assert merging.safety.told == []


async def test_it_waits_for_safety_also_over_a_restart(merging: Merging) -> None:
    check = await merging.run((await merging.start(A)).check, "good")
    merging.safety.away = True
    await merging.guard.tell.step()
    merging.restart()
    await merging.guard.tell.step()
    assert merging.safety.told == []
    merging.safety.away = False
    await merging.guard.tell.step()
    assert [told[1] for told in merging.safety.told] == [check.id]
    assert (await merging.check(check)).told


async def test_what_safety_will_never_take_holds_nothing_up(merging: Merging) -> None:
    first = await merging.run((await merging.start(A)).check, "good")
    second = await merging.run((await merging.start(D)).check, "good")
    take = merging.safety.record

    async def record(project: str, check_id: str, *, bad: bool) -> None:
        if check_id == first.id:
            raise Invalid("bad_project", "That is no project.")
        await take(project, check_id, bad=bad)

    merging.safety.record = record  # type: ignore[method-assign]
    await merging.guard.tell.step()
    assert [told[1] for told in merging.safety.told] == [second.id]
    assert (await merging.check(first)).told
