"""Six lines in the morning: true ones, nothing that is not known is a 0, and looking is remembered."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from cli.backups.catalogue import BackupEntry
from cli.doctor.copies import judge
from cli.doctor.subject import Subject
from cli.overview import morning as told
from cli.overview.looked import Looked
from cli.overview.morning import Line, Sign, morning
from clients.coordinator_values import AgentState, QueueStats, TaskState
from foundation.errors import Unavailable
from tests.cli.conftest import Quantum
from tests.cli.fakes import NOW, PlayedAgent, PlayedCoordinator, PlayedSafety, PlayedSession

STATS = QueueStats(
    counts={},
    open=0,
    open_max=1,
    paused=False,
    paused_reason="",
    oldest_ready_at=None,
    runners=(),
    parked=(),
    throughput_per_minute=0,
    wait_p50_seconds=None,
    wait_p99_seconds=None,
    store_bytes=0,
    disk_free_bytes=0,
)


class Coordinator(PlayedCoordinator):
    """Counts what waits for a person, too."""

    away = False

    async def queue_stats(self) -> QueueStats:
        """By the tasks that it has."""
        waiting = sum(task.state is TaskState.NEEDS_DECISION for task in self.tasks.values())
        return replace(STATS, counts={TaskState.NEEDS_DECISION: waiting})

    async def list_agents(self) -> Any:
        """None while it is away."""
        if self.away:
            raise Unavailable("unreachable", "The coordinator does not answer.")
        return tuple(self.agents.values())


class Spend:
    """The ledger."""

    stopped_by = ""
    spent = 120_000

    async def get(self) -> Any:
        """The fleet's account of today."""
        cap = SimpleNamespace(micros=50_000_000)
        account = SimpleNamespace(scope="fleet", per="day", spent_micros=self.spent, reserved_micros=0, cap=cap)
        return SimpleNamespace(accounts=(account,), stopped_by=self.stopped_by)


class Place(PlayedSession):
    """A workspace in which everything runs."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, Coordinator(), PlayedSafety(spend=Spend()))
        self.clock.advance(timedelta(days=1))  # type: ignore[attr-defined]  # it is the manual one


@pytest.fixture
def place(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    place = Place(folder)
    gateway = SimpleNamespace(health=lambda workspace: "ok", url="http://localhost:5005")
    monkeypatch.setattr(Subject, "running", SimpleNamespace(gateway=gateway, runners=["runner-local"], units=False))

    def serve(subject: Subject, within: timedelta) -> None:
        subject.serving = {"safety": True, "coordinator": True, "runner-local": True}

    monkeypatch.setattr(Subject, "look_who_serves", serve)
    entry = BackupEntry(
        number=1,
        id="20260101T000000Z-abcd",
        path=folder / "b",
        made_at=NOW + timedelta(hours=20),
        bytes=1_000_000,
        good=True,
        checked_at=NOW,
        fault="",
    )
    monkeypatch.setattr("cli.doctor.copies.entries", lambda workspace, environ: [entry])
    return place


def look(place: Place) -> dict[str, Line]:
    return {line.name: line for line in morning(place, Looked.of(place.workspace)).lines}


def test_six_lines_and_all_is_well(place: Place) -> None:
    found = look(place)
    assert list(found) == ["services", "agents", "failures", "budgets", "backups", "disk"]
    assert {line.sign for line in found.values()} == {Sign.WELL}, found
    assert found["services"].said == "4 serve, the mode is NORMAL"
    assert found["budgets"].said == "0 error budgets, none acted on; $0.12 of $50.00 today"
    assert found["backups"].said.startswith("the last good one is 4h old")
    assert found["failures"].said == "none in the last 1d"


def fail(place: Place, task_id: str, *, hours_ago: float, agent: str = "build") -> None:
    at = place.clock.now() - timedelta(hours=hours_ago)
    place.played.put(task_id, state=TaskState.FAILED, agent=agent, created_at=NOW - timedelta(days=9), finished_at=at)


def test_failures_count_since_you_last_looked_by_their_end(place: Place) -> None:
    looked = Looked.of(place.workspace)
    looked.note(place.clock.now() - timedelta(hours=3))
    fail(place, "before", hours_ago=4)
    assert look(place)["failures"].sign is Sign.WELL
    fail(place, "a", hours_ago=2)
    fail(place, "b", hours_ago=1)
    fail(place, "c", hours_ago=1, agent="lint")
    line = look(place)["failures"]
    assert (line.sign, line.what_next) == (Sign.LOOK, "quantum tasks --state failed --state dead")
    assert line.said.startswith("3 tasks (build 2, lint 1) since you last looked, 20")


def undecided(place: Place) -> None:
    place.played.put("u", state=TaskState.NEEDS_DECISION)


def hold(place: Place) -> None:
    place.played.agents = {"w": PlayedAgent(name="w", state=AgentState.HELD)}


def spend_all(place: Place) -> None:
    place.played_safety.spend.spent = 50_000_000


def guard(place: Place) -> None:
    place.played_safety.mode = "GUARDED"


@pytest.mark.parametrize(
    ("name", "take", "said", "next_step"),
    [
        ("failures", undecided, "none in the last 1d; 1 task can only go on by you", "needs_decision"),
        ("agents", hold, "1, 0 of them running; held: w", "quantum recover --all"),
        ("budgets", spend_all, "$50.00 of $50.00 today", "quantum spend"),
        ("services", guard, "4 serve; the mode is GUARDED", "quantum resume"),
    ],
)
def test_what_needs_you_is_its_own_line(
    place: Place, name: str, take: Callable[[Place], None], said: str, next_step: str
) -> None:
    take(place)
    found = look(place)
    assert {line.name for line in found.values() if line.sign is not Sign.WELL} == {name}
    assert said in found[name].said
    assert next_step in found[name].what_next


@pytest.mark.parametrize("mode", ["DRAIN", "FROZEN", "STOPPED"])
def test_what_the_mode_holds_is_let_go_by_resume_and_not_by_recover(place: Place, mode: str) -> None:
    hold(place)
    place.played_safety.mode = mode
    place.played_safety.spend.stopped_by = f"the mode is {mode}"
    found = look(place)
    assert found["agents"].said == f"1, 0 of them running; in mode {mode} none is started"
    assert {found[name].what_next for name in ("services", "agents", "budgets")} == {"quantum resume"}


def test_a_fault_of_the_prices_is_no_matter_of_the_mode(place: Place) -> None:
    place.played_safety.spend.stopped_by = "prices.toml is not TOML"
    assert look(place)["budgets"].what_next == "quantum spend"


@pytest.mark.parametrize("line", ["quantum up --detach", "quantum service start"])
def test_while_nothing_runs_the_line_that_starts_it_is_the_next_step_of_all_that_is_not_known(
    place: Place, monkeypatch: pytest.MonkeyPatch, line: str
) -> None:
    monkeypatch.setattr(Subject, "running", None)
    monkeypatch.setattr(Subject, "installed", line == "quantum service start")
    found = look(place)
    unknown = {name for name, one in found.items() if one.said == "not known: nothing runs."}
    assert unknown == {"agents", "failures", "budgets"}
    assert {found[name].what_next for name in (*unknown, "services")} == {line}


def test_a_service_that_does_not_answer_is_not_known_and_never_a_0(place: Place) -> None:
    place.played.away = True  # type: ignore[attr-defined]
    line = look(place)["agents"]
    assert (line.sign, line.said) == (Sign.UNKNOWN, "not known: The coordinator does not answer.")


def test_no_more_failures_are_looked_at_than_ten_thousand(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(told, "LOOKED_AT", 3)
    for number in range(5):
        fail(place, f"t{number}", hours_ago=1)
    assert look(place)["failures"].said.startswith("at least 3 tasks (build 3)")


def test_looking_is_remembered_for_each_user_unless_you_peek(
    place: Place, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from cli.__main__ import run

    looked = Looked.of(place.workspace)
    assert run(["morning", "--peek"], place) == 0
    assert looked.last() is None
    assert run(["morning"], place) == 0
    assert looked.last() == place.clock.now()
    assert place.workspace.root.joinpath(".quantum", "morning.json").stat().st_mode & 0o777 == 0o600
    monkeypatch.setattr("getpass.getuser", lambda: "bea")
    assert looked.last() is None
    looked.note(NOW)
    monkeypatch.undo()
    assert looked.last() == place.clock.now()
    assert len(capsys.readouterr().out.splitlines()) == 12


def test_what_could_not_be_told_stays_new(quantum: Quantum, folder: Path) -> None:
    said = quantum("morning", "--json")
    assert said.code == 1
    signs = {line["name"]: line["sign"] for line in said.document["lines"]}
    assert signs == {
        "services": "look",
        "agents": "unknown",
        "failures": "unknown",
        "budgets": "unknown",
        "backups": "look",
        "disk": "well",
    }
    assert not (folder / ".quantum" / "morning.json").exists()


def test_a_damaged_note_and_one_of_the_future_count_as_never(place: Place) -> None:
    looked = Looked.of(place.workspace)
    looked.path.write_text("[")
    assert looked.last() is None
    looked.note(place.clock.now() + timedelta(days=400))
    fail(place, "a", hours_ago=2)
    assert look(place)["failures"].said.startswith("1 task (build 1)")


@pytest.mark.parametrize(
    ("good", "hours", "due", "wrong"),
    [
        ([], [], True, False),
        ([True], [4], False, False),
        ([True], [40], True, False),
        ([True], [-2_000], True, False),
        ([False, True], [1, 4], True, True),
        ([False], [1], True, True),
    ],
)
def test_backups_are_judged_by_the_last_good_one(
    tmp_path: Path, good: list[bool], hours: list[int], due: bool, wrong: bool
) -> None:
    found = [
        BackupEntry(
            number=1,
            id=f"b{number}",
            path=tmp_path,
            made_at=NOW - timedelta(hours=age),
            bytes=1,
            good=well,
            checked_at=NOW,
            fault="" if well else "It could not be opened.",
        )
        for number, (well, age) in enumerate(zip(good, hours, strict=True))
    ]
    judged = judge(found, timedelta(hours=30), NOW)
    assert (judged.due, judged.wrong) == (due, wrong)
