"""The door of merge checks: decode, delegate, encode."""

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import grpc.aio

from foundation.auth import current_caller, require_asked
from foundation.errors import Denied
from foundation.tokens import mask
from protos.coordinator.v1 import merges_pb2 as pb
from protos.coordinator.v1 import merges_pb2_grpc
from services.coordinator.app.merges_guard import MergeGuard
from services.coordinator.convert import timestamp
from services.coordinator.convert_merges import asked_from, check_to, freedom_to

Context = grpc.aio.ServicerContext[Any, Any]


class MergeServicer(merges_pb2_grpc.MergeServiceServicer):
    """Merge checks."""

    def __init__(self, guard: MergeGuard) -> None:
        self._guard = guard

    async def StartMergeCheck(self, request: pb.StartMergeCheckRequest, context: Context) -> pb.StartMergeCheckResponse:
        started = await self._guard.start(asked_from(request), current_caller().name)
        return pb.StartMergeCheckResponse(check=await self._in_full(started.check.id), known=started.known)

    async def LeaveMergeCheck(self, request: pb.LeaveMergeCheckRequest, context: Context) -> pb.LeaveMergeCheckResponse:
        await self._guard.merges.leave(request.id)
        return pb.LeaveMergeCheckResponse(check=await self._in_full(request.id))

    async def GetMergeCheck(self, request: pb.GetMergeCheckRequest, context: Context) -> pb.GetMergeCheckResponse:
        return pb.GetMergeCheckResponse(check=await self._in_full(request.id))

    async def ListMergeChecks(self, request: pb.ListMergeChecksRequest, context: Context) -> pb.ListMergeChecksResponse:
        page = await self._guard.merges.list(
            repository=request.repository_id, project=request.project, size=request.page_size, token=request.page_token
        )
        return pb.ListMergeChecksResponse(checks=map(check_to, page.checks), next_page_token=page.next_token)

    async def WatchMergeCheck(
        self, request: pb.WatchMergeCheckRequest, context: Context
    ) -> AsyncIterator[pb.WatchMergeCheckResponse]:
        async with aclosing(self._guard.watch(request.id)) as versions:
            async for version in versions:
                yield pb.WatchMergeCheckResponse(check=check_to(version))

    async def ConfirmMergeCheck(
        self, request: pb.ConfirmMergeCheckRequest, context: Context
    ) -> pb.ConfirmMergeCheckResponse:
        attempt = current_caller().attempt
        if attempt is None:
            raise Denied("no_attempt", "Only the attempt that does a merge check asks this.")
        answer = await self._guard.confirm(request.id, attempt, old=request.old_commit, new=request.new_commit)
        return pb.ConfirmMergeCheckResponse(may_move=answer.may_move, reason=answer.reason)

    async def GetMergeFreedom(self, request: pb.GetMergeFreedomRequest, context: Context) -> pb.GetMergeFreedomResponse:
        return freedom_to(await self._guard.freedom(request.repository_id))

    async def ApproveMerge(self, request: pb.ApproveMergeRequest, context: Context) -> pb.ApproveMergeResponse:
        require_asked(current_caller())
        until = await self._guard.approve(request.repository_id, mask(request.reason))
        return pb.ApproveMergeResponse(until=timestamp(until))

    async def RecordMergeUndone(
        self, request: pb.RecordMergeUndoneRequest, context: Context
    ) -> pb.RecordMergeUndoneResponse:
        require_asked(current_caller())
        await self._guard.merges.undone(request.id)
        return pb.RecordMergeUndoneResponse(check=await self._in_full(request.id))

    async def _in_full(self, check_id: str) -> pb.MergeCheck:
        found = await self._guard.watch.now(check_id)
        return check_to(found, await self._guard.freedom.reason(found.check.repository))
