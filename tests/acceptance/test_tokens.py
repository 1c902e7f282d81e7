"""Tokens under load: a rotation fails nobody, a revocation bites within a second, without safety nothing loosens."""

from __future__ import annotations

import asyncio
import http.client
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from clients.coordinator import CoordinatorClient
from clients.coordinator_values import TaskSpec
from clients.runner import RunnerClient
from clients.safety import SafetyClient
from foundation.errors import QuantumError, Unauthenticated, Unavailable
from tests.acceptance.deployment import Deployment, deployed
from tests.ports import free_port
from tests.waiting import PATIENCE_SECONDS, Stopwatch, eventually

OVERLAP_SECONDS = 2.0
CALLERS = 6
SECOND = 1.0
ROUNDS = 5


@dataclass
class Keychain:
    """Where callers find their token at each call, as `quantum token show` does."""

    text: str
    old: list[str] = field(default_factory=list)
    calls: int = 0
    failed: list[str] = field(default_factory=list)


async def test_rotations_under_load_fail_no_caller(tmp_path: Path) -> None:
    await rotate_under_load(tmp_path, rotations=60)


@pytest.mark.long
async def test_a_thousand_rotations_under_load_fail_no_caller(tmp_path: Path) -> None:
    await rotate_under_load(tmp_path, rotations=1_000)


async def rotate_under_load(folder: Path, *, rotations: int) -> None:
    async with deployed(folder, token_overlap_seconds=OVERLAP_SECONDS) as system:
        await system.up("safety", "coordinator")
        keychain, done = Keychain(system.token), asyncio.Event()
        callers = [asyncio.create_task(call(system, keychain, done)) for _ in range(CALLERS)]
        for _ in range(rotations):
            await rotate(system, keychain)
        done.set()
        await asyncio.gather(*callers)
        refused = await eventually(lambda: all_refused(system, keychain.old[-3:]), "the old ones are refused")
        still = await accepted(system, keychain.text)
    print(f"{rotations} rotations, {keychain.calls} calls beside them; failed: {keychain.failed[:5] or 0}")
    assert keychain.calls > rotations, "there was load"
    assert not keychain.failed
    assert refused
    assert still


async def call(system: Deployment, keychain: Keychain, done: asyncio.Event) -> None:
    """Call the coordinator again and again with whatever token is there now."""
    path = system.workspace.socket("coordinator")
    async with CoordinatorClient.dial(path, token=lambda: keychain.text) as client:
        while not done.is_set():
            try:
                await client.queue_stats()
            except QuantumError as error:
                keychain.failed.append(error.code)
            keychain.calls += 1


async def rotate(system: Deployment, keychain: Keychain) -> None:
    """New one, kept, confirmed: the order of `quantum token rotate`."""
    before = keychain.text
    async with SafetyClient.dial(system.workspace.socket("safety"), token=lambda: keychain.text) as safety:
        keychain.text = (await safety.rotate_token()).text
        await safety.confirm_rotation()
    keychain.old.append(before)


async def accepted(system: Deployment, text: str) -> bool:
    async with CoordinatorClient.dial(system.workspace.socket("coordinator"), token=lambda: text) as client:
        try:
            await client.queue_stats()
        except Unauthenticated:
            return False
    return True


async def all_refused(system: Deployment, texts: list[str]) -> bool:
    return not any([await accepted(system, text) for text in texts])


# -- revocation


@pytest.mark.parametrize("slowest_counts", [False, pytest.param(True, marks=pytest.mark.long)])
async def test_a_revocation_bites_everywhere_within_a_second(tmp_path: Path, slowest_counts: bool) -> None:
    """In the long ring, each of so many times. Otherwise once is enough: what else the machine does only adds to it."""
    port = free_port()
    async with deployed(tmp_path, gateway_port=port) as system:
        await system.up("safety", "coordinator", "runner-local")
        system.start("gateway")
        await eventually(lambda: ask_gateway(port, system.token) == 200, "the gateway answers")
        rounds: list[dict[str, float]] = []
        while len(rounds) < ROUNDS:
            rounds.append(await revoke_and_watch(system, port))
            if not slowest_counts and max(rounds[-1].values()) <= SECOND:
                break
    slowest = {name: max(each[name] for each in rounds) for name in rounds[0]}
    print(
        f"slowest refusal after {len(rounds)} revocations:",
        {name: f"{took * 1000:.0f} ms" for name, took in slowest.items()},
    )
    assert set(slowest) == {"safety", "coordinator", "runner", "gateway"}
    assert max((slowest if slowest_counts else rounds[-1]).values()) <= SECOND


async def revoke_and_watch(system: Deployment, port: int) -> dict[str, float]:
    """Use a token everywhere until each refuses it; how long after its revocation each still took it."""
    async with system.safety() as admin:
        issued = await admin.issue_token("leaked", ["read"])
        text = issued.text

        async def at_safety() -> None:
            async with SafetyClient.dial(system.workspace.socket("safety"), token=lambda: text) as client:
                await client.list_tokens()

        async def at_coordinator() -> None:
            async with CoordinatorClient.dial(system.workspace.socket("coordinator"), token=lambda: text) as client:
                await client.queue_stats()

        async def at_runner() -> None:
            async with RunnerClient.dial(system.workspace.socket("runner-local"), token=lambda: text) as client:
                await client.describe()

        async def at_gateway() -> None:
            if await asyncio.to_thread(ask_gateway, port, text) == 401:
                raise Unauthenticated("refused", "It is refused.")

        doors = {"safety": at_safety, "coordinator": at_coordinator, "runner": at_runner, "gateway": at_gateway}
        for use in doors.values():
            await use()
        watch = Stopwatch()
        watching = {name: asyncio.create_task(last_use(use, watch)) for name, use in doors.items()}
        revoked_at = watch.seconds
        await admin.revoke_token(issued.token.id)
        return {name: max(0.0, await task - revoked_at) for name, task in watching.items()}


async def last_use(use: Callable[[], Awaitable[None]], watch: Stopwatch) -> float:
    """Use it until it is refused; by the watch, when the last call that was let in *began*."""
    last = watch.seconds
    while True:
        began = watch.seconds
        try:
            await use()
        except Unauthenticated:
            return last
        last = began


def ask_gateway(port: int, token: str) -> int:
    """The status of a look at the queue over HTTP; 0 while nobody answers."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_SECONDS)
    try:
        connection.request("GET", "/tasks/queue", headers={"X-Auth-Token": token})
        return connection.getresponse().status
    except OSError:
        return 0
    finally:
        connection.close()


# -- without safety


async def test_without_safety_a_good_token_still_stops_and_never_loosens(tmp_path: Path) -> None:
    port = free_port()
    async with deployed(tmp_path, gateway_port=port) as system:
        system.agent("late", "true")
        await system.up("safety", "coordinator")
        async with system.coordinator() as client:
            await client.reload_agents()
            task = (await client.submit([TaskSpec(agent="late")])).tasks[0]
            system.kill("safety")
            await client.pause_queue(reason="tonight")
            assert (await client.cancel([task.id], reason="not tonight")).cancelled == 1
            async with system.safety() as safety:
                for loosening in (
                    safety.issue_token("late", ["read"]),
                    safety.reset_breaker("agent:x"),
                    safety.resume_mode(),
                    safety.rotate_token(),
                ):
                    with pytest.raises(Unavailable):
                        await loosening
            stranger = "qtm_" + "0" * 12 + "_" + "0" * 43 + "_000000"
            assert not await accepted(system, stranger)
