"""The door of merge checks, over a real socket: scopes, the attempt's own door, and what is answered."""

from __future__ import annotations

import json
import tempfile
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest

from foundation.auth import ATTEMPT, Caller
from foundation.clock import SystemClock
from foundation.errors import Unauthenticated
from foundation.log import get_logger
from foundation.rpc.channel import open_channel
from foundation.rpc.server import RpcServer
from protos.coordinator.v1 import merges_pb2 as pb
from protos.coordinator.v1 import merges_pb2_grpc
from protos.scopes import scopes_of
from services.coordinator import convert_merges
from services.coordinator.adapters.memory import MemoryStore
from services.coordinator.domain.merge_freedom import Freedom, Freeness
from services.coordinator.merge_servicer import MergeServicer
from tests.coordinator.merging import A, B, Merging, report_of

SCOPES = {"hooks": {"merge"}, "ann": {"read", "operate", "merge"}, "reader": {"read"}, "in grace": {"operate"}}


class Tokens:
    """A token is the name of its holder."""

    async def verify(self, token: str) -> Caller:
        if token not in SCOPES:
            raise Unauthenticated("unknown", "Nobody knows this token.")
        return Caller(token_id=token, name=token, scopes=frozenset(SCOPES[token]), in_grace=token == "in grace")


class Attempts:
    """A credential is `task:fence`."""

    async def verify(self, token: str) -> Caller:
        task, colon, fence = token.partition(":")
        if not colon:
            raise Unauthenticated("unknown_credential", "This is the credential of no attempt.")
        return Caller(token_id=token, name=token, scopes=frozenset({ATTEMPT}), attempt=(task, int(fence)))


class Door:
    """Calls as whoever."""

    def __init__(self, socket: Path) -> None:
        self._socket = socket

    async def call(self, method: str, request: Any, token: str = "hooks") -> Any:
        async with open_channel(self._socket, token=lambda: token) as channel:
            return await getattr(merges_pb2_grpc.MergeServiceStub(channel), method)(request, timeout=60)

    async def refused(self, method: str, request: Any, token: str = "hooks") -> tuple[str, str]:
        with pytest.raises(grpc.aio.AioRpcError) as said:
            await self.call(method, request, token)
        return said.value.code().name, said.value.details() or ""

    async def follow(self, check_id: str) -> list[pb.MergeCheck]:
        async with open_channel(self._socket, token=lambda: "hooks") as channel:
            stub = merges_pb2_grpc.MergeServiceStub(channel)
            return [each.check async for each in stub.WatchMergeCheck(pb.WatchMergeCheckRequest(id=check_id))]


@pytest.fixture
def merging(tmp_path: Path) -> Merging:
    """On the store in memory: the other is behind the same port."""
    return Merging(tmp_path, MemoryStore())


@pytest.fixture
async def door(merging: Merging) -> AsyncIterator[Door]:
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        server = RpcServer(
            "coordinator",
            verifier=Tokens(),
            scopes=scopes_of([pb.DESCRIPTOR]),
            logger=get_logger("coordinator"),
            clock=SystemClock(),
            attempts=Attempts(),
        )
        add = merges_pb2_grpc.add_MergeServiceServicer_to_server
        server.add(add, MergeServicer(merging.guard), "quantum.coordinator.v1.MergeService")
        path = Path(folder, "c.sock")
        await server.start(path)
        yield Door(path)
        await server.stop(timedelta(0))


def asked(**fields: Any) -> pb.StartMergeCheckRequest:
    values: dict[str, Any] = {
        "repository_id": "r",
        "folder": "/repo",
        "event": pb.MERGE_EVENT_POST_MERGE,
        "new_commit": B,
    }
    return pb.StartMergeCheckRequest(**values | fields)


async def test_a_check_from_its_start_to_its_end(merging: Merging, door: Door) -> None:
    merging.safety.standing = Freedom(Freeness.APPROVAL, "Little is left.")
    started = await door.call("StartMergeCheck", asked(old_commit=A, background=True))
    check = started.check
    assert (started.known, check.state, check.branch) == (False, pb.MERGE_CHECK_STATE_WAITING, "main")
    assert check.progress == "It is ready, but no runner is attached."
    assert check.freedom_reason == "Little is left."
    assert (await door.call("StartMergeCheck", asked())).known
    own = await merging.check(check.id)
    task = await merging.begin(own)
    confirm = pb.ConfirmMergeCheckRequest(id=check.id, old_commit=A, new_commit=B)
    answer = await door.call("ConfirmMergeCheck", confirm, f"{task.id}:{task.fence}")
    assert (answer.may_move, answer.reason) == (True, "")
    answer = await door.call("ConfirmMergeCheck", confirm, f"{task.id}:{task.fence - 1}")
    assert not answer.may_move and answer.reason
    await merging.end(own, report_of(own, "bad", "rolled_back"))
    (over,) = await door.follow(check.id)
    assert (over.state, over.verdict, over.action) == (
        pb.MERGE_CHECK_STATE_ENDED,
        pb.MERGE_VERDICT_BAD,
        pb.MERGE_ACTION_ROLLED_BACK,
    )
    assert (over.undo, over.sentence, over.task_id) == (f"quantum merge undo {check.id}", "So it is.", task.id)
    assert json.loads(over.evidence_json)["verdict"] == "bad"
    (listed,) = (await door.call("ListMergeChecks", pb.ListMergeChecksRequest(), "reader")).checks
    assert (listed.id, listed.evidence_json) == (check.id, b"")
    undone = await door.call("RecordMergeUndone", pb.RecordMergeUndoneRequest(id=check.id), "ann")
    assert undone.check.undo == "" and undone.check.HasField("undone_at")


async def test_leaving(merging: Merging, door: Door) -> None:
    check = (await door.call("StartMergeCheck", asked())).check
    left = (await door.call("LeaveMergeCheck", pb.LeaveMergeCheckRequest(id=check.id))).check
    again = (await door.call("LeaveMergeCheck", pb.LeaveMergeCheckRequest(id=check.id))).check
    assert left.only_report_reason and again.only_report_reason == left.only_report_reason


async def test_each_method_has_its_scope_and_the_attempt_s_door_takes_nothing_else(
    merging: Merging, door: Door
) -> None:
    check = (await door.call("StartMergeCheck", asked())).check
    confirm = pb.ConfirmMergeCheckRequest(id=check.id, old_commit=A, new_commit=B)
    assert (await door.refused("ConfirmMergeCheck", confirm, "ann"))[0] == "UNAUTHENTICATED"
    for method, request in (
        ("StartMergeCheck", asked()),
        ("GetMergeCheck", pb.GetMergeCheckRequest(id=check.id)),
        ("LeaveMergeCheck", pb.LeaveMergeCheckRequest(id=check.id)),
    ):
        assert (await door.refused(method, request, "reader"))[0] == "PERMISSION_DENIED"
        assert (await door.refused(method, request, "task:1"))[0] == "UNAUTHENTICATED"
    approve = pb.ApproveMergeRequest(repository_id="r", reason="why")
    assert (await door.refused("ApproveMerge", approve))[0] == "PERMISSION_DENIED"
    assert (await door.refused("ApproveMerge", approve, "in grace"))[0] == "UNAVAILABLE"
    assert (await door.call("ApproveMerge", approve, "ann")).HasField("until")
    assert (await door.refused("ConfirmMergeCheck", confirm, "other:1"))[0] == "PERMISSION_DENIED"


async def test_what_is_refused_says_why(merging: Merging, door: Door) -> None:
    cases = [
        (asked(repository_id="x"), "NOT_FOUND", "no guarded repository"),
        (asked(event=pb.MERGE_EVENT_UNSPECIFIED), "INVALID_ARGUMENT", "needs to know what has happened"),
        (asked(folder="/r\0epo"), "INVALID_ARGUMENT", "no folder"),
        (asked(event=pb.MERGE_EVENT_REQUEST), "INVALID_ARGUMENT", "needs a branch"),
    ]
    for request, code, said in cases:
        found = await door.refused("StartMergeCheck", request)
        assert found[0] == code and said in found[1]
    merging.safety.standing = Freedom(Freeness.FROZEN, "Nothing is left.")
    request = asked(event=pb.MERGE_EVENT_REQUEST, topic="feature")
    assert (await door.refused("StartMergeCheck", request))[0] == "FAILED_PRECONDITION"
    freedom = await door.call("GetMergeFreedom", pb.GetMergeFreedomRequest(repository_id="r"), "reader")
    assert freedom.freeness == pb.MERGE_FREENESS_FROZEN
    assert freedom.reason == "Nothing is left. `quantum merge approve r --reason WHY` lets the next one in."
    merging.safety.now = "DRAIN"
    assert (await door.refused("StartMergeCheck", asked()))[0] == "UNAVAILABLE"


def test_every_word_has_its_number() -> None:
    for words, enum in (
        (convert_merges.EVENTS, pb.MergeEvent),
        (convert_merges.VERDICTS, pb.MergeVerdict),
        (convert_merges.ACTIONS, pb.MergeAction),
        (convert_merges.STAGES, pb.MergeCheckState),
        (convert_merges.FREENESSES, pb.MergeFreeness),
    ):
        assert sorted(words.values()) == sorted(enum.values())[1:]
