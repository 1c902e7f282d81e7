"""The client of merge checks, over a channel to the coordinator."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import datetime, timedelta

import grpc.aio

from clients.calling import DEADLINE, ask
from clients.merges_convert import check_from, event_to, freedom_from
from clients.merges_values import (
    Confirmation,
    MergeCheckPage,
    MergeCheckView,
    MergeFreedomView,
    MergeRequest,
    StartedCheck,
)
from clients.resuming import PATIENCE, resuming
from clients.wire_values import moment_in
from protos.coordinator.v1 import merges_pb2, merges_pb2_grpc


class MergeClient:
    """Every method raises QuantumError alone, as CoordinatorClient's do."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        """The channel belongs to whoever opened it."""
        self._merges = merges_pb2_grpc.MergeServiceStub(channel)

    async def start(self, wanted: MergeRequest, *, deadline: timedelta = DEADLINE) -> StartedCheck:
        """Asks that what came into a repository be checked; durable when it returns.

        Raises NotFound for a repository that is not guarded or stands elsewhere, Unavailable in mode drain or worse,
        Conflict for a merge that a person asks for while merges are held.
        """
        request = merges_pb2.StartMergeCheckRequest(
            repository_id=wanted.repository,
            folder=wanted.folder,
            event=event_to(wanted.event),
            old_commit=wanted.old,
            new_commit=wanted.new,
            topic=wanted.topic,
            background=wanted.background,
        )
        answer = await ask(self._merges.StartMergeCheck, request, deadline)
        return StartedCheck(check=check_from(answer.check), known=answer.known)

    async def leave(self, check_id: str, *, deadline: timedelta = DEADLINE) -> MergeCheckView:
        """Says that nobody waits any more: from now on the check only reports. Raises NotFound."""
        answer = await ask(self._merges.LeaveMergeCheck, merges_pb2.LeaveMergeCheckRequest(id=check_id), deadline)
        return check_from(answer.check)

    async def get(self, check_id: str, *, deadline: timedelta = DEADLINE) -> MergeCheckView:
        """One check, with its evidence. Raises NotFound."""
        answer = await ask(self._merges.GetMergeCheck, merges_pb2.GetMergeCheckRequest(id=check_id), deadline)
        return check_from(answer.check)

    async def list(
        self,
        *,
        repository: str = "",
        project: str = "",
        limit: int = 0,
        cursor: str = "",
        deadline: timedelta = DEADLINE,
    ) -> MergeCheckPage:
        """A page of checks, the newest first, without their evidence; `limit` 1 to 1,000, 0 means 100."""
        request = merges_pb2.ListMergeChecksRequest(
            repository_id=repository, project=project, page_size=limit, page_token=cursor
        )
        answer = await ask(self._merges.ListMergeChecks, request, deadline)
        return MergeCheckPage(checks=tuple(map(check_from, answer.checks)), next=answer.next_page_token or None)

    async def watch(self, check_id: str, *, patience: timedelta = PATIENCE) -> AsyncGenerator[MergeCheckView, None]:
        """A check as it stands, then each change, over breaks, until it has ended.

        After a break the state that was seen last may come again. Raises NotFound; Unavailable when nothing could be
        had for `patience`.
        """

        def from_now() -> grpc.aio.UnaryStreamCall[
            merges_pb2.WatchMergeCheckRequest, merges_pb2.WatchMergeCheckResponse
        ]:
            return self._merges.WatchMergeCheck(merges_pb2.WatchMergeCheckRequest(id=check_id))

        async with aclosing(resuming(from_now, patience=patience)) as messages:
            async for message in messages:
                check = check_from(message.check)
                yield check
                if check.ended:
                    return

    async def confirm(self, check_id: str, *, old: str, new: str, deadline: timedelta = DEADLINE) -> Confirmation:
        """Whether the attempt whose credential this is may move the branch now. Raises Stale for an old fence."""
        request = merges_pb2.ConfirmMergeCheckRequest(id=check_id, old_commit=old, new_commit=new)
        answer = await ask(self._merges.ConfirmMergeCheck, request, deadline)
        return Confirmation(may_move=answer.may_move, reason=answer.reason)

    async def freedom(self, repository: str, *, deadline: timedelta = DEADLINE) -> MergeFreedomView:
        """Whether merges into a repository are free. Raises NotFound."""
        request = merges_pb2.GetMergeFreedomRequest(repository_id=repository)
        return freedom_from(await ask(self._merges.GetMergeFreedom, request, deadline))

    async def approve(self, repository: str, *, reason: str, deadline: timedelta = DEADLINE) -> datetime | None:
        """Approves the next merge into a repository; until when it may be made. Raises NotFound, Invalid."""
        request = merges_pb2.ApproveMergeRequest(repository_id=repository, reason=reason)
        answer = await ask(self._merges.ApproveMerge, request, deadline)
        return moment_in(answer, "until")

    async def record_undone(self, check_id: str, *, deadline: timedelta = DEADLINE) -> MergeCheckView:
        """Records that what a check took away was brought back. Raises NotFound, Conflict if it took nothing away."""
        request = merges_pb2.RecordMergeUndoneRequest(id=check_id)
        return check_from((await ask(self._merges.RecordMergeUndone, request, deadline)).check)
