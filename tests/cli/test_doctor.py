"""`quantum doctor`: each part as it should be, and as it should not, with the line that mends it."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from cli.__main__ import run
from cli.doctor.examining import PARTS, examine
from cli.doctor.findings import Finding, Mark, worst
from foundation.authority import Authority
from foundation.errors import Unavailable
from foundation.files import atomic_write
from foundation.secrets import (
    AUDIT_KEY,
    DATABASE_KEY,
    SERVICE_TOKEN,
    USER_TOKEN,
    service_account,
    user_account,
)
from foundation.workspace import Workspace
from tests.cli.conftest import Printed, Quantum
from tests.cli.fakes import PlayedSession
from tests.cli.initialised import Place
from tests.cli.test_doctor_standing import Safety, asked, safety
from tests.waiting import Stopwatch

__all__ = ["safety"]
YEAR = timedelta(days=365)


PATIENT = timedelta(minutes=2)


def found(place: Place) -> dict[str, Finding]:
    """By part; where several lines are about one, the worst."""
    return worst(examine(place, within=PATIENT))


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
        ("alert channels", lambda it: it.alert(log={"level": "info"}), "logs/system.log alone, as "),
    ],
)
def test_right(place: Place, part: str, give: Callable[[Place], object], said: str) -> None:
    give(place)
    one = found(place)[part]
    assert one.mark is Mark.OK, one
    assert said in one.found


@pytest.mark.parametrize(("environ", "channel"), [({}, "log"), ({"DISPLAY": ":0"}, "desktop")])
def test_a_desktop_is_proposed_where_there_is_one(place: Place, environ: dict[str, str], channel: str) -> None:
    place.environ = {**place.environ, **environ}
    one = found(place)["alert channels"]
    assert one.mark is Mark.WARN
    assert f'"{channel}"' in one.cure or sys.platform == "darwin"
    subprocess.run(["sh", "-c", one.cure], check=True)
    assert found(place)["alert channels"].mark is Mark.OK


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
    watch = Stopwatch()
    every = worst(examine(place, within=timedelta(seconds=1)))
    assert watch.seconds < 30
    slow = {part for part, one in every.items() if "could not be looked at within 1 s" in one.found}
    assert {"projects", "merge guard"} <= slow < set(every), "both read the file"
    assert every["projects"].cure == "quantum doctor --within 60s"
    # Whoever waits there is let go, so that no thread of ours is left; for reading as well, or we would wait in turn.
    os.close(os.open(place.workspace.projects_file, os.O_RDWR | os.O_NONBLOCK))


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


@pytest.fixture
def quantum(place: Place, capsys: pytest.CaptureFixture[str]) -> Quantum:
    """Types a command in that place."""

    def type_it(*words: str) -> Printed:
        code = run([*words, "--within", "2m"], place)
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
    every = [*examine(place, within=PATIENT), *asked(place, safety).values()]
    cures = [one.cure for one in every if one.mark in (Mark.WARN, Mark.FAIL)]
    assert len(cures) > 6
    for cure in cures:
        assert cure
        assert "\n" not in cure
        subprocess.run(["bash", "-n", "-c", cure], check=True, timeout=60)


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
