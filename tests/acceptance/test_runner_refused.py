"""What a runner on another host cannot do: come in with less, with somebody else's, or as somebody else."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import grpc
import grpc.aio
import pytest

from cli.runners.invitation import Invitation
from clients.attachment import Attachment
from clients.attachment_values import Hello
from clients.coordinator import CoordinatorClient
from clients.safety import SafetyClient
from foundation.authority import Authority, make_key, request_for
from foundation.clock import SystemClock
from foundation.errors import Denied, Internal, Invalid, QuantumError, Unavailable
from foundation.identity import Identity
from foundation.rpc.channel import TcpTarget
from foundation.secrets import RUNNER_KEY, SERVICE_TOKEN, open_secret_store, service_account, user_account
from tests.acceptance.deployment import Deployment
from tests.acceptance.elsewhere import OtherHost, command, fleet, invite, other_host
from tests.programs import require
from tests.tls import VERSIONS, speaking_all, speaks

CROSSED = (Denied, Internal)
"""How a stream is refused; a refusal that crosses its first message on the way loses its reason inside grpc."""


@dataclass(frozen=True)
class Shown:
    """What a runner shows of itself, read out of its folder and keychain."""

    identity: Identity
    token: str

    @classmethod
    def of(cls, host: OtherHost) -> Shown:
        workspace = host.workspace
        secrets = open_secret_store(workspace, host.environ)
        key = secrets.get(RUNNER_KEY, user_account(workspace))
        token = secrets.get(SERVICE_TOKEN, service_account(workspace, "runner"))
        assert key is not None and token is not None
        pem = key.encode() + workspace.identity("runner").read_bytes()
        return cls(Identity.parse(pem, source="the runner"), token)


@dataclass(frozen=True)
class Doors:
    """Where the services are."""

    coordinator: str
    safety: str

    @classmethod
    def of(cls, system: Deployment) -> Doors:
        return cls(system.environ["QUANTUM_COORDINATOR_LISTEN"], system.environ["QUANTUM_SAFETY_LISTEN"])

    async def attach(self, identity: Identity, token: str, name: str) -> None:
        target = TcpTarget(self.coordinator, "coordinator", identity)
        async with Attachment.dial(target, token=lambda: token) as attachment:
            await attachment.open(Hello(name=name, host="h", incarnation=name, slots=0, labels={}, version="0"))

    async def read_tasks(self, identity: Identity, token: str) -> None:
        target = TcpTarget(self.coordinator, "coordinator", identity)
        async with CoordinatorClient.dial(target, token=lambda: token) as client:
            await client.list_tasks()

    async def issue(self, identity: Identity, token: str) -> None:
        target = TcpTarget(self.safety, "safety", identity)
        async with SafetyClient.dial(target, token=lambda: token) as client:
            await client.issue_token("mine", ["admin"])

    async def silence(self, identity: Identity, token: str) -> None:
        target = TcpTarget(self.safety, "safety", identity)
        async with SafetyClient.dial(target, token=lambda: token) as client:
            await client.alerts.resolve("breaker:fleet")

    async def renew(self, identity: Identity, token: str) -> bytes:
        target = TcpTarget(self.safety, "safety", identity)
        async with SafetyClient.dial(target, token=lambda: token) as client:
            return await client.runners.renew(request_for(make_key()))


async def refused(what: str, work: Awaitable[object], *kinds: type[QuantumError]) -> str:
    with pytest.raises(kinds) as caught:
        await work
    print(f"{what} → {caught.value.code}")
    return caught.value.code


async def test_neither_less_nor_somebody_elses_opens_a_door(tmp_path: Path) -> None:
    async with (
        fleet(tmp_path) as system,
        other_host(tmp_path / "a") as first,
        other_host(tmp_path / "b") as second,
    ):
        for host, name in ((first, "attic"), (second, "cellar")):
            joined = await asyncio.to_thread(host.join, await invite(system, name))
            assert joined.code == 0, joined
        at, attic, cellar = Doors.of(system), Shown.of(first), Shown.of(second)
        await at.attach(attic.identity, attic.token, "attic")  # the control: with its own two it comes in
        assert b"BEGIN CERTIFICATE" in await at.renew(attic.identity, attic.token)
        user = system.token
        stranger = Authority.make(system.workspace.key12, now=SystemClock().now())
        forged = Identity.parse(
            stranger.issue(system.workspace.key12, "runner", "attic", now=SystemClock().now()), source="a stranger"
        )
        forged = Identity(forged.key, forged.certificate, attic.identity.authority)
        tried: dict[str, tuple[Callable[[], Awaitable[object]], tuple[type[QuantumError], ...]]] = {
            "another authority": (lambda: at.attach(forged, attic.token, "attic"), (Unavailable,)),
            "the certificate of A with the credential of B": (
                lambda: at.attach(attic.identity, cellar.token, "cellar"),
                CROSSED,
            ),
            "under another name": (lambda: at.attach(attic.identity, attic.token, "cellar"), CROSSED),
            "to read tasks": (lambda: at.read_tasks(attic.identity, attic.token), (Denied,)),
            "to read tasks with a person's token": (lambda: at.read_tasks(attic.identity, user), (Denied,)),
            "to make tokens with a person's token": (lambda: at.issue(attic.identity, user), (Denied,)),
            "to silence an alert": (lambda: at.silence(attic.identity, attic.token), (Denied,)),
            "to renew for another": (lambda: at.renew(attic.identity, cellar.token), (Denied,)),
            "to play coordinator": (lambda: _serves_as_coordinator(attic.identity, cellar), (Unavailable,)),
        }
        for what, (work, kinds) in tried.items():
            await refused(what, work(), *kinds)
        async with SafetyClient.dial(system.workspace.socket("safety"), token=lambda: attic.token) as stolen:
            await refused("the credential alone, on the socket", stolen.confirm_rotation(), Denied)
        await _speaks_only_tls_1_3(at, tmp_path, attic)
        await _invitations(system, second)


async def _speaks_only_tls_1_3(at: Doors, folder: Path, shown: Shown) -> None:
    require("openssl")
    file = folder / "attic.pem"
    file.write_bytes(shown.identity.key + shown.identity.certificate)
    for address in (at.coordinator, at.safety):
        port = int(address.rpartition(":")[2])
        spoken = {version: await asyncio.to_thread(speaks, port, flag, file) for flag, version in VERSIONS.items()}
        assert spoken == {"TLSv1": False, "TLSv1.1": False, "TLSv1.2": False, "TLSv1.3": True}
    with speaking_all(file) as port:
        assert await asyncio.to_thread(speaks, port, "-tls1_2", file), "the control: openssl can"


async def _serves_as_coordinator(identity: Identity, victim: Shown) -> None:
    """A server with a runner's certificate, dialled as the coordinator."""
    server = grpc.aio.server()
    port = server.add_secure_port(
        "127.0.0.1:0",
        grpc.ssl_server_credentials([(identity.key, identity.certificate)], identity.authority, True),
    )
    await server.start()
    try:
        await Doors(f"127.0.0.1:{port}", "").attach(victim.identity, victim.token, "cellar")
    finally:
        await server.stop(None)


async def _invitations(system: Deployment, host: OtherHost) -> None:
    """Other name, taken back, damaged, too late; and nothing but joining can be done with one."""
    text = await invite(system, "shed")
    invitation = Invitation.parse(text)
    identity = Identity.parse(invitation.identity.encode(), source="the invitation")
    at = Doors.of(system)
    await refused("an invitation, to attach", at.attach(identity, invitation.token, "shed"), *CROSSED)
    await refused("an invitation, to renew", at.renew(identity, invitation.token), Denied)
    quantum = asyncio.to_thread
    other = await quantum(host.join, text, "--name", "barn", "--folder", "barn")
    assert other.code == 77 and "is for “shed”, not for “barn”" in other.err, other
    taken = await quantum(command, system, "runner", "invite", "cellar")
    assert taken.code == 73 and "--replace" in taken.err, taken
    removed = await quantum(command, system, "runner", "remove", "shed")
    assert removed.code == 0, removed
    gone = await quantum(host.join, text, "--folder", "shed")
    assert gone.code == 77 and "was revoked" in gone.err and "quantum runner invite shed" in gone.err, gone
    damaged = await quantum(host.join, text.replace("-----END", "-----AND"), "--folder", "shed")
    assert damaged.code == 65 and "There is no invitation" in damaged.err, damaged
    await refused("too short", _expire(system), Invalid)
    no_workspace = await quantum(host.quantum, "--workspace", str(host.workspace.root), "up")
    assert no_workspace.code == 73 and "quantum runner start" in no_workspace.err, no_workspace


async def _expire(system: Deployment) -> None:
    async with system.safety() as safety:
        await safety.runners.invite("shed", timedelta(seconds=1))
