"""Submit to start: from the call until the script's first own act, beside two gRPC echoes and a bare spawn."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.system import running
from clients.coordinator_values import TaskSpec

# `exec` on a pipe that we read: the script's first act wakes us.
TOUCH = """#!/bin/sh
# /// script
# [tool.quantum]
# effects = "idempotent"
# ///
echo started > {pipe}
"""


def measure(samples: int) -> Mapping[str, Sequence[float]]:
    """Return milliseconds: `quantum` (submit to start) and `floor` (two echoes and a spawn), interleaved."""
    with tempfile.TemporaryDirectory(prefix="qb-") as folder:
        pipe = Path(folder, "pipe")
        os.mkfifo(pipe)
        reader = os.open(pipe, os.O_RDWR)  # both ends, so that no open waits for the other
        script = Path(folder, "touch.sh")
        script.write_text(TOUCH.format(pipe=pipe))
        script.chmod(0o755)
        floor: list[float] = []
        ours: list[float] = []
        with _echo(Path(folder)) as echo, running({"touch.sh": TOUCH.format(pipe=pipe)}) as system:
            for sample in range(-5, samples):  # the first five warm up
                begun = time.perf_counter()
                system.call(system.coordinator.submit([TaskSpec(agent="touch")]))
                os.read(reader, 100)
                middle = time.perf_counter()
                _settle(system)
                again = time.perf_counter()
                system.call(echo.call())
                system.call(echo.call())
                pid = os.posix_spawn(str(script), [str(script)], os.environ)
                os.read(reader, 100)
                end = time.perf_counter()
                os.waitpid(pid, 0)
                if sample >= 0:
                    ours.append((middle - begun) * 1000)
                    floor.append((end - again) * 1000)
        os.close(reader)
        return {"quantum": ours, "floor": floor}


def _settle(system: object) -> None:
    """Let the task's end be recorded, so that it does not stand in the next sample's way."""
    time.sleep(0.03)


class _echo:
    """A gRPC server in a process of its own that answers with what it got: the cost of one hop and nothing else."""

    def __init__(self, folder: Path) -> None:
        self._socket = folder / "echo.sock"
        self._process = multiprocessing.get_context("spawn").Process(target=serve_echo, args=(str(self._socket),))
        self._channel: object = None

    def __enter__(self) -> _echo:
        self._process.start()
        deadline = time.monotonic() + 20
        while not self._socket.exists():
            if time.monotonic() > deadline:
                raise SystemExit("The echo server did not start.")
            time.sleep(0.01)
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.join()

    async def call(self) -> None:
        import grpc.aio

        if self._channel is None:
            self._channel = grpc.aio.insecure_channel(f"unix:{self._socket}")
        assert isinstance(self._channel, grpc.aio.Channel)
        ask: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = self._channel.unary_unary("/echo/Echo")
        answer: bytes = await ask(b"x" * 200, timeout=5)
        assert len(answer) == 200


def serve_echo(path: str) -> None:
    """Serve until terminated."""
    import grpc
    import grpc.aio

    class Handler(grpc.GenericRpcHandler):
        def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:  # type: ignore[type-arg]
            async def answer(request: bytes, context: object) -> bytes:
                return request

            return grpc.unary_unary_rpc_method_handler(answer)

    async def main() -> None:
        server = grpc.aio.server(handlers=[Handler()])
        server.add_insecure_port(f"unix:{path}")
        await server.start()
        await server.wait_for_termination()

    asyncio.run(main())
