"""Tokens, scopes, errors, deadlines, health, reflection, the socket and the end of a server."""

from __future__ import annotations

import asyncio
import json
import os
import socket as sockets
import stat
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from foundation.clock import SystemClock
from foundation.errors import (
    Conflict,
    Denied,
    Exhausted,
    FieldFault,
    Internal,
    Invalid,
    QuantumError,
    TimedOut,
    Unauthenticated,
    Unavailable,
)
from foundation.log import configure, get_logger
from foundation.rpc.channel import open_channel, translate
from foundation.rpc.concerns import _TOKEN_LOOKED_AT_EVERY_SECONDS
from foundation.rpc.limits import MESSAGE_BYTES_MAX
from foundation.rpc.server import RpcServer
from tests.foundation.rpc_trial import (
    DEADLINE_SECONDS,
    SCOPES,
    SERVICE,
    Trial,
    Verifier,
    add_trial,
    calling,
    echo,
    serving,
    socket_folder,
)
from tests.waiting import PATIENCE_SECONDS

EVERYTHING = "alice/read,submit,service:runner"


@pytest.fixture
def socket() -> Iterator[Path]:
    with socket_folder() as folder:
        yield folder / "trial.sock"


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "system.log"
    configure("trial", system_log=path, debug=True)
    yield path
    configure("trial", system_log=None, debug=False)


def lines(log: Path, action: str) -> list[dict[str, object]]:
    found = [json.loads(line) for line in log.read_text().splitlines()]
    return [line for line in found if line["action"] == action]


async def test_all_four_kinds_of_call_know_who_calls(socket: Path) -> None:
    async with serving(socket, Trial(answer=echo)), calling(socket, EVERYTHING) as calls:
        replies = [await call() for call in calls.each_kind(b"hi")]
    assert replies == [b"alice:hi", [b"alice:hi", b"alice:hi"], b"alice:hi", [b"alice:hi"]]


async def test_callers_at_the_same_time_are_not_mixed_up(socket: Path) -> None:
    barrier = asyncio.Barrier(10)

    async def wait_for_all(request: bytes) -> bytes:
        await barrier.wait()
        return request

    async def ask_as(name: str) -> bytes:
        async with calling(socket, f"{name}/read") as calls:
            reply = await calls.ask(name.encode(), timeout=DEADLINE_SECONDS)
            return bytes(reply)

    async with serving(socket, Trial(answer=wait_for_all)):
        replies = await asyncio.gather(*(ask_as(f"n{number}") for number in range(10)))
    assert replies == [f"n{number}:n{number}".encode() for number in range(10)]


@pytest.mark.parametrize(
    ("token", "refusal"),
    [(None, Unauthenticated), ("", Unauthenticated), ("nonsense", Unauthenticated), ("bob/none", Denied)],
)
async def test_no_kind_of_call_gets_in_without_a_good_token_and_its_scope(
    socket: Path, token: str | None, refusal: type[QuantumError]
) -> None:
    asked: list[bytes] = []

    async def remember(request: bytes) -> bytes:
        asked.append(request)
        return request

    async with serving(socket, Trial(answer=remember)), calling(socket, token) as calls:
        for call in calls.each_kind(b"hi", silent=True):
            with pytest.raises(refusal), translate():
                await call()
    assert asked == []


async def test_a_refusal_names_the_scope_that_is_missing(socket: Path) -> None:
    async with serving(socket, Trial(answer=echo)), calling(socket, "bob/read") as calls:
        with pytest.raises(Denied, match="'submit'") as denied, translate():
            await calls.each_kind(b"hi", silent=True)[2]()
    assert denied.value.code == "scope_missing"


async def test_an_error_of_ours_arrives_whole_from_every_kind_of_call(socket: Path) -> None:
    error = Exhausted(
        "queue_full",
        "The queue is full.",
        remedy="Wait.",
        fields=[FieldFault("a.b", "too much")],
        retry_after=timedelta(seconds=3),
    )

    async def refuse(request: bytes) -> bytes:
        raise error

    async with serving(socket, Trial(answer=refuse)), calling(socket, EVERYTHING) as calls:
        for call in calls.each_kind(b"hi"):
            with pytest.raises(Exhausted) as caught, translate():
                await call()
            assert vars(caught.value) == vars(error)


async def test_an_error_with_thousands_of_faults_arrives(socket: Path) -> None:
    async def refuse(request: bytes) -> bytes:
        raise Invalid("bad_batch", "Bad.", fields=[FieldFault(f"tasks[{n}]", "is wrong") for n in range(9_999)])

    async with serving(socket, Trial(answer=refuse)), calling(socket, EVERYTHING) as calls:
        with pytest.raises(Invalid) as caught, translate():
            await calls.ask(b"hi", timeout=DEADLINE_SECONDS)
    assert caught.value.fields[0] == FieldFault("tasks[0]", "is wrong")
    assert caught.value.fields[-1].message.endswith("more.")


async def test_an_unexpected_error_shows_an_incident_and_its_traceback_is_in_the_log_only(
    socket: Path, log: Path
) -> None:
    async def stumble(request: bytes) -> bytes:
        raise KeyError("a secret detail")

    async with serving(socket, Trial(answer=stumble)), calling(socket, EVERYTHING) as calls:
        for call in calls.each_kind(b"hi"):
            with pytest.raises(Internal) as caught, translate():
                await call()
            assert "secret" not in str(caught.value)
            incident = lines(log, "rpc_incident")[-1]
            assert str(incident["incident"]) in caught.value.message
            assert "a secret detail" in str(incident["exception"])
    assert len(lines(log, "rpc_incident")) == 4


async def test_each_call_is_one_debug_line_with_its_code(socket: Path, log: Path) -> None:
    async with serving(socket, Trial(answer=echo)), calling(socket, "bob/read") as calls:
        await calls.ask(b"hi", timeout=DEADLINE_SECONDS)
        with pytest.raises(Denied), translate():
            await calls.each_kind(b"hi", silent=True)[2]()
    assert [line["code"] for line in lines(log, "rpc")] == ["OK", "PERMISSION_DENIED"]


async def test_a_unary_call_without_a_deadline_is_refused_and_a_stream_is_not(socket: Path) -> None:
    async with serving(socket, Trial(answer=echo)), calling(socket, EVERYTHING) as calls:
        with pytest.raises(Invalid, match="deadline"), translate():
            await calls.ask(b"hi")
        assert [reply async for reply in calls.watch(b"hi")] == [b"alice:hi"] * 2


async def test_a_passed_deadline_is_timed_out(socket: Path) -> None:
    async def dawdle(request: bytes) -> bytes:
        await asyncio.Event().wait()
        return request

    async with serving(socket, Trial(answer=dawdle)), calling(socket, EVERYTHING) as calls:
        with pytest.raises(TimedOut), translate():
            await calls.ask(b"hi", timeout=0.05)


async def test_an_unknown_method_is_unsupported(socket: Path) -> None:
    async with serving(socket, Trial(answer=echo)), calling(socket, EVERYTHING) as calls:
        with pytest.raises(QuantumError) as caught, translate():
            await calls.channel.unary_unary(f"/{SERVICE}/Nothing")(b"", timeout=DEADLINE_SECONDS)
    assert caught.value.code == "unknown_method"


@pytest.mark.parametrize("request_", [b"forever", b"flood"])
async def test_a_watcher_that_goes_away_is_cleaned_up_at_once(socket: Path, log: Path, request_: bytes) -> None:
    trial = Trial(answer=echo)
    async with serving(socket, trial), calling(socket, EVERYTHING) as calls:
        stream = calls.watch(request_)
        assert await stream.read() == b"alice:" + request_
        await asyncio.wait_for(trial.watching.wait(), PATIENCE_SECONDS)
        stream.cancel()
        await asyncio.wait_for(trial.cleaned_up.wait(), PATIENCE_SECONDS)
    assert lines(log, "rpc_incident") == []


@pytest.mark.parametrize("open_kind", ["watch", "talk", "upload"])
async def test_an_open_stream_ends_within_a_second_of_its_tokens_end(socket: Path, open_kind: str) -> None:
    verifier, answered = Verifier(), asyncio.Event()

    async def answer(request: bytes) -> bytes:
        answered.set()
        return request

    async def for_ever() -> AsyncIterator[bytes]:
        yield b"forever"
        await asyncio.Event().wait()

    trial = Trial(answer=answer)
    async with serving(socket, trial, verifier), calling(socket, EVERYTHING) as calls:

        async def use() -> None:
            with translate():
                if open_kind == "upload":
                    await calls.upload(for_ever())
                    return
                stream = calls.watch(b"forever") if open_kind == "watch" else calls.talk(for_ever())
                async for _ in stream:
                    pass

        used = asyncio.create_task(use())
        if open_kind == "upload":
            await verifier.asked.wait()
        else:
            await answered.wait()
        verifier.fault = Unavailable("safety_unreachable", "Safety cannot be asked.")
        verifier.asked.clear()
        await asyncio.wait_for(verifier.asked.wait(), PATIENCE_SECONDS)
        verifier.fault = None
        verifier.asked.clear()
        await asyncio.wait_for(verifier.asked.wait(), PATIENCE_SECONDS)
        assert not used.done()  # that nobody can tell for a while ends no stream
        verifier.revoked.add(EVERYTHING)
        before = verifier.questions
        async with asyncio.timeout(PATIENCE_SECONDS):
            with pytest.raises(Unauthenticated, match="was revoked"):
                await used
        assert verifier.questions <= before + 2 and 2 * _TOKEN_LOOKED_AT_EVERY_SECONDS <= 1
        if open_kind == "watch":
            await asyncio.wait_for(trial.cleaned_up.wait(), PATIENCE_SECONDS)


async def test_a_message_of_16_mib_passes_and_a_larger_one_is_refused(socket: Path) -> None:
    async with serving(socket, Trial(answer=echo)), calling(socket, EVERYTHING) as calls:
        large = b"x" * (MESSAGE_BYTES_MAX - 100)
        assert len(await calls.ask(large, timeout=DEADLINE_SECONDS)) == len(large) + len("alice:")
        with pytest.raises(Exhausted), translate():
            await calls.ask(b"x" * (MESSAGE_BYTES_MAX + 1), timeout=DEADLINE_SECONDS)


async def test_stop_ends_open_streams_with_a_reason_and_lets_unary_calls_finish(socket: Path) -> None:
    asked = asyncio.Event()
    finish = asyncio.Event()

    async def wait(request: bytes) -> bytes:
        if request == b"slow":
            asked.set()
            await finish.wait()
        return request

    trial = Trial(answer=wait)
    async with serving(socket, trial) as server, calling(socket, EVERYTHING) as calls:
        stream = calls.watch(b"forever")
        slow = asyncio.ensure_future(calls.ask(b"slow", timeout=DEADLINE_SECONDS))
        await asyncio.wait_for(asyncio.gather(trial.watching.wait(), asked.wait()), PATIENCE_SECONDS)
        stopping = asyncio.ensure_future(server.stop(timedelta(seconds=20)))
        with pytest.raises(Unavailable) as ended, translate():
            async for _ in stream:
                pass
        assert ended.value.code == "server_stopping"
        assert trial.cleaned_up.is_set()
        finish.set()
        assert await slow == b"alice:slow"
        await asyncio.wait_for(stopping, PATIENCE_SECONDS)
        assert not socket.exists()
        with pytest.raises(Unavailable) as gone, translate():
            await calls.ask(b"hi", timeout=DEADLINE_SECONDS)
        assert gone.value.code == "unreachable"


async def test_a_call_that_outlasts_the_grace_is_ended(socket: Path) -> None:
    asked = asyncio.Event()

    async def never(request: bytes) -> bytes:
        asked.set()
        await asyncio.Event().wait()
        return request

    async with serving(socket, Trial(answer=never)) as server, calling(socket, EVERYTHING) as calls:
        call = asyncio.ensure_future(calls.ask(b"hi", timeout=DEADLINE_SECONDS))
        await asyncio.wait_for(asked.wait(), PATIENCE_SECONDS)
        await asyncio.wait_for(server.stop(timedelta(milliseconds=50)), PATIENCE_SECONDS)
        with pytest.raises(QuantumError), translate():
            await call


async def test_health_is_public_and_false_until_told(socket: Path) -> None:
    async with serving(socket, Trial(answer=echo)) as server, calling(socket, None) as calls:
        health = health_pb2_grpc.HealthStub(calls.channel)

        async def status(service: str) -> str:
            reply = await health.Check(health_pb2.HealthCheckRequest(service=service), timeout=DEADLINE_SECONDS)
            return str(health_pb2.HealthCheckResponse.ServingStatus.Name(reply.status))

        assert [await status(""), await status(SERVICE)] == ["NOT_SERVING"] * 2
        await server.set_serving(True)
        assert [await status(""), await status(SERVICE)] == ["SERVING"] * 2
        await server.set_serving(False)
        assert [await status(""), await status(SERVICE)] == ["NOT_SERVING"] * 2


async def test_reflection_needs_read_and_lists_the_services(socket: Path) -> None:
    async def question() -> AsyncIterator[reflection_pb2.ServerReflectionRequest]:
        yield reflection_pb2.ServerReflectionRequest(list_services="")

    async with serving(socket, Trial(answer=echo)):
        async with calling(socket, None) as calls:
            with pytest.raises(Unauthenticated), translate():
                async for _ in reflection_pb2_grpc.ServerReflectionStub(calls.channel).ServerReflectionInfo(question()):
                    raise AssertionError("an answer without a token")
        async with calling(socket, "bob/read") as calls:
            stub = reflection_pb2_grpc.ServerReflectionStub(calls.channel)
            names = {
                service.name
                async for reply in stub.ServerReflectionInfo(question())
                for service in reply.list_services_response.service
            }
    assert {SERVICE, "grpc.health.v1.Health"} <= names


@pytest.mark.parametrize("scopes", [{}, {**SCOPES, f"/{SERVICE}/Talk": ""}])
async def test_a_method_without_a_scope_keeps_the_server_from_starting(socket: Path, scopes: dict[str, str]) -> None:
    server = RpcServer("trial", verifier=Verifier(), scopes=scopes, logger=get_logger("trial"), clock=SystemClock())
    server.add(add_trial, Trial(answer=echo), SERVICE)
    with pytest.raises(Internal, match=f"/{SERVICE}/Talk"):
        await server.start(socket)
    assert not socket.exists()


async def test_a_second_server_on_the_socket_is_refused_with_the_pid_of_the_first(socket: Path) -> None:
    async with serving(socket, Trial(answer=echo)), calling(socket, EVERYTHING) as calls:
        with pytest.raises(Conflict, match=f"Process {os.getpid()} ") as refused:
            async with serving(socket, Trial(answer=echo)):
                pass
        assert refused.value.code == "socket_in_use"
        assert await calls.ask(b"still here", timeout=DEADLINE_SECONDS) == b"alice:still here"


async def test_the_socket_of_a_dead_server_is_replaced_and_is_private(socket: Path) -> None:
    with sockets.socket(sockets.AF_UNIX) as dead:
        dead.bind(str(socket))
    async with serving(socket, Trial(answer=echo)), calling(socket, EVERYTHING) as calls:
        assert await calls.ask(b"hi", timeout=DEADLINE_SECONDS) == b"alice:hi"
        assert stat.S_IMODE(socket.stat().st_mode) == 0o600
        assert stat.S_IMODE(socket.parent.stat().st_mode) == 0o700
    async with serving(socket, Trial(answer=echo)), calling(socket, EVERYTHING) as calls:
        assert await calls.ask(b"again", timeout=DEADLINE_SECONDS) == b"alice:again"


async def test_a_socket_path_that_is_too_long_is_refused_with_a_sentence(socket: Path) -> None:
    with pytest.raises(Invalid, match="longer than"):
        async with serving(socket.with_name("x" * 120), Trial(answer=echo)):
            pass


async def test_stop_without_start_is_harmless() -> None:
    server = RpcServer("trial", verifier=Verifier(), scopes={}, logger=get_logger("trial"), clock=SystemClock())
    await server.stop(timedelta(0))


async def test_a_public_method_needs_no_token_even_when_one_is_sent(socket: Path) -> None:
    async with serving(socket, Trial(answer=echo)), open_channel(socket, token=lambda: "nonsense") as channel:
        health = health_pb2_grpc.HealthStub(channel)
        assert await health.Check(health_pb2.HealthCheckRequest(), timeout=DEADLINE_SECONDS)
