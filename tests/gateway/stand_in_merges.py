"""Merge checks that go where a test sends them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import grpc
from google.protobuf.timestamp_pb2 import Timestamp

from foundation.auth import current_caller
from foundation.errors import Conflict, Invalid, NotFound, Stale, Unavailable
from foundation.ids import SequentialIds
from foundation.rpc.server import RpcServer
from protos.coordinator.v1 import merges_pb2, merges_pb2_grpc

Context = grpc.aio.ServicerContext[object, object]
CONTRACT = merges_pb2

REPOSITORY = "0000000000000000000000repo"
FROZEN, DRAINED = "0000000000000000000frozen", "000000000000000000drained"
"""Repositories: one whose merges are held, one that is asked about in mode drain."""
OLD, NEW = "a" * 40, "b" * 40
SINCE = 1_767_225_600
HELD = "Two merges were rolled back within an hour."


@dataclass(kw_only=True)
class Checks:
    """What the stand-in knows; a test changes it by `change`."""

    by_id: dict[str, merges_pb2.MergeCheck] = field(default_factory=dict)
    ids: SequentialIds = field(default_factory=lambda: SequentialIds(1 << 20))
    asked: list[merges_pb2.StartMergeCheckRequest] = field(default_factory=list)
    approved: dict[str, str] = field(default_factory=dict)
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    def get(self, check_id: str) -> merges_pb2.MergeCheck:
        """One of them. Raises NotFound."""
        if check_id not in self.by_id:
            raise NotFound("unknown_merge_check", f"There is no merge check {check_id}.", remedy="quantum merge list")
        return self.by_id[check_id]

    async def change(self, check_id: str, **fields: object) -> None:
        """Set fields of a check and tell whoever watches."""
        async with self.changed:
            self.by_id[check_id].MergeFrom(merges_pb2.MergeCheck(**fields))  # type: ignore[arg-type]
            self.changed.notify_all()

    async def end_badly(self, check_id: str) -> None:
        """Prove a check bad, and roll back."""
        evidence = {"runs": [{"on": "new", "colour": "red"}]}
        await self.change(
            check_id,
            state=merges_pb2.MERGE_CHECK_STATE_ENDED,
            verdict=merges_pb2.MERGE_VERDICT_BAD,
            action=merges_pb2.MERGE_ACTION_ROLLED_BACK,
            sentence="make smoke fails since the merge; main is where it was.",
            undo=f"quantum merge undo {check_id}",
            ended_at=Timestamp(seconds=SINCE + 60),
            evidence_json=json.dumps(evidence).encode(),
        )


def add_to(server: RpcServer, checks: Checks) -> None:
    """Put it behind the coordinator's door."""
    merges = Merges(checks)
    server.add(merges_pb2_grpc.add_MergeServiceServicer_to_server, merges, "quantum.coordinator.v1.MergeService")


class Merges(merges_pb2_grpc.MergeServiceServicer):
    """Every check waits until a test says otherwise."""

    def __init__(self, checks: Checks) -> None:
        self.checks = checks

    async def StartMergeCheck(
        self, request: merges_pb2.StartMergeCheckRequest, context: Context
    ) -> merges_pb2.StartMergeCheckResponse:
        """The same commit of a repository is one check."""
        self.checks.asked.append(request)
        if request.repository_id == DRAINED:
            raise Unavailable("mode", "The mode is DRAIN: nothing new is checked.", remedy="quantum resume")
        if request.repository_id == FROZEN and request.event == merges_pb2.MERGE_EVENT_REQUEST:
            raise Conflict("merges_frozen", HELD, remedy="quantum merge approve --reason WHY")
        if request.repository_id not in (REPOSITORY, FROZEN):
            raise NotFound("unknown_repository", "That repository is not guarded.", remedy="quantum hooks install")
        known = [
            one for one in self.checks.by_id.values() if request.new_commit and one.new_commit == request.new_commit
        ]
        if known:
            return merges_pb2.StartMergeCheckResponse(check=known[0], known=True)
        check = merges_pb2.MergeCheck(
            id=self.checks.ids.new(),
            repository_id=request.repository_id,
            folder=request.folder,
            event=request.event,
            branch="main",
            old_commit=request.old_commit,
            new_commit=request.new_commit,
            state=merges_pb2.MERGE_CHECK_STATE_WAITING,
            task_id=self.checks.ids.new(),
            created_at=Timestamp(seconds=SINCE),
            freedom_reason=HELD if request.repository_id == FROZEN else "",
        )
        self.checks.by_id[check.id] = check
        return merges_pb2.StartMergeCheckResponse(check=check)

    async def LeaveMergeCheck(
        self, request: merges_pb2.LeaveMergeCheckRequest, context: Context
    ) -> merges_pb2.LeaveMergeCheckResponse:
        """It only reports from now on."""
        check = self.checks.get(request.id)
        check.only_report_reason = "Whoever waited has gone."
        return merges_pb2.LeaveMergeCheckResponse(check=check)

    async def GetMergeCheck(
        self, request: merges_pb2.GetMergeCheckRequest, context: Context
    ) -> merges_pb2.GetMergeCheckResponse:
        """One, whole."""
        return merges_pb2.GetMergeCheckResponse(check=self.checks.get(request.id))

    async def ListMergeChecks(
        self, request: merges_pb2.ListMergeChecksRequest, context: Context
    ) -> merges_pb2.ListMergeChecksResponse:
        """Newest first; the cursor is a number."""
        if request.page_token and not request.page_token.isdecimal():
            raise Invalid("bad_cursor", "That cursor is not one of ours.")
        chosen = [
            check
            for check in reversed(self.checks.by_id.values())
            if request.repository_id in ("", check.repository_id) and request.project in ("", check.project)
        ]
        begin, size = int(request.page_token[:9] or 0), request.page_size or 100
        page = [merges_pb2.MergeCheck.FromString(one.SerializeToString()) for one in chosen[begin : begin + size]]
        for check in page:
            check.ClearField("evidence_json")
            check.ClearField("freedom_reason")
        more = str(begin + size) if len(chosen) > begin + size else ""
        return merges_pb2.ListMergeChecksResponse(checks=page, next_page_token=more)

    async def WatchMergeCheck(
        self, request: merges_pb2.WatchMergeCheckRequest, context: Context
    ) -> AsyncIterator[merges_pb2.WatchMergeCheckResponse]:
        """As it stands, then at every change."""
        check = self.checks.get(request.id)
        async with self.checks.changed:
            while True:
                yield merges_pb2.WatchMergeCheckResponse(check=check)
                if check.state == merges_pb2.MERGE_CHECK_STATE_ENDED:
                    return
                await self.checks.changed.wait()

    async def ConfirmMergeCheck(
        self, request: merges_pb2.ConfirmMergeCheckRequest, context: Context
    ) -> merges_pb2.ConfirmMergeCheckResponse:
        """Unless somebody left, or the commits are others than before."""
        check = self.checks.get(request.id)
        if check.new_commit and check.new_commit != request.new_commit:
            raise Stale("stale_check", "A newer attempt does this check.")
        return merges_pb2.ConfirmMergeCheckResponse(
            may_move=not check.only_report_reason, reason=check.only_report_reason
        )

    async def GetMergeFreedom(
        self, request: merges_pb2.GetMergeFreedomRequest, context: Context
    ) -> merges_pb2.GetMergeFreedomResponse:
        """Held in one repository."""
        if request.repository_id not in (REPOSITORY, FROZEN):
            raise NotFound("unknown_repository", "That repository is not guarded.")
        if request.repository_id == FROZEN:
            return merges_pb2.GetMergeFreedomResponse(freeness=merges_pb2.MERGE_FREENESS_FROZEN, reason=HELD)
        return merges_pb2.GetMergeFreedomResponse(freeness=merges_pb2.MERGE_FREENESS_FREE)

    async def ApproveMerge(
        self, request: merges_pb2.ApproveMergeRequest, context: Context
    ) -> merges_pb2.ApproveMergeResponse:
        """For an hour."""
        if request.repository_id not in (REPOSITORY, FROZEN):
            raise NotFound("unknown_repository", "That repository is not guarded.")
        self.checks.approved[request.repository_id] = f"{request.reason}, says {current_caller().name}"
        return merges_pb2.ApproveMergeResponse(until=Timestamp(seconds=SINCE + 3_600))

    async def RecordMergeUndone(
        self, request: merges_pb2.RecordMergeUndoneRequest, context: Context
    ) -> merges_pb2.RecordMergeUndoneResponse:
        """Only what was rolled back."""
        check = self.checks.get(request.id)
        if check.action != merges_pb2.MERGE_ACTION_ROLLED_BACK:
            raise Conflict("nothing_rolled_back", "That check took nothing away.")
        check.undo = ""
        check.undone_at.CopyFrom(Timestamp(seconds=SINCE + 120))
        return merges_pb2.RecordMergeUndoneResponse(check=check)
