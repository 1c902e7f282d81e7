"""Lets what was begun go to its end although whoever asked for it has gone: half of an act is nobody's wish."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from foundation.log import get_logger

T = TypeVar("T")

log = get_logger("coordinator")
_going_on: set[asyncio.Task[Any]] = set()  # the loop itself holds tasks only weakly


async def undisturbed(work: Coroutine[Any, Any, T]) -> T:
    """The result of `work`, which goes on when the caller is cancelled.

    For a commit and what follows from it in memory: a task that is durable and of which nobody heard would not be
    started before the next start of the coordinator.
    """
    return await asyncio.shield(_begin(work))


def _begin(work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
    task = asyncio.create_task(work)
    _going_on.add(task)
    task.add_done_callback(_going_on.discard)
    return task


async def to_the_end(work: Coroutine[Any, Any, T], said: Callable[[T], str]) -> T:
    """As `undisturbed`, for an act of many commits; what came of one whose caller has gone is logged by `said`."""
    task = _begin(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        task.add_done_callback(lambda done: _tell(done, said))
        raise


def _tell(task: asyncio.Task[T], said: Callable[[T], str]) -> None:
    if task.cancelled():
        log.warning("A bulk act was cut short by the end of the coordinator.", action="bulk_act_cut_short")
    elif (error := task.exception()) is not None:
        log.error(f"A bulk act failed after its caller had gone: {error}", action="bulk_act_failed")
    else:
        log.info(f"{said(task.result())} Its caller had gone meanwhile.", action="bulk_act_ended")
