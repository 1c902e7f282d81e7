"""The client of merge checks: words in and out, and a watch that outlives a restart and ends with the check."""

from __future__ import annotations

from contextlib import aclosing
from pathlib import Path

import pytest

from clients.coordinator import CoordinatorClient
from clients.merges_convert import check_from, freedom_from
from clients.merges_values import CheckState, Freeness, MergeAction, MergeEvent, MergeRequest, MergeVerdict
from foundation.errors import Internal, NotFound
from protos.coordinator.v1 import merges_pb2
from tests.gateway.stand_in_coordinator import World, start_coordinator
from tests.gateway.stand_in_merges import NEW, REPOSITORY
from tests.gateway.test_coordinator_client import NOW, running, socket

__all__ = ["socket"]  # a fixture

HOOK = MergeRequest(repository=REPOSITORY, folder="/app", event=MergeEvent.POST_MERGE, new=NEW)


@pytest.mark.parametrize("event", list(MergeEvent))
async def test_what_goes_in_comes_out(socket: Path, event: MergeEvent) -> None:
    wanted = MergeRequest(repository=REPOSITORY, folder="/app", event=event, topic="feature", background=True)
    world = World()
    async with running(world, socket) as client:
        check = (await client.merges.start(wanted)).check
    assert (check.event, check.folder, check.state) == (event, "/app", CheckState.WAITING)
    assert (check.verdict, check.action, check.evidence, check.ended_at) == (None, None, None, None)
    assert (world.merges.asked[0].topic, world.merges.asked[0].background) == ("feature", True)


async def test_a_watch_ends_with_the_check_over_a_restart(socket: Path) -> None:
    world = World()
    server = await start_coordinator(world, socket)
    async with CoordinatorClient.dial(socket, token=lambda: world.user.text) as client:
        check = (await client.merges.start(HOOK)).check
        async with aclosing(client.merges.watch(check.id)) as states:
            assert (await anext(states)).state is CheckState.WAITING
            await server.stop(NOW)
            server = await start_coordinator(world, socket)
            await world.merges.end_badly(check.id)
            rest = [state async for state in states]
    await server.stop(NOW)
    assert (rest[-1].verdict, rest[-1].action) == (MergeVerdict.BAD, MergeAction.ROLLED_BACK)
    assert rest[-1].evidence == {"runs": [{"on": "new", "colour": "red"}]}
    assert [state.ended for state in rest].count(True) == 1, "it is asked for no more"


async def test_a_watch_of_nothing_is_refused_at_once(socket: Path) -> None:
    async with running(World(), socket) as client:
        with pytest.raises(NotFound):
            await anext(client.merges.watch("0nesuch"))


def test_every_word_is_known_and_a_newer_one_is_a_fault() -> None:
    for verdict, _ in merges_pb2.MergeVerdict.items():
        for action, _ in merges_pb2.MergeAction.items():
            found = check_from(merges_pb2.MergeCheck(verdict=verdict, action=action))
            unsaid = (verdict.endswith("_UNSPECIFIED"), action.endswith("_UNSPECIFIED"))
            assert (found.verdict is None, found.action is None) == unsaid
    with pytest.raises(Internal):
        check_from(merges_pb2.MergeCheck(verdict=99))  # type: ignore[arg-type]


def test_merges_are_free_only_where_that_is_said() -> None:
    assert freedom_from(merges_pb2.GetMergeFreedomResponse()).freedom is Freeness.APPROVAL
    free = merges_pb2.GetMergeFreedomResponse(freeness=merges_pb2.MERGE_FREENESS_FREE)
    assert freedom_from(free).freedom is Freeness.FREE
