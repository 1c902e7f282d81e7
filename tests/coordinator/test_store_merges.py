"""What every store must do with merge checks."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from foundation.errors import Stale
from foundation.ids import SequentialIds
from services.coordinator.domain.merge_check import Action, Event, MergeCheck, Verdict
from services.coordinator.ports import Store
from tests.coordinator.tasks import NOW, after

A, B, C = "a" * 40, "b" * 40, "c" * 64
_ids = SequentialIds(1000)


def check(**changes: Any) -> MergeCheck:
    """An open one."""
    id_ = _ids.new()
    values: dict[str, Any] = {
        "id": id_,
        "repository": "r",
        "folder": "/r",
        "event": Event.POST_MERGE,
        "created_at": NOW,
        "task_id": f"task-{id_}",
    }
    return MergeCheck(**values | changes)


def ended(**changes: Any) -> MergeCheck:
    """One that has ended as good."""
    values = {"verdict": Verdict.GOOD, "action": Action.NONE, "ended_at": after(1), "evidence": "{}", "told": True}
    return check(**values | changes)


async def put(store: Store, *checks: MergeCheck) -> None:
    for each in checks:
        await store.write(lambda tx, each=each: tx.insert_check(each))  # type: ignore[misc]


async def test_a_check_comes_back_as_it_went_in(store: Store) -> None:
    full = ended(
        project="HabitQuest",
        event=Event.REQUEST,
        branch="main",
        old=A,
        new=C,
        topic="feature/ä",
        background=True,
        verdict=Verdict.BAD,
        action=Action.ROLLED_BACK,
        sentence="It is bad.",
        only_report="Somebody left.",
        evidence='{"runs": []}',
        confirmed_at=after(0.5),
        undone_at=after(2),
        told=False,
    )
    plain = check()
    await put(store, full, plain)
    assert await store.read(lambda tx: (tx.check(full.id), tx.check(plain.id))) == (full, plain)
    assert await store.read(lambda tx: tx.check("nobody")) is None
    assert await store.read(lambda tx: tx.check_of_task(plain.task_id)) == plain
    assert await store.read(lambda tx: tx.check_of_task("")) is None


async def test_every_word_can_be_stored(store: Store) -> None:
    words = [ended(event=event) for event in Event]
    words += [ended(verdict=verdict) for verdict in Verdict]
    words += [ended(verdict=Verdict.BAD, action=action) for action in Action]
    await put(store, *words)
    assert await store.read(lambda tx: [tx.check(each.id) for each in words]) == words


async def test_what_was_only_reported_has_no_task_and_there_may_be_many(store: Store) -> None:
    one, two = ended(task_id="", action=Action.REPORTED), ended(task_id="", action=Action.REPORTED)
    await put(store, one, two)
    assert await store.read(lambda tx: tx.check_of_task("")) is None


async def test_an_ended_check_may_be_undone_and_told_and_never_opens_or_ends_again(store: Store) -> None:
    each = check()
    await put(store, each)
    over = replace(each, verdict=Verdict.BAD, action=Action.ROLLED_BACK, ended_at=after(1), evidence="{}")
    for version in (replace(each, old=A), over, replace(over, undone_at=after(2)), replace(over, told=True)):
        await store.write(lambda tx, v=version: tx.save_check(v))  # type: ignore[misc]
        assert await store.read(lambda tx: tx.check(each.id)) == version
    for version in (each, replace(over, ended_at=after(9)), check()):
        with pytest.raises(Stale):
            await store.write(lambda tx, v=version: tx.save_check(v))  # type: ignore[misc]


async def test_the_checks_about_a_commit_are_the_open_ones_and_those_that_name_it(store: Store) -> None:
    is_open = check(new=B)
    begins, ends_, other = ended(old=A, new=B), ended(old=B, new=A), ended(old=B, new=C)
    elsewhere = ended(repository="s", new=A)
    unknown = ended()
    await put(store, is_open, begins, ends_, other, elsewhere, unknown)
    about = await store.read(lambda tx: tx.checks_about("r", A, limit=9))
    assert about == [ends_, begins, is_open]
    assert await store.read(lambda tx: tx.checks_about("r", "", limit=9)) == [is_open]
    assert await store.read(lambda tx: tx.checks_about("r", A, limit=1)) == [ends_]
    assert await store.read(lambda tx: tx.open_checks()) == [is_open]


async def test_pages_go_newest_first_without_evidence(store: Store) -> None:
    checks = [ended(project=project, repository=repository) for project in ("p", "") for repository in ("r", "s")]
    await put(store, *checks)
    shown = [replace(each, evidence="") for each in reversed(checks)]

    async def page(repository: str = "", project: str = "", before: str = "", limit: int = 9) -> list[MergeCheck]:
        found = await store.read(
            lambda tx: tx.checks_page(repository=repository, project=project, before_id=before, limit=limit)
        )
        return list(found)

    assert await page() == shown
    assert await page(limit=2) == shown[:2]
    assert await page(before=shown[1].id) == shown[2:]
    assert await page(repository="r") == [shown[1], shown[3]]
    assert await page(project="p", repository="s") == [shown[2]]


async def test_rollbacks_of_a_repository_since_a_time(store: Store) -> None:
    back: dict[str, Any] = {"verdict": Verdict.BAD, "action": Action.ROLLED_BACK}
    for at in (1, 5, 3):
        await put(store, ended(ended_at=after(at), **back))
    await put(store, ended(ended_at=after(6)), ended(ended_at=after(6), repository="s", **back))
    assert await store.read(lambda tx: tx.rollbacks_since("r", after(3))) == [after(5), after(3)]


async def test_what_is_to_be_told_is_told_oldest_first(store: Store) -> None:
    first, second = ended(told=False), ended(told=False)
    await put(store, check(), first, ended(), second)
    assert await store.read(lambda tx: tx.untold_checks(limit=9)) == [first, second]
    assert await store.read(lambda tx: tx.untold_checks(limit=1)) == [first]


async def test_old_ones_go_oldest_first_and_open_ones_never(store: Store) -> None:
    stays = check(created_at=NOW - timedelta(days=999))
    checks = [ended(ended_at=after(at)) for at in (3, 1, 2)]
    await put(store, stays, *checks)
    assert await store.write(lambda tx: tx.prune_checks(ended_before=after(3), limit=1)) == 1
    assert await store.read(lambda tx: tx.check(checks[1].id)) is None
    assert await store.write(lambda tx: tx.prune_checks(ended_before=after(3), limit=9)) == 1
    assert await store.read(lambda tx: [tx.check(each.id) for each in (checks[0], stays)]) == [checks[0], stays]


async def test_a_work_that_fails_leaves_no_check(store: Store) -> None:
    each = check()

    def fails(tx: Any) -> None:
        tx.insert_check(each)
        raise Stale("x", "It failed.")

    with pytest.raises(Stale):
        await store.write(fails)
    assert await store.read(lambda tx: tx.open_checks()) == []
