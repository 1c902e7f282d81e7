"""Safety as a process behind its socket: provision, serve, kill -9, scopes, and what its client makes of it."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import grpc.aio
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from clients.caching_verifier import CachingTokenVerifier
from clients.safety import SafetyClient
from clients.safety_values import Candidate, Outcome, OutcomeKind
from foundation.clock import SystemClock
from foundation.errors import Conflict, Denied, Invalid, NotFound, Unauthenticated, Unavailable
from foundation.ids import random_bytes
from foundation.secrets import AUDIT_KEY, DATABASE_KEY, open_secret_store, user_account
from foundation.stop_file import StopFile
from foundation.tokens import Token, mint
from foundation.workspace import Workspace

ROOT = Path(__file__).parents[2]
USER_SCOPES = ["admin", "cancel", "operate", "read", "rotate", "submit"]
START_SECONDS = 90


@dataclass
class Home:
    """A workspace with a key and three tokens, and the safety process that was last started in it."""

    workspace: Workspace
    user: Token = field(default_factory=lambda: mint(random_bytes))
    coordinator: Token = field(default_factory=lambda: mint(random_bytes))
    reader: Token = field(default_factory=lambda: mint(random_bytes))
    process: subprocess.Popen[str] | None = None

    def command(self, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """Run `python -m services.safety …` to its end."""
        return subprocess.run(self._argv(*arguments), input=stdin, text=True, capture_output=True, cwd=ROOT, timeout=60)

    def provision(self) -> subprocess.CompletedProcess[str]:
        """Make the database with the three tokens."""
        tokens = [
            {"id": token.id, "digest": token.digest, "name": name, "scopes": scopes, "expires_at": None}
            for token, name, scopes in [
                (self.user, "user", USER_SCOPES),
                (self.coordinator, "coordinator", ["service:coordinator", "read"]),
                (self.reader, "reader", ["read"]),
            ]
        ]
        return self.command("provision", stdin=json.dumps({"tokens": tokens}))

    async def start(self) -> None:
        """Start the service and return once it serves."""
        self.process = self._spawn()
        async with grpc.aio.insecure_channel(f"unix:{self.workspace.socket('safety')}") as channel:
            health = health_pb2_grpc.HealthStub(channel)
            async with asyncio.timeout(START_SECONDS):
                while True:
                    call = health.Watch(health_pb2.HealthCheckRequest(), wait_for_ready=True)
                    try:
                        async for answer in call:
                            if answer.status == health_pb2.HealthCheckResponse.SERVING:
                                return
                    except grpc.aio.AioRpcError:
                        assert self.process.poll() is None, self.output()

    def end(self, number: signal.Signals) -> int:
        """Send a signal and wait for the end."""
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(timeout=90)

    def output(self) -> str:
        """What the process has said, once it has ended."""
        return self.process.stdout.read() if self.process and self.process.stdout else ""

    @asynccontextmanager
    async def calling_as(self, token: Token) -> AsyncIterator[SafetyClient]:
        """A client with a token."""
        async with SafetyClient.dial(self.workspace.socket("safety"), token=lambda: token.text) as client:
            yield client

    def _spawn(self) -> subprocess.Popen[str]:
        return subprocess.Popen(self._argv(), cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    def _argv(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "services.safety", *arguments, "--workspace", str(self.workspace.root)]


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch) -> Iterator[Home]:
    folder = Path(tempfile.mkdtemp(prefix="qs"))  # short: a socket's path may have 103 bytes
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(folder))
    monkeypatch.setenv("QUANTUM_KEYCHAIN", "file")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    workspace = Workspace(folder / "w")
    (workspace.root / "config").mkdir(parents=True)
    workspace.config_file.write_text("{}")
    workspace.state.mkdir(mode=0o700)
    for kind in (DATABASE_KEY, AUDIT_KEY):
        open_secret_store(workspace, os.environ).set(kind, user_account(workspace), random_bytes(32).hex())
    made = Home(workspace)
    yield made
    if made.process is not None and made.process.poll() is None:
        made.process.kill()
        made.process.wait()
    shutil.rmtree(folder)


@pytest.fixture
async def serving(home: Home) -> Home:
    assert home.provision().returncode == 0
    await home.start()
    return home


def failure(number: int) -> Outcome:
    return Outcome(task_id=f"t{number}", fence=1, agent="build", kind=OutcomeKind.FAILURE, detail="exit 1")


CANDIDATE = Candidate(task_id="c", fence=1, agent="build")


async def test_an_open_breaker_and_a_stop_survive_kill_9(serving: Home) -> None:
    async with serving.calling_as(serving.coordinator) as client:
        for number in range(2):
            await client.admit([failure(number)], [])
    serving.end(signal.SIGKILL)
    await serving.start()
    async with serving.calling_as(serving.coordinator) as client:
        # The second is told again, as a coordinator does that has not heard the answer; the third is new.
        answer = await client.admit([failure(1), failure(2)], [CANDIDATE])
    assert "3 failures in a row, last: exit 1" in answer.verdicts[0].reason
    async with serving.calling_as(serving.user) as user:
        await user.tighten_mode("STOPPED", reason="fire")
    serving.end(signal.SIGKILL)
    await serving.start()
    async with serving.calling_as(serving.user) as user:
        mode = await user.get_mode()
        assert (mode.mode, mode.reason, mode.actor) == ("STOPPED", "fire", "user")
        (breaker,) = await user.list_breakers(not_closed=True)
        assert (breaker.scope, breaker.state, breaker.consecutive_failures) == ("agent:build", "open", 3)
        assert [(change.before, change.after) for change in breaker.history] == [("closed", "open")]
        assert (await user.resume_mode()).status.mode == "NORMAL"
        assert (await user.reset_breaker("agent:build")).state == "closed"
    async with serving.calling_as(serving.coordinator) as client:
        assert (await client.admit([], [CANDIDATE])).verdicts[0].admitted
    assert serving.end(signal.SIGTERM) == 0


async def test_the_stop_file_stops_and_resume_removes_it(serving: Home) -> None:
    file = StopFile(serving.workspace.stop_file)
    file.write(who="ann", why="smoke", now=SystemClock().now())
    async with serving.calling_as(serving.coordinator) as client:
        answer = await client.admit([], [CANDIDATE])
        assert (answer.mode, answer.verdicts[0].code) == ("STOPPED", "mode")
        renewals = await client.renew([("c", 1)])
        assert renewals.renewals[0].action == "stop"
        assert renewals.epoch == answer.epoch
    async with serving.calling_as(serving.user) as user:
        change = await user.resume_mode()
        assert (change.changed, change.status.stop_file) == (True, False)
    assert not file.is_set()


async def test_tokens_are_issued_listed_revoked_and_watched(serving: Home) -> None:
    async with serving.calling_as(serving.user) as user, serving.calling_as(serving.coordinator) as service:
        issued = await user.issue_token("ci", ["read"], lifetime=timedelta(hours=1))
        found = await service.validate(issued.text)
        assert (found.token.name, found.token.scopes, found.revocation) == ("ci", frozenset({"read"}), 0)
        assert {token.name for token in await user.list_tokens()} == {"user", "coordinator", "reader", "ci"}
        async with aclosing(service.watch_revocations()) as numbers:
            assert await anext(numbers) == 0
            await user.revoke_token(issued.token.id)
            assert [number async for number in _until(numbers, 1)][-1] == 1
        with pytest.raises(Unauthenticated, match="was revoked"):
            await service.validate(issued.text)


async def _until(numbers: AsyncIterator[int], wanted: int) -> AsyncIterator[int]:
    async for number in numbers:
        yield number
        if number == wanted:
            return


async def test_a_stream_of_admission_ends_with_its_token(serving: Home) -> None:
    async with serving.calling_as(serving.user) as user, serving.calling_as(serving.coordinator) as coordinator:
        assert (await coordinator.admit([], [CANDIDATE])).verdicts[0].admitted
        await user.revoke_token(serving.coordinator.id)
        with pytest.raises(Unauthenticated, match="revoked"):
            await coordinator.admit([], [CANDIDATE])


async def test_each_verb_asks_for_its_scope(serving: Home) -> None:
    async with serving.calling_as(serving.reader) as reader:
        assert (await reader.get_mode()).mode == "NORMAL"
        for refused in (
            reader.admit([], []),
            reader.renew([]),
            reader.force_open("fleet", reason=""),
            reader.force_closed("fleet", lasting=timedelta(hours=1), reason=""),
            reader.reset_breaker("fleet"),
            reader.tighten_mode("STOPPED", reason=""),
            reader.resume_mode(),
            reader.validate(serving.user.text),
            reader.issue_token("x", ["read"]),
            reader.revoke_token("x"),
        ):
            with pytest.raises(Denied):
                await refused
    async with serving.calling_as(mint(random_bytes)) as stranger:
        with pytest.raises(Unauthenticated):
            await stranger.get_mode()


async def test_refusals_keep_their_kind_over_the_wire(serving: Home) -> None:
    async with serving.calling_as(serving.user) as user:
        await user.tighten_mode("FROZEN", reason="")
        with pytest.raises(Conflict, match="DRAIN is less strict than FROZEN"):
            await user.tighten_mode("DRAIN", reason="")
        assert (await user.resume_mode("DRAIN")).status.mode == "DRAIN"
        assert (await user.resume_mode()).status.mode == "NORMAL"
        with pytest.raises(Invalid):
            await user.tighten_mode("asleep", reason="")
        with pytest.raises(Invalid):
            await user.force_open("nonsense", reason="")
        with pytest.raises(NotFound):
            await user.reset_breaker("agent:nobody")
        with pytest.raises(Invalid):
            await user.issue_token("", ["everything"])


async def test_a_verifier_goes_on_without_safety_and_its_client_finds_it_again(serving: Home) -> None:
    async with serving.calling_as(serving.coordinator) as client:
        verifier = CachingTokenVerifier(client, SystemClock(), fresh_for=timedelta(0))
        assert (await verifier.verify(serving.user.text)).scopes == set(USER_SCOPES)
        serving.end(signal.SIGKILL)
        assert (await verifier.verify(serving.user.text)).scopes == {"cancel", "operate", "read", "submit"}
        with pytest.raises(Unavailable):
            await verifier.verify(serving.reader.text)
        await serving.start()
        with pytest.raises(Unauthenticated):
            await verifier.verify(mint(random_bytes).text)


async def test_provision_is_idempotent_and_serve_makes_nothing(home: Home) -> None:
    refused = home.command()
    assert refused.returncode == 78
    assert "`quantum init`" in refused.stderr
    assert not home.workspace.safety_db.exists()
    assert [home.provision().stdout for _ in range(2)] == ['{"new_tokens": 3}', '{"new_tokens": 0}']


async def test_no_token_is_written_anywhere(serving: Home) -> None:
    async with serving.calling_as(serving.user) as user:
        await user.issue_token("ci", ["read"])
    assert serving.end(signal.SIGTERM) == 0
    told = serving.output().encode()
    for path in serving.workspace.root.rglob("*"):
        if path.is_file():
            told += path.read_bytes()
    assert b"qtm_" not in told
    assert b"SQLite format" not in serving.workspace.safety_db.read_bytes()
