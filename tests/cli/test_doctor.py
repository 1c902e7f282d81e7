"""`quantum doctor`: each protection with it on, and with it off and the line that turns it on."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from cli.authority import make_authority
from cli.doctor import protections as local
from cli.doctor import standing
from cli.doctor.findings import Protection
from cli.first_start import SERVICE_SCOPES
from clients.safety_alerts_values import AlertList, ChannelView
from clients.safety_audit_values import AuditFault, AuditVerdict
from clients.safety_spend_values import AccountView, CapView, PriceList, SpendView
from clients.safety_values import TokenView
from foundation.authority import Authority
from foundation.errors import Unavailable
from foundation.files import atomic_write
from foundation.ids import random_bytes
from foundation.secrets import (
    AUTHORITY_KEY,
    DATABASE_KEY,
    SERVICE_TOKEN,
    USER_TOKEN,
    open_secret_store,
    service_account,
    user_account,
)
from foundation.tokens import mint, parse
from foundation.workspace import StopFile, Workspace
from tests.cli.conftest import Quantum
from tests.cli.fakes import NOW, PlayedConnection, PlayedCoordinator, PlayedSafety, PlayedSession

YEAR = timedelta(days=365)


class Place(PlayedSession):
    """A workspace in which everything is as `quantum init` leaves it, but for the databases' content."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.folder = folder
        workspace = self.workspace
        for path in (workspace.coordinator_db, workspace.safety_db):
            atomic_write(path, random_bytes(4096), 0o600)
        store, account = open_secret_store(workspace, {"QUANTUM_KEYCHAIN": "file"}), user_account(workspace)
        store.set(DATABASE_KEY, account, random_bytes(32).hex())
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


def found(protections: Iterator[Protection]) -> dict[str, Protection]:
    """By what each is called; where several lines are about one, one that is off."""
    return {one.what: one for one in sorted(protections, key=lambda one: not one.on)}


def test_as_init_leaves_it_all_is_on_but_what_a_person_chooses(place: Place) -> None:
    every = found(local.protections(place))
    assert set(every) == set(local.ALL)
    assert {what for what, one in every.items() if not one.on} == {"keychain", "alert channels", "merge guard"}
    assert not [one for one in every.values() if one.wrong]


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
    ("database encryption", "plain", lambda it: it.workspace.safety_db.write_bytes(b"SQLite format 3\0" * 9), "mv "),
    ("database encryption", "gone", remove(lambda it: it.coordinator_db), "quantum init"),
    (
        "database key",
        "lost",
        lambda it: it.secrets.delete(DATABASE_KEY, user_account(it.workspace)),
        "quantum init --recovery-key",
    ),
    ("keychain", "no token", lambda it: it.secrets.delete(USER_TOKEN, user_account(it.workspace)), "quantum init"),
    ("keychain", "file", lambda it: None, "QUANTUM_KEYCHAIN=os quantum init"),
    (
        "service credentials",
        "one missing",
        lambda it: it.secrets.delete(SERVICE_TOKEN, service_account(it.workspace, "runner")),
        "quantum init",
    ),
    ("service credentials", "shared", share_a_credential, "quantum token rotate --all"),
    ("file rights", "folder", lambda it: it.workspace.state.chmod(0o750), "chmod 700 "),
    ("file rights", "database", lambda it: it.workspace.safety_db.chmod(0o644), "chmod 600 "),
    ("sockets", "open", open_sockets, "chmod 700 "),
    ("services over TCP", "bare", listen, "quantum ca renew"),
    ("gateway", "bare", lambda it: it.configure(gateway_host="192.0.2.7"), "quantum ca renew"),
    ("gateway", "nameless", lambda it: it.configure(gateway_host="0.0.0.0"), "gateway_names"),
    ("certificates", "no authority", remove(lambda it: it.authority), "quantum ca init"),
    ("certificates", "old authority", old_authority, "quantum ca init"),
    ("certificates", "expired", listen_expired, "quantum ca renew"),
    ("alert channels", "none", lambda it: None, "config/alert_config.json"),
    ("alert channels", "log alone", lambda it: it.alert(log={"level": "info"}), "config/alert_config.json"),
    ("alert channels", "broken", lambda it: it.workspace.alert_config.write_text("{"), "quantum up"),
]
CHOSEN = {("keychain", "file"), ("alert channels", "none"), ("alert channels", "log alone")}


@pytest.mark.parametrize(("what", "how", "take", "line"), OFF, ids=[f"{what}: {how}" for what, how, _, _ in OFF])
def test_off(place: Place, what: str, how: str, take: Callable[[Place], object], line: str) -> None:
    take(place)
    one = found(local.protections(place))[what]
    assert not one.on
    assert line in one.remedy
    assert one.wrong == ((what, how) not in CHOSEN)


def test_a_folder_that_cannot_be_written_has_no_emergency_stop(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.access", lambda path, mode: path != place.workspace.state)  # root may always
    one = found(local.protections(place))["emergency stop"]
    assert (one.on, one.wrong) == (False, True)
    assert one.remedy.startswith("chmod u+rwx ")


def expose(place: Place) -> None:
    place.configure(gateway_host="0.0.0.0", gateway_names="quantum.example.org", safety_listen="192.0.2.7:7001")
    place.identify("gateway")
    place.identify("safety")


@pytest.mark.parametrize(
    ("what", "give", "said"),
    [
        ("keychain", lambda it: it.use_keychain(), "Secret Service"),
        ("services over TCP", expose, "safety on 192.0.2.7:7001"),
        ("gateway", expose, "quantum.example.org"),
        ("certificates", expose, "safety until 20"),
        ("alert channels", lambda it: it.alert(desktop={}, mail={}), "desktop, mail"),
        (
            "emergency stop",
            lambda it: StopFile(it.workspace.stop_file).write(who="ann", why="enough", now=NOW),
            "ann stopped everything (enough)",
        ),
    ],
)
def test_on(place: Place, what: str, give: Callable[[Place], object], said: str) -> None:
    give(place)
    one = found(local.protections(place))[what]
    assert one.on, one
    assert said in one.found


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


def asked(place: Place, safety: Safety) -> dict[str, Protection]:
    safety.token = replace(safety.token, id=parse(place.token).id)
    safety.audit = safety.spend = Parts(safety)
    safety.budgets, safety.alerts = Listing(()), Listing(AlertList(alerts=(), channels=safety.channels))
    played: Any = PlayedConnection(PlayedCoordinator(), safety)
    return found(standing.asked(place, played))


@pytest.fixture
def safety(place: Place) -> Safety:
    place.workspace.audit.mkdir()
    (place.workspace.audit / "checkpoint.json").write_text("{}")
    return Safety(token=replace(TOKEN, created_at=place.clock.now()))


def test_what_safety_keeps_is_on(place: Place, safety: Safety) -> None:
    every = asked(place, safety)
    assert set(every) == set(standing.ALL)
    assert not [one for one in every.values() if not one.on]


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


def go_away(place: Place, safety: Safety) -> None:
    safety.away = True


@pytest.mark.parametrize(
    ("what", "take", "line", "wrong"),
    [
        ("token rotation", grow_old, "quantum token rotate", True),
        ("audit log", change_the_log, "quantum audit --verify", True),
        ("audit log", lose_the_checkpoint, "quantum down && quantum up", True),
        ("circuit breakers", hold_closed, "quantum breaker reset agent:build", False),
        ("spend caps", uncap, "quantum spend cap fleet", False),
        ("spend caps", misprice, "config/prices.toml", True),
        ("alerts", silence, "quantum alerts test", True),
        ("mode", go_away, "quantum status", True),
    ],
)
def test_off_while_it_runs(
    place: Place, safety: Safety, what: str, take: Callable[[Place, Safety], None], line: str, wrong: bool
) -> None:
    take(place, safety)
    one = asked(place, safety)[what]
    assert (one.on, one.wrong) == (False, wrong)
    assert line in one.remedy


def test_with_nothing_running_each_is_off_and_the_line_starts_everything(quantum: Quantum, place: Place) -> None:
    printed = quantum("doctor", "--json")
    every = {one["what"]: one for one in printed.document["protections"]}
    assert set(every) == {*local.ALL, *standing.ALL}
    assert {every[what]["remedy"] for what in standing.ALL} == {"quantum up --detach"}
    assert (printed.code, printed.document["ok"]) == (0, True)


def test_the_page_shows_on_and_off_and_the_line(quantum: Quantum, place: Place) -> None:
    place.workspace.safety_db.chmod(0o644)
    printed = quantum("doctor")
    lines = printed.out.splitlines()
    assert any(line.startswith("✓ on  database key ") for line in lines)
    at = next(number for number, line in enumerate(lines) if line.startswith("✗ off file rights "))
    assert lines[at + 1].strip() == f"→ chmod 600 {place.workspace.safety_db}"
    assert printed.code == 1


def test_a_check_that_cannot_be_made_is_off(place: Place) -> None:
    class Locked:
        describe = "Secret Service"

        def get(self, service: str, account: str) -> str:
            raise Unavailable("keychain_locked", "The keychain is locked.", remedy="Unlock it.")

    place.__dict__["secrets"] = Locked()
    one = found(local.protections(place))["keychain"]
    assert (one.on, one.wrong, one.found, one.remedy) == (False, True, "The keychain is locked.", "Unlock it.")
