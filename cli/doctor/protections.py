"""The protections that can be seen from this machine's files and settings, with nothing running."""

from __future__ import annotations

import os
import shlex
import stat
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from cli.authority import TcpSettings
from cli.doctor.findings import Protection, broken, each, off, on, untold
from cli.hooks.standing import State, standing
from cli.hooks.targets import targets
from cli.hooks.token import token_id
from cli.session import Session
from foundation.addresses import is_wildcard
from foundation.secrets import (
    DATABASE_KEY,
    SERVICE_TOKEN,
    USER_TOKEN,
    next_key_account,
    service_account,
    user_account,
)
from foundation.settings import load
from foundation.tokens import parse
from foundation.workspace import StopFile

SERVICES = ("coordinator", "safety", "runner", "gateway")
RESTART = "quantum down && quantum up --detach"
_PLAIN = b"SQLite format 3\0"


def protections(session: Session) -> Iterator[Protection]:
    """Each of them in turn; nothing of them in a folder that was never initialised."""
    if not session.workspace.state.is_dir():
        yield off("everything", f"{session.workspace.root} has not been initialised.", "quantum init")
        return
    yield from each([(what, partial(check, session)) for what, check in ALL.items()], untold)


def _encryption(session: Session) -> Iterator[Protection]:
    what, workspace = "database encryption", session.workspace
    databases = (workspace.coordinator_db, workspace.safety_db)
    missing = [path.name for path in databases if not path.exists()]
    if missing:
        yield broken(what, f"{' and '.join(missing)} is not there.", "quantum init")
        return
    plain = [path for path in databases if _begins(path) == _PLAIN]
    for path in plain:
        move = f"mv {shlex.quote(str(path))} {shlex.quote(f'{path}.plain')}"
        yield broken(what, f"{path.name} can be read without a key: it is none of ours.", f"{move} && quantum init")
    if not plain:
        names = " and ".join(path.name for path in databases)
        yield on(what, f"{names}: AES-256, each as a whole")


def _begins(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(len(_PLAIN))


def _key(session: Session) -> Iterator[Protection]:
    what, secrets = "database key", session.secrets
    accounts = (user_account(session.workspace), next_key_account(session.workspace))
    if any(secrets.get(DATABASE_KEY, account) for account in accounts):
        yield on(what, f"in {secrets.describe}; `quantum rotate key` replaces it")
    else:
        yield broken(what, f"It is not in {secrets.describe}.", "quantum init --recovery-key")


def _keychain(session: Session) -> Iterator[Protection]:
    what, described = "keychain", session.secrets.describe
    if session.secrets.get(USER_TOKEN, user_account(session.workspace)) is None:
        yield broken(what, f"Your token is not in {described}.", "quantum init")
    elif described.startswith("file"):
        yield off(
            what,
            f"{described}: no keychain of the operating system is used.",
            "Secrets do not move by themselves. In a new workspace: QUANTUM_KEYCHAIN=os quantum init",
        )
    else:
        yield on(what, described)


def _credentials(session: Session) -> Iterator[Protection]:
    what, workspace = "service credentials", session.workspace
    held = {name: session.secrets.get(SERVICE_TOKEN, service_account(workspace, name)) for name in SERVICES}
    missing = [name for name, text in held.items() if text is None]
    ids = {parse(text).id for text in held.values() if text is not None}
    if missing:
        yield broken(what, f"{', '.join(missing)}: none in {session.secrets.describe}.", "quantum init")
    elif len(ids) < len(SERVICES):
        yield broken(what, "Two services share one.", "quantum token rotate --all")
    else:
        yield on(what, f"one each for {', '.join(SERVICES)}")


def _files(session: Session) -> Iterator[Protection]:
    what, workspace = "file rights", session.workspace
    wanted = ((workspace.state, 0o700), (workspace.coordinator_db, 0o600), (workspace.safety_db, 0o600))
    exposed = [(path, mode) for path, mode in wanted if path.exists() and _rights(path) & 0o077]
    for path, mode in exposed:
        found = f"{path} can be reached by others (mode {_rights(path):o})."
        yield broken(what, found, f"chmod {mode:o} {shlex.quote(str(path))}")
    if not exposed:
        yield on(what, f"{workspace.state.name}/ and the databases are for you alone")


def _sockets(session: Session) -> Iterator[Protection]:
    what, folder = "sockets", session.workspace.sockets
    session.workspace.socket("coordinator")
    if folder.is_dir() and _rights(folder) & 0o077:
        found = f"{folder} can be entered by others (mode {_rights(folder):o})."
        yield broken(what, found, f"chmod 700 {shlex.quote(str(folder))}")
    else:
        yield on(what, f"{folder}, for you alone" + ("" if folder.is_dir() else " (made at the next start)"))


def _rights(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def _stop(session: Session) -> Iterator[Protection]:
    what, workspace = "emergency stop", session.workspace
    order = StopFile(workspace.stop_file).read()
    if order:
        yield on(what, f"in force: {order.who} stopped everything ({order.why}); `quantum resume` ends it")
    elif os.access(workspace.state, os.W_OK | os.X_OK):
        yield on(what, "`quantum stop --all` needs no service")
    else:
        line = f"chmod u+rwx {shlex.quote(str(workspace.state))}"
        yield broken(what, f"{workspace.stop_file} cannot be written.", line)


def _tcp(session: Session) -> Iterator[Protection]:
    what, settings = "services over TCP", load(TcpSettings, environ=session.environ, workspace=session.workspace)
    listening = {"coordinator": settings.coordinator_listen, "safety": settings.safety_listen}
    addresses = {role: address for role, address in listening.items() if address}
    if not addresses:
        yield on(what, "sockets only: nobody reaches a service from another machine")
        return
    bare = [role for role in addresses if not session.workspace.identity(role).exists()]
    if bare:
        yield broken(what, f"{', '.join(bare)}: no certificate, so it does not start.", "quantum ca renew")
        return
    said = ", ".join(f"{role} on {address}" for role, address in addresses.items())
    yield on(what, f"TLS 1.3 with certificates on both sides: {said}")


def _gateway(session: Session) -> Iterator[Protection]:
    what, settings = "gateway", load(TcpSettings, environ=session.environ, workspace=session.workspace)
    if "gateway" not in settings.roles:
        yield on(what, f"{settings.gateway_host}: this machine only")
    elif is_wildcard(settings.gateway_host) and not settings.gateway_names:
        line = 'Set "gateway_names", like "quantum.example.org", in config/agent_config.json.'
        yield broken(what, "It is to listen on all addresses and knows no name of its own: it does not start.", line)
    elif not session.workspace.identity("gateway").exists():
        yield broken(what, "Beyond loopback and without a certificate: it does not start.", "quantum ca renew")
    else:
        yield on(what, f"TLS 1.3 alone on {settings.gateway_host}, as {', '.join(settings.gateway_hosts)}")


def _certificates(session: Session) -> Iterator[Protection]:
    from foundation.authority import describe

    what, workspace, now = "certificates", session.workspace, session.clock.now()
    if not workspace.authority.exists():
        yield broken(what, "This workspace has no authority.", "quantum ca init")
        return
    roles = load(TcpSettings, environ=session.environ, workspace=workspace).roles
    paths = {"authority": workspace.authority, **{role: workspace.identity(role) for role in roles}}
    ends = {role: describe(path.read_bytes()).ends_at for role, path in paths.items() if path.exists()}
    expired = [role for role, end in ends.items() if end <= now]
    if "authority" in expired:
        line = f"rm {shlex.quote(str(workspace.authority))} && quantum ca init && quantum ca renew && {RESTART}"
        yield broken(what, f"The authority's expired on {ends['authority']:%Y-%m-%d}.", line)
    elif expired:
        yield broken(what, f"{', '.join(expired)}: expired.", f"quantum ca renew && {RESTART}")
    else:
        yield on(what, ", ".join(f"{role} until {end:%Y-%m-%d}" for role, end in ends.items()))


def _alert_config(session: Session) -> Iterator[Protection]:
    what, path = "alert channels", session.workspace.alert_config
    if not path.exists():
        yield off(what, "Alerts go to logs/system.log alone.", _alert_line(path))
        return
    import yaml

    try:
        document = yaml.safe_load(path.read_bytes())
    except yaml.YAMLError as error:
        yield broken(what, f"{path} cannot be read: {str(error).splitlines()[0]}.", f"Correct it, then: {RESTART}")
        return
    given = document.get("channels") if isinstance(document, dict) else None
    if not isinstance(given, dict):
        yield broken(what, f"{path} names no channels.", _alert_line(path))
    elif not set(given) - {"log"}:
        yield off(what, "Alerts go to logs/system.log alone.", _alert_line(path))
    else:
        yield on(what, f"{', '.join(given)}; `quantum alerts test` tries each")


def _alert_line(path: Path) -> str:
    example = """'{"channels": {"desktop": {"level": "warning"}}}'"""
    return f"echo {example} > {shlex.quote(str(path))} && {RESTART}  # docs/alerts.md has webhooks and mail"


def _merge_guard(session: Session) -> Iterator[Protection]:
    what, workspace = "merge guard", session.workspace
    found = [standing(target, workspace) for target in targets(session, None)]
    guarded = [one for one in found if one.state is not State.ABSENT]
    for one in guarded:
        if one.state is State.BYPASSED:
            yield broken(what, f"{one.folder}: {one.reason}", one.remedy)
    if guarded and not token_id(workspace):
        yield broken(what, "The hooks have no token.", "quantum up --detach && quantum hooks install")
    for one in found:
        if one.state is State.ABSENT:
            yield off(what, f"{one.folder}: {one.reason}", one.remedy)
    if guarded and all(one.state is State.GUARDED for one in found):
        yield on(what, f"a merge into {', '.join(str(one.folder) for one in guarded)} is checked")
    elif not found:
        yield off(what, "Neither the workspace nor a project is in a git repository.", "quantum hooks install FOLDER")


ALL: dict[str, Callable[[Session], Iterator[Protection]]] = {
    "database encryption": _encryption,
    "database key": _key,
    "keychain": _keychain,
    "service credentials": _credentials,
    "file rights": _files,
    "sockets": _sockets,
    "emergency stop": _stop,
    "services over TCP": _tcp,
    "gateway": _gateway,
    "certificates": _certificates,
    "alert channels": _alert_config,
    "merge guard": _merge_guard,
}
"""By what each is called."""
