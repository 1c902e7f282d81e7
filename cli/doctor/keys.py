"""What is secret, and what is signed: the keychain, the databases' key, credentials, certificates."""

from __future__ import annotations

from collections.abc import Iterator

from cli.doctor.findings import Finding, fail, ok, quoted, unseen, warn
from cli.doctor.subject import SERVICES, Subject
from cli.keys.authority import TcpSettings
from foundation.addresses import is_wildcard
from foundation.errors import QuantumError
from foundation.secrets import (
    AUDIT_KEY,
    DATABASE_KEY,
    SERVICE_TOKEN,
    USER_TOKEN,
    next_key_account,
    service_account,
    user_account,
)
from foundation.tokens import parse


def keychain(subject: Subject) -> Iterator[Finding]:
    """Where the secrets lie, and whether they can be read."""
    part, here = "keychain", subject.here
    if not here.keychain_record.is_file():
        wish = "QUANTUM_KEYCHAIN=file " if here.credentials.is_dir() else ""
        yield fail(part, f"{here.keychain_record} is gone: where the secrets lie is not known.", f"{wish}quantum init")
        return
    try:
        store = subject.session.secrets
        token = store.get(USER_TOKEN, user_account(here))
    except QuantumError as error:
        yield fail(part, error.message, _cure(subject, error))
        return
    if token is None:
        yield fail(part, f"Your token is not in {store.describe}.", "quantum init")
    else:
        yield ok(part, store.describe)


def _cure(subject: Subject, error: QuantumError) -> str:
    """Of a store that does not open: the record or the wish of the environment, its rights, or its content."""
    here = subject.here
    match error.code:
        case "bad_keychain_record":
            wish = "QUANTUM_KEYCHAIN=file " if here.credentials.is_dir() else ""
            return f"rm {quoted(here.keychain_record)} && {wish}quantum init"
        case "other_keychain" | "bad_keychain":
            return "unset QUANTUM_KEYCHAIN"
        case "secret_key_exposed":
            return f"chmod 600 {quoted(here.credentials / 'key')} && quantum token rotate --all"
        case _:
            return "quantum init"


def database_key(subject: Subject) -> Iterator[Finding]:
    """Without it the databases are lost."""
    part, here, secrets = "database key", subject.here, subject.secrets
    if secrets is None:
        yield unseen(part, "keychain")
        return
    present = secrets.get(DATABASE_KEY, user_account(here))
    if secrets.get(DATABASE_KEY, next_key_account(here)) is not None:
        yield warn(
            part, "A change of it was cut short; everything works with both keys.", "quantum down && quantum rotate key"
        )
    elif present is None:
        yield fail(part, f"It is not in {secrets.describe}.", "quantum init --recovery-key")
    elif secrets.get(AUDIT_KEY, user_account(here)) is None:
        yield fail(part, f"The audit log's key is not in {secrets.describe}.", "quantum init")
    else:
        yield ok(part, f"in {secrets.describe}; `quantum rotate key` replaces it")


def credentials(subject: Subject) -> Iterator[Finding]:
    """Each service has one of its own."""
    part, here, secrets = "service credentials", subject.here, subject.secrets
    if secrets is None:
        yield unseen(part, "keychain")
        return
    held = {name: secrets.get(SERVICE_TOKEN, service_account(here, name)) for name in SERVICES}
    missing = [name for name, text in held.items() if text is None]
    ids = {parse(text).id for text in held.values() if text is not None}
    if missing:
        yield fail(part, f"{', '.join(missing)}: none in {secrets.describe}.", subject.then_restart("quantum init"))
    elif len(ids) < len(SERVICES):
        line = "quantum token rotate --all"
        yield fail(part, "Two services share one.", line if subject.running else f"{subject.up} && {line}")
    else:
        yield ok(part, f"one each for {', '.join(SERVICES)}")


def certificates(subject: Subject) -> Iterator[Finding]:
    """The authority's, and those of the services that listen beyond this machine."""
    from foundation.authority import describe

    part, here, now = "certificates", subject.here, subject.session.clock.now()
    if not here.authority.exists():
        yield fail(part, "This workspace has no authority.", "quantum ca init")
        return
    roles = subject.settings(TcpSettings).roles
    paths = {"authority": here.authority, **{role: here.identity(role) for role in roles}}
    try:
        ends = {role: describe(path.read_bytes()).ends_at for role, path in paths.items() if path.exists()}
    except (QuantumError, ValueError) as error:
        yield fail(
            part,
            f"One cannot be read: {error}.",
            f"rm -r {quoted(here.authority.parent)} && quantum ca init && quantum ca renew",
        )
        return
    expired = [role for role, end in ends.items() if end <= now]
    if "authority" in expired:
        line = f"rm {quoted(here.authority)} && quantum ca init && quantum ca renew"
        yield fail(part, f"The authority's expired on {ends['authority']:%Y-%m-%d}.", subject.then_restart(line))
    elif expired:
        yield fail(part, f"{', '.join(expired)}: expired.", subject.then_restart("quantum ca renew"))
    else:
        yield ok(part, ", ".join(f"{role} until {end:%Y-%m-%d}" for role, end in ends.items()))


def tcp(subject: Subject) -> Iterator[Finding]:
    """Who listens beyond the sockets of this machine, and by what certificate."""
    part, found = "services over TCP", subject.settings(TcpSettings)
    listening = {"coordinator": found.coordinator_listen, "safety": found.safety_listen}
    addresses = {role: address for role, address in listening.items() if address}
    bare = [role for role in addresses if not subject.here.identity(role).exists()]
    if bare:
        yield fail(part, f"{', '.join(bare)}: no certificate, so it does not start.", "quantum ca renew")
    elif addresses:
        said = ", ".join(f"{role} on {address}" for role, address in addresses.items())
        yield ok(part, f"TLS 1.3 with certificates on both sides: {said}")
    else:
        yield ok(part, "sockets only: nobody reaches a service from another machine")


def gateway(subject: Subject) -> Iterator[Finding]:
    """Who can reach the gateway, and how."""
    part, found = "gateway address", subject.settings(TcpSettings)
    if "gateway" not in found.roles:
        yield ok(part, f"{found.gateway_host}: this machine only")
    elif is_wildcard(found.gateway_host) and not found.gateway_names:
        line = 'quantum config set gateway_names "$(hostname -f)" && quantum ca renew'
        said = "It is to listen on all addresses and knows no name of its own: it does not start."
        yield fail(part, said, subject.then_restart(line))
    elif not subject.here.identity("gateway").exists():
        yield fail(part, "Beyond loopback and without a certificate: it does not start.", "quantum ca renew")
    else:
        yield ok(part, f"TLS 1.3 alone on {found.gateway_host}, as {', '.join(found.gateway_hosts)}")


CHECKS = (keychain, database_key, credentials, certificates, tcp, gateway)
