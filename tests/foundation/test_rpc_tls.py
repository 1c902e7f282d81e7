"""TCP is TLS 1.3 between certificates of one authority and of the right roles, or it is nothing."""

from __future__ import annotations

import asyncio
import socket as sockets
import ssl
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from foundation.authority import Authority, describe
from foundation.clock import SystemClock
from foundation.errors import Denied, Internal, Unavailable
from foundation.files import atomic_write
from foundation.handshake import prove_no_tls_1_2
from foundation.identity import Identity, IdentityFile, role_uri
from foundation.log import get_logger
from foundation.rpc import tls
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
from tests.programs import require
from tests.tls import VERSIONS, speaking_all, speaks

WORKSPACE = "0123456789ab"
OTHER_WORKSPACE = "ba9876543210"
NOW = SystemClock().now()
TOKEN = "ada/read,submit,service:x"


@pytest.fixture
def socket() -> Iterator[Path]:
    with socket_folder() as folder:
        yield folder / "trial.sock"


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority.make(WORKSPACE, now=NOW)


def identity_of(authority: Authority, role: str = "gateway", **given: object) -> Identity:
    workspace = str(given.pop("workspace", WORKSPACE))
    return Identity.parse(
        authority.issue(workspace, role, "test", now=NOW, **given),  # type: ignore[arg-type]
        source="test",
    )


@dataclass(frozen=True)
class Door:
    """A server that listens on TCP, and the file of its identity."""

    port: int
    file: Path
    server: RpcServer


@asynccontextmanager
async def door(
    folder: Path, socket: Path, authority: Authority, *, role: str = "coordinator", roles: frozenset[str] | None = None
) -> AsyncIterator[Door]:
    file = folder / "coordinator.pem"
    atomic_write(file, authority.issue(WORKSPACE, role, "test", now=NOW), 0o600)
    server = RpcServer(
        "trial",
        verifier=Verifier(),
        scopes=SCOPES,
        logger=get_logger("trial"),
        clock=SystemClock(),
        tcp=TcpDoor(
            host="127.0.0.1",
            port=0,
            identity=IdentityFile(file),
            workspace_key=WORKSPACE,
            roles=roles or frozenset({"gateway", "user"}),
        ),
    )
    server.add(add_trial, Trial(answer=echo), SERVICE)
    await server.start(socket)
    try:
        assert server.tcp_port is not None
        yield Door(server.tcp_port, file, server)
    finally:
        await server.stop(timedelta(0))


async def ask(port: int, identity: Identity, *, role: str = "coordinator") -> bytes:
    """One call with a good token over a connection of its own."""
    target = TcpTarget(f"127.0.0.1:{port}", role, identity)
    async with open_channel(target, token=lambda: TOKEN) as channel:
        with translate():
            answer: bytes = await Calls(channel).ask(b"hello", timeout=DEADLINE_SECONDS)
    return answer


async def test_the_right_role_is_served(tmp_path: Path, socket: Path, authority: Authority) -> None:
    async with door(tmp_path, socket, authority) as opened:
        assert (await ask(opened.port, identity_of(authority))).endswith(b":hello")
        assert (await ask(opened.port, identity_of(authority, "user"))).endswith(b":hello")


# -- twenty bad identities ------------------------------------------------------------------------------------


def by_hand(
    signer: Authority,
    *,
    uris: tuple[str, ...] = (),
    names: tuple[str, ...] = (),
    common_name: str = "gateway test",
    begins: timedelta = timedelta(minutes=-5),
    ends: timedelta = timedelta(days=1),
    issuer: x509.Name | None = None,
    is_authority: bool = False,
    trusted: Authority | None = None,
) -> Identity:
    """A certificate that `Authority.issue` would refuse to make."""
    signing = serialization.load_pem_private_key(signer.key, password=None)
    assert isinstance(signing, ec.EllipticCurvePrivateKey)
    key = ec.generate_private_key(ec.SECP256R1())
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)]))
        .issuer_name(issuer or x509.load_pem_x509_certificate(signer.certificate).subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW + begins)
        .not_valid_after(NOW + ends)
        .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
    )
    stated = [*map(x509.UniformResourceIdentifier, uris), *map(x509.DNSName, names)]
    if stated:
        builder = builder.add_extension(x509.SubjectAlternativeName(stated), critical=False)
    certificate = builder.sign(signing, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return Identity(pem, certificate, (trusted or signer).certificate)


def good_uri(role: str = "gateway", workspace: str = WORKSPACE) -> tuple[str, ...]:
    return (role_uri(workspace, role, "test"),)


def through_an_authority_below(authority: Authority) -> Identity:
    """Signed by somebody who got an ordinary certificate of ours and plays the authority with it."""
    below = identity_of(authority)
    forged = by_hand(Authority(below.key, below.certificate), uris=good_uri(), trusted=authority)
    return Identity(forged.key, forged.certificate + below.certificate, authority.certificate)


BAD: dict[str, Callable[[Authority, Authority], Identity | None]] = {
    "none at all": lambda ours, other: None,
    "another authority": lambda ours, other: Identity(
        identity_of(other).key, identity_of(other).certificate, ours.certificate
    ),
    "another authority of the same name": lambda ours, other: by_hand(
        other,
        uris=good_uri(),
        issuer=x509.load_pem_x509_certificate(ours.certificate).subject,
        trusted=ours,
    ),
    "signed by itself": lambda ours, other: by_hand(
        Authority.make("self", now=NOW), uris=good_uri(), trusted=ours, is_authority=True
    ),
    "expired": lambda ours, other: by_hand(
        ours, uris=good_uri(), begins=timedelta(days=-3), ends=timedelta(minutes=-1)
    ),
    "not valid yet": lambda ours, other: by_hand(ours, uris=good_uri(), begins=timedelta(hours=1)),
    "expired a second ago": lambda ours, other: by_hand(
        ours, uris=good_uri(), begins=timedelta(days=-1), ends=timedelta(seconds=-1)
    ),
    "role runner": lambda ours, other: identity_of(ours, "runner"),
    "role safety": lambda ours, other: identity_of(ours, "safety"),
    "role coordinator": lambda ours, other: identity_of(ours, "coordinator"),
    "no role": lambda ours, other: by_hand(ours),
    "role in the common name only": lambda ours, other: by_hand(ours, common_name=good_uri()[0]),
    "role as a host name": lambda ours, other: by_hand(ours, names=("gateway.quantum.internal",)),
    "an unknown role": lambda ours, other: by_hand(ours, uris=good_uri("root")),
    "a role that begins like a good one": lambda ours, other: by_hand(ours, uris=good_uri("gateways")),
    "a good role inside another": lambda ours, other: by_hand(ours, uris=(f"quantum://x/{WORKSPACE}/gateway/test",)),
    "another scheme": lambda ours, other: by_hand(ours, uris=(f"https://{WORKSPACE}/gateway/test",)),
    "another workspace": lambda ours, other: by_hand(ours, uris=good_uri(workspace=OTHER_WORKSPACE)),
    "an authority below ours": lambda ours, other: through_an_authority_below(ours),
    "the authority's own": lambda ours, other: Identity(ours.key, ours.certificate, ours.certificate),
}


def test_there_are_twenty_bad_identities() -> None:
    assert len(BAD) >= 20


@pytest.mark.parametrize("what", BAD)
async def test_a_bad_identity_is_refused(what: str, tmp_path: Path, socket: Path, authority: Authority) -> None:
    identity = BAD[what](authority, Authority.make(WORKSPACE, now=NOW))
    async with door(tmp_path, socket, authority) as opened:
        if identity is None:
            await _refused_without_identity(opened.port, authority)
        else:
            with pytest.raises((Unavailable, Denied)) as refusal:
                await ask(opened.port, identity)
            print(what, "→", refusal.value.code)
        assert await ask(opened.port, identity_of(authority))  # the control: the door is open for the right one


async def _refused_without_identity(port: int, authority: Authority) -> None:
    credentials = grpc.ssl_channel_credentials(authority.certificate)
    options = [("grpc.ssl_target_name_override", "coordinator.quantum.internal")]
    async with grpc.aio.secure_channel(f"127.0.0.1:{port}", credentials, options=options) as channel:
        with pytest.raises(Unavailable), translate():
            await Calls(channel).ask(b"hello", timeout=DEADLINE_SECONDS, metadata=(("x-auth-token", TOKEN),))


async def test_without_the_role_check_a_wrong_role_comes_in(
    tmp_path: Path, socket: Path, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tls, "_welcome_role", lambda call, welcome: "")
    async with door(tmp_path, socket, authority) as opened:
        assert await ask(opened.port, identity_of(authority, "safety"))


async def test_a_server_of_another_role_is_not_trusted(tmp_path: Path, socket: Path, authority: Authority) -> None:
    async with door(tmp_path, socket, authority, role="runner") as opened:
        with pytest.raises(Unavailable):
            await ask(opened.port, identity_of(authority))


async def test_reflection_is_for_the_socket_alone(tmp_path: Path, socket: Path, authority: Authority) -> None:
    method = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
    async with door(tmp_path, socket, authority) as opened:
        target = TcpTarget(f"127.0.0.1:{opened.port}", "coordinator", identity_of(authority, "user"))
        async with open_channel(target, token=lambda: "ada/read") as channel:
            with pytest.raises(Denied, match="local socket"), translate():
                call: Any = channel.stream_stream(method)

                async for _ in call(iter([b""]), timeout=DEADLINE_SECONDS):
                    pass


# -- renewal --------------------------------------------------------------------------------------------------


async def test_a_renewed_identity_is_taken_without_dropping_a_call(
    tmp_path: Path, socket: Path, authority: Authority
) -> None:
    async with door(tmp_path, socket, authority) as opened:
        target = TcpTarget(f"127.0.0.1:{opened.port}", "coordinator", identity_of(authority, "user"))
        async with open_channel(target, token=lambda: TOKEN) as channel:
            call = Calls(channel).talk()
            serials = set()
            for number in range(5):
                await call.write(b"%d" % number)
                assert (await call.read()).endswith(b":%d" % number)  # the old connection goes on
                serials.add(await asyncio.to_thread(_serial_shown, opened.port, authority))
                atomic_write(opened.file, authority.issue(WORKSPACE, "coordinator", "test", now=NOW), 0o600)
            call.cancel()
        assert len(serials) == 5, "each new connection is shown the newest certificate"


async def test_an_identity_that_cannot_be_read_leaves_the_last_one_in_use(
    tmp_path: Path, socket: Path, authority: Authority
) -> None:
    async with door(tmp_path, socket, authority) as opened:
        atomic_write(opened.file, b"nonsense", 0o600)
        assert await ask(opened.port, identity_of(authority))
        opened.file.unlink()
        assert await ask(opened.port, identity_of(authority))


def _serial_shown(port: int, authority: Authority) -> str:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    with sockets.create_connection(("127.0.0.1", port), timeout=60) as bare, context.wrap_socket(bare) as shaken:
        shown = shaken.getpeercert(binary_form=True)
    assert shown is not None
    return describe(ssl.DER_cert_to_PEM_cert(shown).encode()).serial


# -- versions -------------------------------------------------------------------------------------------------


async def test_only_tls_1_3_is_spoken(tmp_path: Path, socket: Path, authority: Authority) -> None:
    require("openssl")
    async with door(tmp_path, socket, authority) as opened:
        spoken = {
            name: await asyncio.to_thread(speaks, opened.port, flag, opened.file) for flag, name in VERSIONS.items()
        }
    assert spoken == {"TLSv1": False, "TLSv1.1": False, "TLSv1.2": False, "TLSv1.3": True}


def test_the_same_look_finds_every_version_on_a_server_that_speaks_them_all(
    tmp_path: Path, authority: Authority
) -> None:
    """The control: `s_client` here is able to speak what our door refuses."""
    require("openssl")
    file = tmp_path / "control.pem"
    file.write_bytes(authority.issue(WORKSPACE, "coordinator", "control", now=NOW))
    with speaking_all(file) as port:
        spoken = {name: speaks(port, flag, file) for flag, name in VERSIONS.items()}
    assert all(spoken.values()), spoken


async def test_a_door_that_would_let_1_2_in_is_not_opened(
    tmp_path: Path, socket: Path, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GRPC_SSL_CIPHER_SUITES", "ALL")
    with pytest.raises(Internal, match=r"TLS 1\.2"):
        async with door(tmp_path, socket, authority):
            pass


async def test_the_proof_at_the_start_finds_a_port_that_speaks_1_2(tmp_path: Path, authority: Authority) -> None:
    file = tmp_path / "control.pem"
    file.write_bytes(authority.issue(WORKSPACE, "coordinator", "control", now=NOW))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file, file)

    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    server = await asyncio.start_server(hang_up, "127.0.0.1", 0, ssl=context)
    async with server:
        with pytest.raises(Internal, match=r"accepts TLS 1\.2"):
            await asyncio.to_thread(prove_no_tls_1_2, "127.0.0.1", server.sockets[0].getsockname()[1], file)
