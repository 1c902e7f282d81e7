"""Following a check to its end, and showing many."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass, field

import pytest

from foundation.errors import Invalid, NotFound
from foundation.ids import SequentialIds
from services.coordinator.app.log import Chunk
from services.coordinator.app.merges import Shown
from services.coordinator.domain.merge_check import Stage
from tests.coordinator.merging import A, B, C, Merging
from tests.waiting import eventually


@dataclass
class PlayedLog:
    """The output of one attempt, piece by piece."""

    pieces: asyncio.Queue[bytes] = field(default_factory=asyncio.Queue)

    async def __call__(self, task_id: str, offset: int, *, follow: bool) -> AsyncGenerator[Chunk, None]:
        while True:
            yield Chunk(await self.pieces.get(), 0)


async def until(versions: AsyncIterator[Shown], progress: str) -> Shown:
    """The next version that says this."""
    async for shown in versions:
        if shown.progress == progress:
            return shown
    raise AssertionError(f"it never said {progress!r}")


async def test_a_check_is_followed_from_waiting_to_its_end(merging: Merging) -> None:
    log = merging.guard.watch._read_log = PlayedLog()  # type: ignore[assignment]
    check = (await merging.start()).check
    async with aclosing(merging.guard.watch(check.id)) as versions:
        first = await anext(versions)
        assert (first.stage, first.progress) == (Stage.WAITING, "It is ready, but no runner is attached.")
        await merging.begin(check)
        running = await anext(versions)
        assert running.stage is Stage.RUNNING and "It runs on one" in running.progress
        log.pieces.put_nowait(b"cloning\nrun 1 of 5: r")
        await until(versions, "cloning")
        log.pieces.put_nowait(b"ed\n\n")
        await until(versions, "run 1 of 5: red")
        await merging.end(check, "")
        rest = [shown async for shown in versions]
    assert rest[-1].stage is Stage.ENDED and rest[-1].check.verdict is not None
    ended = [shown async for shown in merging.guard.watch(check.id)]
    assert ended == [rest[-1]], "one that has ended is shown once"


async def test_an_end_that_only_the_sweep_finds_is_seen(merging: Merging) -> None:
    check = (await merging.start()).check
    async with aclosing(merging.guard.watch(check.id)) as versions:
        await anext(versions)
        task = await merging.task(check)
        cancelled = task._replace(state=task.state.CANCELLED, finished_at=merging.clock.now(), reason="No.")
        await merging.store.write(lambda tx: tx.save([(task, cancelled)]))
        seen = asyncio.ensure_future(_last(versions))
        await merging.guard.sweep.step()
        assert "No." in (await seen).check.sentence


async def _last(versions: AsyncIterator[Shown]) -> Shown:
    return [shown async for shown in versions][-1]


async def test_a_watcher_that_goes_leaves_nothing_behind(merging: Merging) -> None:
    check = (await merging.start()).check
    before = len(asyncio.all_tasks())
    async with aclosing(merging.guard.watch(check.id)) as versions:
        await anext(versions)
        following = asyncio.ensure_future(anext(versions))
        await eventually(lambda: len(asyncio.all_tasks()) > before + 1, "it follows the output")
        following.cancel()
        with pytest.raises(asyncio.CancelledError):
            await following
    await eventually(lambda: len(asyncio.all_tasks()) == before, "nobody follows any more")


async def test_unknown_checks_are_not_found(merging: Merging) -> None:
    for id_ in ("", "nonsense", SequentialIds().new()):
        with pytest.raises(NotFound):
            await merging.guard.merges.get(id_)
        with pytest.raises(NotFound):
            await merging.guard.merges.leave(id_)


async def test_pages_newest_first(merging: Merging) -> None:
    checks = [(await merging.start(new)).check for new in (A, B, C)]
    await merging.begin(checks[0])
    list_ = merging.guard.merges.list
    page = await list_(repository="", project="", size=2, token="")
    assert [shown.check.id for shown in page.checks] == [checks[2].id, checks[1].id]
    last = await list_(repository="r", project="HabitQuest", size=2, token=page.next_token)
    assert [(shown.check.id, shown.stage) for shown in last.checks] == [(checks[0].id, Stage.RUNNING)]
    assert last.next_token == ""
    assert (await list_(repository="other", project="", size=0, token="")).checks == []
    for size, token in ((-1, ""), (1_001, ""), (0, "nonsense")):
        with pytest.raises(Invalid):
            await list_(repository="", project="", size=size, token=token)
