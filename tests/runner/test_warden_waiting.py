"""Starts that wait in the warden for room: begun in order, or taken back, and never both."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.agent_runner.warden.protocol import (
    End,
    Ended,
    Pause,
    Paused,
    Refused,
    Release,
    Renew,
    Resume,
    Shutdown,
    Spawned,
    Withdraw,
)
from tests.runner.support import WardenUnderTest
from tests.waiting import CLOCK, until


@pytest.fixture
def single(tmp_path: Path) -> Iterator[WardenUnderTest]:
    """A warden that runs one attempt at a time."""
    warden = WardenUnderTest(tmp_path, at_once=1)
    yield warden
    warden.close()


def _occupied(warden: WardenUnderTest) -> None:
    warden.send(warden.order(warden.shell("sleep 100"), "first"))
    warden.expect(Spawned)


def test_the_next_begins_when_one_has_ended_without_being_asked(single: WardenUnderTest) -> None:
    script = single.shell("echo $QUANTUM_TASK_ID")
    keys = [f"k{number}" for number in range(20)]
    single.send(*(single.order(script, key, variables={"QUANTUM_TASK_ID": key}) for key in keys))
    ends = [single.expect(Ended) for _ in keys]
    assert [ended.key for ended in ends] == keys
    assert all(before.ended_at <= after.started_at for before, after in itertools.pairwise(ends))
    # What was told whole holds no slot; what had its start told before is read by the runner.
    assert all(ended.output == (f"{ended.key}\n".encode() if ended.slot < 0 else b"") for ended in ends)


def test_what_waits_is_withdrawn_and_what_runs_is_not(single: WardenUnderTest) -> None:
    _occupied(single)
    script = single.shell("true")
    single.send(single.order(script, "a"), single.order(script, "b"), single.order(script, "c"))
    single.send(Withdraw(["first", "b", "unknown"], "the breaker opened"))
    assert single.expect(Refused) == Refused("b", "withdrawn", "the breaker opened")
    single.send(End("a", "cancel", "not wanted"))
    assert single.expect(Refused) == Refused("a", "withdrawn", "not wanted")
    single.send(End("first", "cancel", ""))
    assert single.ended("first").cause == "cancel"
    assert single.ended("c").status == 0


def test_a_withdrawal_tells_at_once_what_was_spawned(warden: WardenUnderTest) -> None:
    script = warden.shell("sleep 100")
    keys = [f"k{number}" for number in range(12)]
    warden.send(*(warden.order(script, key) for key in keys), Withdraw(keys, "the runner drains"))
    # In one frame: none was spawned in between.
    assert {warden.expect(Refused).key for _ in keys} == set(keys)
    warden.send(*(warden.order(script, key) for key in keys))
    warden.expect(Spawned)
    warden.send(Withdraw(keys, "the runner drains"))
    assert {warden.expect(Refused).key for _ in keys[10:]} == set(keys[10:])
    assert {warden.expect(Spawned).key for _ in keys[1:10]} == set(keys[1:10])


def test_the_stop_file_takes_back_what_waits(single: WardenUnderTest) -> None:
    _occupied(single)
    mark = single.folder / "mark"
    single.send(single.order(single.shell(f"touch {mark}"), "a"))
    single.stop_file.touch()
    assert single.expect(Refused)[:2] == ("a", "mode")
    assert single.ended("first").cause == "mode"
    assert not mark.exists()


def test_a_stop_file_between_two_starts_is_seen(single: WardenUnderTest) -> None:
    single.send(single.order(single.shell(f"touch {single.stop_file}"), "a"), single.order(single.shell("true"), "b"))
    assert single.expect(Refused)[:2] == ("b", "mode")


def test_alone_means_alone(warden: WardenUnderTest) -> None:
    gate = warden.folder / "gate"
    blocked = warden.shell(f"while ! test -e {gate}; do sleep 0.01; done")
    quick = warden.shell("true")
    warden.send(warden.order(blocked, "before"), warden.order(quick, "alone", alone=True), warden.order(quick, "after"))
    warden.expect(Spawned, lambda spawned: spawned.key == "before")
    gate.touch()
    ends = {key: warden.ended(key) for key in ("before", "alone", "after")}
    assert ends["before"].ended_at <= ends["alone"].started_at
    assert ends["alone"].ended_at <= ends["after"].started_at


def test_a_paused_one_gives_its_slot_back(single: WardenUnderTest) -> None:
    _occupied(single)
    single.send(single.order(single.shell("true"), "a"), Pause("first"))
    assert single.expect(Paused).paused
    assert single.ended("a").status == 0
    single.send(Resume("first"), single.order(single.shell("true"), "b"))
    assert not single.expect(Paused).paused
    single.send(Withdraw(["b"], ""))
    assert single.expect(Refused).key == "b"


@pytest.mark.parametrize(("paused_max", "keeps_its_own"), [(1, True), (2, False)], ids=["one-too-many", "the-control"])
def test_a_paused_one_too_many_keeps_its_slot(tmp_path: Path, paused_max: int, keeps_its_own: bool) -> None:
    warden = WardenUnderTest(tmp_path, at_once=2, paused_max=paused_max)
    gate = warden.folder / "gate"
    warden.send(*(warden.order(warden.shell("sleep 100"), key) for key in ("first", "second")))
    assert {warden.expect(Spawned).key for _ in range(2)} == {"first", "second"}
    warden.send(Pause("first"), Pause("second"))
    assert all(warden.expect(Paused).paused for _ in range(2))
    # Two slots, two paused: one slot is free where only one of them gives its own back.
    warden.send(warden.order(warden.shell(f"while ! test -e {gate}; do sleep 0.01; done"), "third"))
    warden.expect(Spawned, lambda spawned: spawned.key == "third")
    warden.send(warden.order(warden.shell(f"touch {gate}"), "fourth"))
    if keeps_its_own:
        warden.send(Withdraw(["fourth"], "it waits"))
        assert warden.expect(Refused) == Refused("fourth", "withdrawn", "it waits")
        gate.touch()
    assert warden.ended("third").status == 0
    warden.close()


def test_a_lease_runs_down_while_it_waits_and_is_renewed_while_it_waits(single: WardenUnderTest) -> None:
    gate = single.folder / "gate"
    single.send(single.order(single.shell(f"while ! test -e {gate}; do sleep 0.01; done"), "first"))
    single.expect(Spawned)
    now = CLOCK.boottime()
    script, lease = single.shell("true"), {"lease": 400.0, "leased_at": now - 299.7}
    # In one frame, so that the renewal comes in time however slow all this is.
    orders = [single.order(script, key, **lease) for key in ("stale", "renewed")]
    single.send(*orders, Renew(now, 400.0, ["renewed"]))
    until(lambda: CLOCK.boottime() - now > 0.35, "the freeze point of the lease")
    gate.touch()
    assert single.expect(Refused)[:2] == ("stale", "fence")
    assert single.ended("renewed").status == 0


def test_what_is_refused_makes_room_for_the_next(single: WardenUnderTest) -> None:
    script = single.shell("true")
    single.send(
        *(single.order(single.scripts / "gone.sh", f"x{number}") for number in range(5)), single.order(script, "a")
    )
    assert single.ended("a").status == 0


def test_shutdown_takes_back_what_waits(single: WardenUnderTest) -> None:
    _occupied(single)
    single.send(single.order(single.shell("true"), "a"), Shutdown("the runner stops"))
    assert single.expect(Refused) == Refused("a", "mode", "the runner stops")
    assert single.ended("first").cause == "handed_back"
    single.wait_gone()


def test_without_a_runner_nothing_is_begun(tmp_path: Path) -> None:
    warden = WardenUnderTest(tmp_path, at_once=1)
    gate, mark = tmp_path / "gate", tmp_path / "mark"
    warden.send(
        warden.order(warden.shell(f"while ! test -e {gate}; do sleep 0.01; done"), "first"),
        warden.order(warden.shell(f"touch {mark}"), "a"),
    )
    warden.expect(Spawned)
    warden.lose_runner()
    gate.touch()
    warden.wait_gone()
    assert not mark.exists()


def test_a_script_that_tampers_with_its_output_harms_no_other(single: WardenUnderTest) -> None:
    unlinked = single.run(single.shell('rm "$(readlink /proc/self/fd/1)"; echo lost'))
    single.send(Release(unlinked.slot))
    # Appending is switched off for all who share the descriptor.
    changed = "import fcntl; fcntl.fcntl(1, fcntl.F_SETFL, 0)"
    again = single.run(single.shell(f'echo one; python3 -c "{changed}"'), "b")
    assert again.slot == unlinked.slot and single.output(again.slot) == b"one\n"
    single.send(Release(again.slot))
    last = single.run(single.shell("echo one; (echo two); echo three"), "c")
    assert last.slot == unlinked.slot and single.output(last.slot) == b"one\ntwo\nthree\n"
