"""The workspace's run-time state: databases, sockets, locks, what a crash or a person left, guards, backups."""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cli.backups.catalogue import entries
from cli.doctor.copies import newest_good
from cli.doctor.findings import Finding, aside, fail, ok, quoted, unseen, warn
from cli.doctor.subject import Subject, rights
from cli.processes.identity import command_of
from cli.processes.running import damaged_records, read_running, require_free_port
from foundation.errors import Conflict, QuantumError
from foundation.secrets import DATABASE_KEY, next_key_account, user_account
from foundation.stop_file import StopFile
from foundation.workspace import SOCKET_PATH_BYTES_MAX, WorkspaceLock

PAGES_SECONDS = 2.0
"""How long the pages of each database are looked at."""
_PLAIN = b"SQLite format 3\0"


@dataclass(frozen=True, slots=True, kw_only=True)
class PortSettings:
    """Where the gateway is to listen."""

    gateway_host: str
    gateway_port: int


def encryption(subject: Subject) -> Iterator[Finding]:
    """Whether both databases are there, and neither can be read without the key."""
    part, here = "database encryption", subject.here
    databases = (here.coordinator_db, here.safety_db)
    missing = [path.name for path in databases if not path.exists()]
    plain = [path for path in databases if path.exists() and _begins(path) == _PLAIN]
    if missing:
        yield fail(part, f"{' and '.join(missing)} is not there.", subject.then_restart("quantum init"))
    for path in plain:
        yield fail(part, f"{path.name} can be read without a key: it is none of ours.", _replace(subject, path))
    if not missing and not plain:
        yield ok(part, f"{' and '.join(path.name for path in databases)}: AES-256, each as a whole")


def _begins(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(len(_PLAIN))


def _replace(subject: Subject, path: Path) -> str:
    """From the newest good backup; without one, the database goes aside and an empty one is made."""
    stop = "quantum down && " if subject.running else ""
    if newest_good(entries(subject.here, subject.session.environ)):
        unknown = " --tokens new" if path == subject.here.safety_db else ""  # it would say which were revoked since
        return f"{stop}quantum restore latest{unknown}"
    folder = path.with_name(f"{path.stem}.aside")
    with_log = (
        f" {quoted(subject.here.audit)}" if path == subject.here.safety_db and subject.here.audit.exists() else ""
    )
    return f"{stop}mkdir -p {quoted(folder)} && mv {quoted(path)}*{with_log} {quoted(folder)} && quantum init"


def databases(subject: Subject) -> Iterator[Finding]:
    """Every page has a seal under the databases' key; one that is flipped, lost or cut shows."""
    from foundation.database_key import DatabaseKeys, key_from
    from foundation.quantities import format_size
    from foundation.sqlite.pages import look_at_pages

    part, here, secrets = "databases", subject.here, subject.secrets
    if secrets is None:
        yield unseen(part, "keychain")
        return
    texts = [secrets.get(DATABASE_KEY, account) for account in (user_account(here), next_key_account(here))]
    keys = DatabaseKeys(tuple(key_from(text) for text in texts if text is not None))
    paths = [path for path in (here.coordinator_db, here.safety_db) if path.exists()]
    if not keys.keys:
        yield unseen(part, "database key")
        return
    if any(_begins(path) == _PLAIN for path in paths) or len(paths) < 2:
        yield unseen(part, "database encryption")
        return
    said, clock = [], subject.session.clock
    for path in paths:
        seen = look_at_pages(path, keys.key_of(path), seconds=PAGES_SECONDS, clock=clock)
        if seen.damaged:
            which = ", ".join(map(str, seen.damaged[:5]))
            found = f"{path.name}: {len(seen.damaged)} of {seen.pages} pages are damaged ({which})."
            yield fail(part, found, _replace(subject, path))
        share = "" if seen.looked_at >= seen.pages else f", {seen.looked_at * 100 // seen.pages} % of it looked at"
        said.append(f"{path.name}, {format_size(path.stat().st_size)}{share}")
    yield ok(part, f"every page is whole: {'; '.join(said)}")


def sockets(subject: Subject) -> Iterator[Finding]:
    """The folder of the sockets, and what lies in it that nobody answers to."""
    part, folder = "sockets", subject.here.sockets
    if not folder.is_dir():
        yield from _to_be_made(part, folder)
        return
    names = sorted(path for path in folder.iterdir() if path.suffix == ".sock")
    if rights(folder) & 0o077:
        found = f"{folder} can be entered by others (mode {rights(folder):o})."
        yield fail(part, found, f"chmod 700 {quoted(folder)}")
    elif folder.stat().st_uid != os.geteuid():
        yield fail(part, f"{folder} belongs to another user.", "unset XDG_RUNTIME_DIR")
    elif subject.running is None and (stale := [path for path in names if not _answers(path)]):
        said = ", ".join(path.name for path in stale)
        yield warn(part, f"Nobody answers to {said} in {folder}.", f"rm -f {' '.join(map(quoted, stale))}")
    else:
        yield ok(part, f"{folder}, for you alone")


def _to_be_made(part: str, folder: Path) -> Iterator[Finding]:
    """The next start makes it, if it can."""
    above = next(path for path in folder.parents if path.exists())
    moved = "unset XDG_RUNTIME_DIR" if os.environ.get("XDG_RUNTIME_DIR") else f"mkdir -p -m 700 {quoted(folder)}"
    virtual = Path("/proc") in (above, *above.parents)  # where not even root makes a folder
    if not above.is_dir() or not os.access(above, os.W_OK | os.X_OK) or virtual:
        yield fail(part, f"{folder} cannot be made: {above} cannot be written.", moved)
    elif len(os.fsencode(folder / "coordinator.sock")) > SOCKET_PATH_BYTES_MAX:
        yield fail(part, f"{folder} is too long a path for a socket.", moved)
    else:
        yield ok(part, f"{folder}, for you alone (made at the next start)")


def _answers(path: Path) -> bool:
    if not stat.S_ISSOCK(path.stat().st_mode):
        return False
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(2)
        try:
            probe.connect(str(path))
        except OSError:
            return False
        return True


def left_over(subject: Subject) -> Iterator[Finding]:
    """What says that something runs while nothing does, or is held by a process that is not ours."""
    part, here = "left over", subject.here
    try:
        running = read_running(here)
    except QuantumError as error:
        yield fail(part, error.message, aside(here.runtime))
        return
    damaged = damaged_records(here)
    for path in damaged:
        found = f"{path}, in which a service says which process it is, has been damaged: it counts as not running."
        # Whoever runs writes it anew at its next start.
        again = " && quantum service restart" if subject.installed else ""
        yield fail(part, found, f"rm -f {quoted(path)}{again}")
    holder = WorkspaceLock(here.lock_file).holder()
    if running is None and holder is not None and not damaged:
        found = f"{here.lock_file} is held by process {holder} ({command_of(holder)}), and nothing runs."
        yield fail(part, found, f"kill {holder}")
    elif running is None and here.runtime.exists():
        yield warn(part, f"{here.runtime} names processes that have ended.", f"rm -f {quoted(here.runtime)}")
    elif running is not None and running.supervisor is not None and "up" not in running.alive:
        yield fail(part, "The supervisor was killed and left its processes behind.", subject.restart)
    elif not damaged:
        yield ok(part, "nothing of an earlier start")


def port(subject: Subject) -> Iterator[Finding]:
    """Whether the gateway could listen, while it does not."""
    part, found = "port", subject.settings(PortSettings)
    if subject.running is not None:
        yield ok(part, f"{subject.running.gateway.port}, the gateway's")
        return
    try:
        require_free_port(found.gateway_host, found.gateway_port)
    except Conflict as error:
        free = _free_port(found.gateway_host, found.gateway_port)
        set_it = f"export QUANTUM_GATEWAY_PORT={free}"
        if not subject.session.environ.get("QUANTUM_GATEWAY_PORT"):
            set_it = f"quantum config set gateway_port {free}"
        yield fail(part, error.message, set_it)
    except QuantumError as error:
        yield fail(part, error.message, "quantum config unset gateway_host && quantum config unset gateway_port")
    else:
        yield ok(part, f"{found.gateway_port} is free" if found.gateway_port else "a free one is taken at each start")


def _free_port(host: str, taken: int) -> int:
    for number in (*range(taken + 1, min(taken + 100, 65_536)), 0):
        try:
            return require_free_port(host, number) if number else 0
        except QuantumError:
            continue
    return 0


def stop(subject: Subject) -> Iterator[Finding]:
    """Whether an order to stop stands, and whether one could be given."""
    part, here = "emergency stop", subject.here
    order = StopFile(here.stop_file).read()
    if here.isolating.exists():
        yield fail(part, "An isolation was cut short: what ran may run, and tokens may be good.", "quantum isolate")
    elif order:
        resume = "quantum resume" if subject.running else f"{subject.up} && quantum resume"
        yield warn(part, f"in force: {order.who} stopped everything ({order.why})", resume)
    elif os.access(here.state, os.W_OK | os.X_OK):
        yield ok(part, "none is in force; `quantum stop --all` needs no service")
    else:
        yield fail(part, f"{here.stop_file} cannot be written.", f"chmod u+rwx {quoted(here.state)}")


def merge_guard(subject: Subject) -> Iterator[Finding]:
    """Whether git comes to the hooks of each repository."""
    from cli.hooks.standing import State, standing
    from cli.hooks.targets import targets
    from cli.hooks.token import token_id

    part, here = "merge guard", subject.here
    try:
        found = [standing(target, here) for target in targets(subject.session, None)]
    except QuantumError:
        yield unseen(part, "projects")  # the file that names them cannot be read
        return
    guarded = [one for one in found if one.state is not State.ABSENT]
    wrong = [fail(part, f"{one.folder}: {one.reason}", one.remedy) for one in guarded if one.state is State.BYPASSED]
    if guarded and not token_id(here):
        start = "" if subject.running else f"{subject.up} && "
        wrong.append(fail(part, "The hooks have no token.", f"{start}quantum hooks install"))
    absent = [one for one in found if one.state is State.ABSENT and one.folder.is_dir()]
    wrong += [warn(part, f"{one.folder}: {one.reason}", one.remedy) for one in absent]
    yield from wrong
    if not wrong:
        names = ", ".join(str(one.folder) for one in guarded)
        yield ok(part, f"a merge into {names} is checked" if guarded else "nothing of this workspace is in git")


def half_made(subject: Subject) -> Iterator[Finding]:
    """What a crash left of a move of a branch."""
    from foundation.repositories import read_repositories
    from merge_guard.intent import read_intents
    from merge_guard.repository import open_repository

    part, left = "merges", []
    for one in read_repositories(subject.here.repositories_file).by_id.values():
        try:
            left += read_intents(open_repository(one.folder))
        except QuantumError:
            continue  # it has gone, which the line of the guard says
    for intent in left:
        found = f"The {intent.what} of {intent.branch or 'HEAD'} in {intent.top} was broken off."
        yield fail(part, found, "quantum merge doctor")
    if not left:
        yield ok(part, "none is half-made")


CHECKS = (encryption, databases, sockets, left_over, port, stop, merge_guard, half_made)
