"""The runner's stream: decode what it says, hand it on, encode what it is told."""

import asyncio
from collections.abc import AsyncIterator

import grpc.aio

from foundation.auth import caller_or_none
from foundation.errors import Denied, Invalid
from protos.coordinator.v1 import runners_pb2 as pb
from protos.coordinator.v1 import runners_pb2_grpc
from services.coordinator.app.attachments import Attachment, LeaseTimes
from services.coordinator.app.dispatch import Dispatch
from services.coordinator.app.intake import Intake
from services.coordinator.app.renewal import Renewal
from services.coordinator.app.scripts import ScriptTexts
from services.coordinator.convert_runner import (
    beat_from,
    events_from,
    hello_from,
    host_state_from,
    responses_of,
    welcome,
)

Context = grpc.aio.ServicerContext[pb.AttachRequest, pb.AttachResponse]


def require_own_name(name: str) -> None:
    """Raise Denied when a runner that joined says that it is another one."""
    caller = caller_or_none()
    if caller is not None and caller.runner and caller.runner != name:
        raise Denied("other_runner", f"This credential is of runner {caller.runner}, not of {name}.")


class RunnerServicer(runners_pb2_grpc.RunnerServiceServicer):
    """One call of Attach is one attached runner."""

    def __init__(
        self, renewal: Renewal, intake: Intake, dispatch: Dispatch, times: LeaseTimes, scripts: ScriptTexts
    ) -> None:
        self._renewal = renewal
        self._intake = intake
        self._dispatch = dispatch
        self._times = times
        self._scripts = scripts

    async def Attach(
        self, request_iterator: AsyncIterator[pb.AttachRequest], context: Context
    ) -> AsyncIterator[pb.AttachResponse]:
        first = await anext(request_iterator, None)
        if first is None or first.WhichOneof("message") != "hello":
            raise Invalid("no_hello", "The first message of an attachment must be the runner's hello.")
        hello = hello_from(first.hello)
        require_own_name(hello.name)
        attachment, disowned = await self._renewal.attach(hello)
        listening = asyncio.create_task(self._listen(request_iterator, attachment))
        try:
            yield welcome(self._times.lease, self._times.heartbeat, disowned)
            while not attachment.closed:
                for response in responses_of(await attachment.outgoing()):
                    yield response
            if listening.done():
                await listening  # raises what the runner's side ended with
        finally:
            listening.cancel()
            self._renewal.detach(attachment)

    async def GetScript(self, request: pb.GetScriptRequest, context: object) -> pb.GetScriptResponse:
        text = await asyncio.to_thread(self._scripts.script_text, request.agent, request.sha256)
        return pb.GetScriptResponse(text=text)

    async def _listen(self, requests: AsyncIterator[pb.AttachRequest], attachment: Attachment) -> None:
        try:
            async for request in requests:
                self._take(request, attachment)
        finally:
            attachment.close()

    def _take(self, request: pb.AttachRequest, attachment: Attachment) -> None:
        match request.WhichOneof("message"):
            case "credit":
                attachment.capacity, attachment.no_checks = request.credit.leases_max, request.credit.no_checks
                self._dispatch.wake()
            case "heartbeat":
                self._renewal.heartbeat(attachment, beat_from(request.heartbeat))
            case "events":
                self._intake.put(attachment, events_from(request.events))
                self._dispatch.wake()
            case "host":
                attachment.host = host_state_from(request.host)
                self._dispatch.wake()
            case "log":
                chunk = request.log
                attachment.deliver(chunk.follow_id, chunk.data, chunk.offset, chunk.end)
            case _:
                raise Invalid("unexpected_message", "The runner said something that this coordinator does not know.")
