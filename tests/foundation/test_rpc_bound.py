"""A runner that joined is let in with its own certificate and its own credential together, and with neither alone."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from foundation.auth import Caller
from foundation.authority import Authority, make_key, request_for
from foundation.clock import SystemClock
from foundation.errors import Denied, Invalid
from foundation.files import atomic_write
from foundation.identity import Identity, IdentityFile
from foundation.log import get_logger
from foundation.rpc import server as rpc_server
from foundation.rpc.channel import TcpTarget, open_channel, translate
from foundation.rpc.server import RpcServer
from foundation.rpc.tls import TcpDoor
from tests.foundation.rpc_trial import (
    DEADLINE_SECONDS,
    SCOPES,
    SERVICE,
    Calls,
    Trial,
    Verifier,
    add_trial,
    echo,
    socket_folder,
)

WORKSPACE = "0123456789ab"
NOW = SystemClock().now()
SCOPED = "read,submit,service:x"
ATTIC, CELLAR, USER = f"attic/{SCOPED}", f"cellar/{SCOPED}", f"ada/{SCOPED}"
RUNNERS = {"attic", "cellar"}


class Binding(Verifier):
    """Tokens of runners are bound to their names."""

    async def verify(self, token: str) -> Caller:
        caller = await super().verify(token)
        return replace(caller, runner=caller.name) if caller.name in RUNNERS else caller


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority.make(WORKSPACE, now=NOW)


@asynccontextmanager
async def door(folder: Path, socket: Path, authority: Authority, **narrow: frozenset[str]) -> AsyncIterator[int]:
    file = folder / "coordinator.pem"
    atomic_write(file, authority.issue(WORKSPACE, "coordinator", "test", now=NOW), 0o600)
    tcp = TcpDoor(
        host="127.0.0.1",
        port=0,
        identity=IdentityFile(file),
        workspace_key=WORKSPACE,
        roles=frozenset({"runner", "join", "user"}),
        narrow=narrow,
    )
    server = RpcServer(
        "trial", verifier=Binding(), scopes=SCOPES, logger=get_logger("trial"), clock=SystemClock(), tcp=tcp
    )
    server.add(add_trial, Trial(answer=echo), SERVICE)
    await server.start(socket)
    try:
        assert server.tcp_port is not None
        yield server.tcp_port
    finally:
        await server.stop(timedelta(0))


def shown(authority: Authority, role: str, name: str) -> Identity:
    """As a runner has it: a key that was made at home, and the certificate that came for it."""
    key = make_key()
    return Identity.parse(key + authority.answer(WORKSPACE, request_for(key), role, name, now=NOW), source="test")


async def ask(where: TcpTarget | Path, token: str) -> bytes:
    async with open_channel(where, token=lambda: token) as channel:
        with translate():
            answer: bytes = await Calls(channel).ask(b"hello", timeout=DEADLINE_SECONDS)
    return answer


PAIRS = {
    "its own two": ("runner", "attic", ATTIC, True),
    "an invitation's two": ("join", "attic", ATTIC, True),
    "a person's two": ("user", "ada", USER, True),
    "the certificate of A with the credential of B": ("runner", "attic", CELLAR, False),
    "the certificate of a runner with a person's token": ("runner", "attic", USER, False),
    "the certificate of a person with a runner's credential": ("user", "attic", ATTIC, False),
}


@pytest.mark.parametrize("what", PAIRS)
async def test_both_must_be_of_the_same_runner(what: str, tmp_path: Path, authority: Authority) -> None:
    role, name, token, good = PAIRS[what]
    with socket_folder() as folder:
        async with door(tmp_path, folder / "trial.sock", authority) as port:
            target = TcpTarget(f"127.0.0.1:{port}", "coordinator", shown(authority, role, name))
            if good:
                assert await ask(target, token)
                return
            with pytest.raises(Denied) as refusal:
                await ask(target, token)
            assert refusal.value.code == "not_bound_together"


async def test_on_the_socket_a_bound_credential_is_worth_nothing(tmp_path: Path, authority: Authority) -> None:
    with socket_folder() as folder:
        async with door(tmp_path, folder / "trial.sock", authority):
            assert await ask(folder / "trial.sock", USER)
            with pytest.raises(Denied):
                await ask(folder / "trial.sock", ATTIC)


async def test_a_narrow_role_may_call_what_is_named_alone(tmp_path: Path, authority: Authority) -> None:
    with socket_folder() as folder:
        elsewhere, here = frozenset({f"/{SERVICE}/Upload"}), frozenset({f"/{SERVICE}/Ask"})
        async with door(tmp_path, folder / "trial.sock", authority, runner=elsewhere, join=here) as port:
            for role, good in (("runner", False), ("join", True), ("user", True)):
                name, token = ("ada", USER) if role == "user" else ("attic", ATTIC)
                target = TcpTarget(f"127.0.0.1:{port}", "coordinator", shown(authority, role, name))
                if good:
                    assert await ask(target, token)
                else:
                    with pytest.raises(Denied) as refusal:
                        await ask(target, token)
                    assert refusal.value.code == "role_too_narrow"


async def test_without_the_check_the_credential_of_another_comes_in(
    tmp_path: Path, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    @asynccontextmanager
    async def nothing(call: object) -> AsyncIterator[None]:
        yield

    monkeypatch.setattr(rpc_server, "require_bound", lambda key: nothing)
    with socket_folder() as folder:
        async with door(tmp_path, folder / "trial.sock", authority) as port:
            target = TcpTarget(f"127.0.0.1:{port}", "coordinator", shown(authority, "runner", "attic"))
            assert await ask(target, CELLAR)


@pytest.mark.parametrize("request_", [b"", b"nonsense", b"-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n"], ids=len)
def test_what_is_no_request_is_not_answered(request_: bytes, authority: Authority) -> None:
    with pytest.raises(Invalid):
        authority.answer(WORKSPACE, request_, "runner", "attic", now=NOW)


def test_a_request_that_somebody_changed_is_not_answered(authority: Authority) -> None:
    request = request_for(make_key())
    lines = request.splitlines(keepends=True)
    middle = bytearray(lines[-2])
    middle[2] ^= 1
    with pytest.raises(Invalid):
        authority.answer(WORKSPACE, b"".join([*lines[:-2], bytes(middle), lines[-1]]), "runner", "attic", now=NOW)
