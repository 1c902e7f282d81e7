"""`quantum doctor`: each part as it should be, and as it should not, with the line that mends it."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from cli.__main__ import run
from cli.authority import make_authority
from cli.doctor import standing
from cli.doctor.examining import PARTS, examine
from cli.doctor.findings import Finding, Mark, worst
from cli.doctor.subject import Subject
from cli.first_start import SERVICE_SCOPES
from clients.safety_alerts_values import AlertList, ChannelView
from clients.safety_audit_values import AuditFault, AuditVerdict
from clients.safety_spend_values import AccountView, CapView, PriceList, SpendView
from clients.safety_values import TokenView
from foundation.authority import Authority
from foundation.clock import ManualClock, SystemClock
from foundation.errors import Unavailable
from foundation.files import atomic_write
from foundation.ids import random_bytes
from foundation.secrets import (
    AUDIT_KEY,
    AUTHORITY_KEY,
    DATABASE_KEY,
    SERVICE_TOKEN,
    USER_TOKEN,
    open_secret_store,
    service_account,
    user_account,
)
from foundation.sqlite.connection import Location, connect
from foundation.tokens import mint, parse
from foundation.workspace import Workspace
from tests.cli.conftest import Printed, Quantum
from tests.cli.fakes import PlayedConnection, PlayedCoordinator, PlayedSafety, PlayedSession

YEAR = timedelta(days=365)


class Place(PlayedSession):
    """A workspace in which everything is as `quantum init` leaves it, but for the databases' content."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.folder = folder
        self.real = SystemClock()
        self.clock = ManualClock(self.real.now())  # files carry the machine's time
        workspace = self.workspace
        for path in (workspace.agents, workspace.logs, workspace.state / "initialised"):
            path.mkdir()
        (folder / ".gitignore").write_text(".quantum/\nlogs/\nagent_status.json\ntask_queue.json\n")
        store, account = open_secret_store(workspace, {"QUANTUM_KEYCHAIN": "file"}), user_account(workspace)
        key = random_bytes(32)
        store.set(DATABASE_KEY, account, key.hex())
        store.set(AUDIT_KEY, account, random_bytes(32).hex())
        for path in (workspace.coordinator_db, workspace.safety_db):
            with connect(Location(path=path, key=key)) as connection:
                connection.execute("create table tasks (id)")
            connection.close()
        store.set(USER_TOKEN, account, mint(random_bytes).text)
        for name in SERVICE_SCOPES:
            store.set(SERVICE_TOKEN, service_account(workspace, name), mint(random_bytes).text)
        make_authority(workspace, store, now=self.clock.now())

    def configure(self, **settings: object) -> None:
        """Writes config/agent_config.json."""
        self.workspace.config_file.write_text(json.dumps(settings))

    def identify(self, role: str, *, age: timedelta = timedelta(0)) -> None:
        """Issues a service its certificate, some time ago."""
        key = self.secrets.get(AUTHORITY_KEY, user_account(self.workspace))
        assert key is not None
        authority = Authority(key.encode(), self.workspace.authority.read_bytes())
        pem = authority.issue(self.workspace.key12, role, "local", now=self.clock.now() - age)
        atomic_write(self.workspace.identity(role), pem, 0o600)

    def alert(self, **channels: object) -> None:
        """Writes config/alert_config.json."""
        self.workspace.alert_config.write_text(json.dumps({"channels": channels}))

    def use_keychain(self) -> None:
        """Has an operating system's keychain in place of the file."""
        self.__dict__["secrets"] = _Keychain(self.secrets)


class _Keychain:
    """The same secrets under another name."""

    describe = "Secret Service"

    def __init__(self, inner: Any) -> None:
        self.get, self.set, self.delete = inner.get, inner.set, inner.delete


@pytest.fixture
def place(folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    runtime = tmp_path_factory.mktemp("r")
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(runtime))
    yield Place(folder)


def found(place: Place) -> dict[str, Finding]:
    """By part; where several lines are about one, the worst."""
    return worst(examine(place))


CHOSEN = {"alert channels": "WARN", "backups": "WARN", "services": "WARN"}
"""What is not all right in a new workspace in which nothing runs."""


def test_as_init_leaves_it_all_is_well_but_what_a_person_chooses(place: Place) -> None:
    every = found(place)
    assert set(every) == {part for parts in PARTS.values() for part in parts}
    assert {part: one.mark for part, one in every.items() if one.mark not in (Mark.OK, Mark.UNSEEN)} == CHOSEN
    assert {one.waits_for for one in every.values() if one.mark is Mark.UNSEEN} == {"services"}


def remove(path: Callable[[Workspace], Path]) -> Callable[[Place], object]:
    return lambda place: path(place.workspace).unlink()


def share_a_credential(place: Place) -> None:
    store, workspace = place.secrets, place.workspace
    text = store.get(SERVICE_TOKEN, service_account(workspace, "safety"))
    assert text is not None
    store.set(SERVICE_TOKEN, service_account(workspace, "gateway"), text)


def open_sockets(place: Place) -> None:
    place.workspace.make_sockets().chmod(0o755)


def listen(place: Place) -> None:
    place.configure(safety_listen="192.0.2.7:7001")


def listen_expired(place: Place) -> None:
    listen(place)
    place.identify("safety", age=timedelta(days=8))


def old_authority(place: Place) -> None:
    made = Authority.make(place.workspace.key12, now=place.clock.now() - 6 * YEAR)
    atomic_write(place.workspace.authority, made.certificate, 0o644)


OFF: list[tuple[str, str, Callable[[Place], object], str]] = [
    (
        "database key",
        "lost",
        lambda it: it.secrets.delete(DATABASE_KEY, user_account(it.workspace)),
        "quantum init --recovery-key",
    ),
    ("database key", "audit", lambda it: it.secrets.delete(AUDIT_KEY, user_account(it.workspace)), "quantum init"),
    ("keychain", "no token", lambda it: it.secrets.delete(USER_TOKEN, user_account(it.workspace)), "quantum init"),
    ("keychain", "strange", lambda it: it.workspace.keychain_record.write_text("?"), "rm "),
    ("service credentials", "shared", share_a_credential, "quantum token rotate --all"),
    ("services over TCP", "bare", listen, "quantum ca renew"),
    ("gateway address", "bare", lambda it: it.configure(gateway_host="192.0.2.7"), "quantum ca renew"),
    (
        "gateway address",
        "nameless",
        lambda it: it.configure(gateway_host="0.0.0.0"),
        "quantum config set gateway_names",
    ),
    ("certificates", "no authority", remove(lambda it: it.authority), "quantum ca init"),
    ("certificates", "old authority", old_authority, "quantum ca init"),
    ("certificates", "rubbish", lambda it: it.workspace.authority.write_text("?"), "quantum ca init"),
    ("certificates", "expired", listen_expired, "quantum ca renew"),
    ("alert channels", "no channels", lambda it: it.workspace.alert_config.write_text("{}"), "mv "),
    ("emergency stop", "cut short", lambda it: (it.workspace.state / "isolating").touch(), "quantum isolate"),
    ("workspace", "cut short", lambda it: (it.workspace.state / "initialised").rmdir(), "quantum init"),
]


@pytest.mark.parametrize(("part", "how", "take", "line"), OFF, ids=[f"{part}: {how}" for part, how, _, _ in OFF])
def test_wrong(place: Place, part: str, how: str, take: Callable[[Place], object], line: str) -> None:
    take(place)
    one = found(place)[part]
    assert one.mark is Mark.FAIL, one
    assert line in one.cure


def test_a_folder_that_cannot_be_written_has_no_emergency_stop(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.access", lambda path, mode: path != place.workspace.state)  # root may always
    one = found(place)["emergency stop"]
    assert (one.mark, one.cure) == (Mark.FAIL, f"chmod u+rwx {shlex.quote(str(place.workspace.state))}")


def expose(place: Place) -> None:
    place.configure(gateway_host="0.0.0.0", gateway_names="quantum.example.org", safety_listen="192.0.2.7:7001")
    place.identify("gateway")
    place.identify("safety")


@pytest.mark.parametrize(
    ("part", "give", "said"),
    [
        ("keychain", lambda it: it.use_keychain(), "Secret Service"),
        ("services over TCP", expose, "safety on 192.0.2.7:7001"),
        ("gateway address", expose, "quantum.example.org"),
        ("certificates", expose, "safety until 20"),
        ("alert channels", lambda it: it.alert(desktop={}, mail={}), "desktop, mail"),
    ],
)
def test_right(place: Place, part: str, give: Callable[[Place], object], said: str) -> None:
    give(place)
    one = found(place)[part]
    assert one.mark is Mark.OK, one
    assert said in one.found


def test_it_changes_nothing(place: Place) -> None:
    place.workspace.keychain_record.unlink()  # whoever opens the secrets then writes it
    place.workspace.runtime.write_text("{}")
    before = everything_in(place.folder)
    found(place)
    assert everything_in(place.folder) == before


def everything_in(folder: Path) -> dict[str, tuple[object, ...]]:
    """Every name with its kind, rights, owner, time and content."""
    found = {path: path.lstat() for path in [folder, *sorted(folder.rglob("*"))]}
    return {
        str(path): (state.st_mode, state.st_uid, state.st_mtime_ns, path.read_bytes() if path.is_file() else b"")
        for path, state in found.items()
    }


def test_what_hangs_keeps_nobody_waiting(place: Place) -> None:
    """A pipe that nobody writes to, as a drive that has gone: whoever opens it waits for ever."""
    os.mkfifo(place.workspace.projects_file)
    started = place.real.boottime()
    every = worst(examine(place, within=timedelta(seconds=1)))
    assert place.real.boottime() - started < 4
    slow = {part for part, one in every.items() if "could not be looked at within 1 s" in one.found}
    assert slow == {"projects", "merge guard"}, "both read the file"
    assert every["projects"].cure == "quantum doctor --within 60s"
    # Whoever waits there is let go, so that no thread of ours is left.
    for _ in slow:
        os.close(os.open(place.workspace.projects_file, os.O_WRONLY))


def test_a_check_that_fails_by_itself_hides_no_other(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(path: Path) -> bytes:
        raise RuntimeError("planted")

    monkeypatch.setattr("cli.doctor.state._begins", broken)
    every = found(place)
    assert {part for part, one in every.items() if "planted" in one.found} == {"database encryption", "databases"}
    assert every["file rights"].mark is Mark.OK


def test_outside_of_a_workspace_the_machine_is_looked_at(tmp_path: Path) -> None:
    every = found(PlayedSession(tmp_path))  # type: ignore[arg-type]  # it is any session
    assert every["python"].mark is Mark.OK
    assert (every["workspace"].mark, every["workspace"].cure) == (Mark.FAIL, f"quantum init {tmp_path}")
    assert {one.waits_for for one in every.values() if one.mark is Mark.UNSEEN} == {"workspace"}


# -- what safety says while it runs

ACCOUNT = AccountView(
    scope="fleet",
    per="day",
    window="2026-01-01",
    spent_micros=0,
    reserved_micros=0,
    cap=CapView(scope="fleet", per="day", micros=50_000_000, origin="default"),
    opens_at=None,
)
TOKEN = TokenView(
    id="",
    name="user",
    scopes=frozenset({"read"}),
    created_at=None,
    expires_at=None,
    last_used_at=None,
    revoked_at=None,
)


@dataclass
class Safety(PlayedSafety):
    """Safety with everything on."""

    token: TokenView = TOKEN
    alerts: Any = None
    verdict: AuditVerdict = field(default_factory=lambda: AuditVerdict(fault=None, records=6, head="", unconfirmed=0))
    account: AccountView = ACCOUNT
    price_fault: str = ""
    channels: tuple[ChannelView, ...] = (ChannelView(name="log", fault=""),)

    async def list_tokens(self) -> tuple[TokenView, ...]:
        return (self.token,)


class Parts:
    """The clients of its parts."""

    def __init__(self, safety: Safety) -> None:
        self._safety = safety

    async def verify(self, *, deadline: timedelta) -> AuditVerdict:
        return self._safety.verdict

    async def prices(self) -> PriceList:
        return PriceList(prices=(), fault=self._safety.price_fault)

    async def get(self) -> SpendView:
        return SpendView(accounts=(self._safety.account,), open=(), paused=(), stopped_by="")


@dataclass
class Listing:
    """One that lists."""

    what: Any

    async def list(self) -> Any:
        return self.what


def asked(place: Place, safety: Safety) -> dict[str, Finding]:
    safety.token = replace(safety.token, id=parse(place.token).id)
    safety.audit = safety.spend = Parts(safety)
    safety.budgets, safety.alerts = Listing(()), Listing(AlertList(alerts=(), channels=safety.channels))
    played: Any = PlayedConnection(PlayedCoordinator(), safety)
    subject = Subject(place)
    subject.connected, subject.serving = played, {"safety": True, "coordinator": True}
    return worst(one for check in standing.CHECKS for one in _checked(check, subject))


def _checked(check: Any, subject: Subject) -> list[Finding]:
    return list(check(subject))


@pytest.fixture
def safety(place: Place) -> Safety:
    place.workspace.audit.mkdir()
    (place.workspace.audit / "checkpoint.json").write_text("{}")
    return Safety(token=replace(TOKEN, created_at=place.clock.now()))


def test_what_safety_keeps_is_on(place: Place, safety: Safety) -> None:
    every = asked(place, safety)
    assert len(every) == len(standing.CHECKS)
    assert not [one for one in every.values() if one.mark is not Mark.OK]


def grow_old(place: Place, safety: Safety) -> None:
    safety.token = replace(safety.token, created_at=place.clock.now() - timedelta(days=3))


def change_the_log(place: Place, safety: Safety) -> None:
    fault = AuditFault(number=3, kind="edited", sentence="Record 3 was edited.")
    safety.verdict = replace(safety.verdict, fault=fault)


def lose_the_checkpoint(place: Place, safety: Safety) -> None:
    (place.workspace.audit / "checkpoint.json").unlink()


def hold_closed(place: Place, safety: Safety) -> None:
    safety.put("agent:build", "forced_closed")


def uncap(place: Place, safety: Safety) -> None:
    safety.account = replace(ACCOUNT, cap=None)


def misprice(place: Place, safety: Safety) -> None:
    safety.price_fault = "config/prices.toml cannot be read."


def silence(place: Place, safety: Safety) -> None:
    safety.channels = (ChannelView(name="mail", fault="It does not answer."),)


def fall_open(place: Place, safety: Safety) -> None:
    safety.put("agent:build", "open", reason="3 in a row failed")


def guard(place: Place, safety: Safety) -> None:
    safety.mode = "GUARDED"


@pytest.mark.parametrize(
    ("part", "take", "line", "mark"),
    [
        ("token rotation", grow_old, "quantum token rotate", Mark.FAIL),
        ("audit log", change_the_log, "quantum audit --verify", Mark.FAIL),
        ("audit log", lose_the_checkpoint, "quantum down && quantum up", Mark.FAIL),
        ("circuit breakers", hold_closed, "quantum breaker reset agent:build", Mark.WARN),
        ("circuit breakers", fall_open, "quantum recover --agent build", Mark.WARN),
        ("mode", guard, "quantum resume", Mark.WARN),
        ("spend caps", uncap, "quantum spend cap fleet", Mark.WARN),
        ("spend caps", misprice, "config/prices.toml", Mark.FAIL),
        ("alerts", silence, "quantum alerts test", Mark.FAIL),
    ],
)
def test_wrong_while_it_runs(
    place: Place, safety: Safety, part: str, take: Callable[[Place, Safety], None], line: str, mark: Mark
) -> None:
    take(place, safety)
    one = asked(place, safety)[part]
    assert one.mark is mark
    assert line in one.cure


@pytest.fixture
def quantum(place: Place, capsys: pytest.CaptureFixture[str]) -> Quantum:
    """Types a command in that place."""

    def type_it(*words: str) -> Printed:
        code = run(list(words), place)
        printed = capsys.readouterr()
        return Printed(code, printed.out, printed.err)

    return type_it


def test_the_page_and_the_document(quantum: Quantum, place: Place) -> None:
    place.workspace.safety_db.chmod(0o644)
    printed = quantum("doctor")
    lines = printed.out.splitlines()
    at = next(number for number, line in enumerate(lines) if line.startswith("FAIL  file rights "))
    assert lines[at + 1].strip() == f"→ chmod 600 {place.workspace.safety_db}"
    assert lines[-1].endswith(" lines: 1 FAIL, 3 WARN.")
    assert printed.code == 1
    document = quantum("doctor", "--json").document
    assert (document["ok"], document["failed"], document["warned"]) == (False, 1, 3)
    place.workspace.safety_db.chmod(0o600)
    assert quantum("doctor").code == 0, "a WARN is no failure"


def test_every_cure_is_one_line_that_a_shell_understands(place: Place, safety: Safety) -> None:
    place.workspace.config_file.write_text('{"a b": 3, "cpu_limit": 800}')
    place.workspace.projects_file.write_text('[projects]\nGone = "/no where"\n')
    place.workspace.safety_db.write_bytes(b"SQLite format 3\0" * 400)
    place.workspace.authority.unlink()
    every = [*examine(place), *asked(place, safety).values()]
    cures = [one.cure for one in every if one.mark in (Mark.WARN, Mark.FAIL)]
    assert len(cures) > 6
    for cure in cures:
        assert cure
        assert "\n" not in cure
        subprocess.run(["bash", "-n", "-c", cure], check=True, timeout=10)


def test_a_locked_keychain_is_its_own_line_alone(place: Place) -> None:
    class Locked:
        describe = "Secret Service"

        def get(self, service: str, account: str) -> str:
            raise Unavailable("keychain_locked", "The keychain is locked.", remedy="Unlock it.")

    place.__dict__["secrets"] = Locked()
    every = found(place)
    assert (every["keychain"].mark, every["keychain"].found) == (Mark.FAIL, "The keychain is locked.")
    assert every["database key"].waits_for == "keychain"
    assert {part for part, one in every.items() if one.mark is Mark.FAIL} == {"keychain"}
