"""The mode's verbs, and the STOP file that outranks them."""

from __future__ import annotations

from copy import deepcopy
from datetime import UTC, datetime
from pathlib import Path

import pytest

from foundation.errors import Conflict, Unavailable
from foundation.stop_file import StopFile
from services.safety.adapters.stop_file import WorkspaceStopSignal
from services.safety.domain.mode import Mode, StopOrder
from tests.safety.world import World, key, wants

ORDER = StopOrder(actor="bob", reason="smoke", since=datetime(2026, 5, 1, tzinfo=UTC))


async def test_stopped_survives_a_restart_until_resume() -> None:
    world = await World.start()
    change = await world.modes.tighten(Mode.STOPPED, reason="fire", actor="ann")
    assert change.changed
    await world.crash()
    status = world.modes.get()
    assert (status.mode, status.reason, status.actor, status.since) == (
        Mode.STOPPED,
        "fire",
        "ann",
        world.clock.now(),
    )
    assert (await world.modes.resume(reason="", actor="ann")).status.mode is Mode.NORMAL
    await world.crash()
    assert world.modes.get().mode is Mode.NORMAL


async def test_twice_changes_nothing_and_keeps_the_first_reason() -> None:
    world = await World.start()
    await world.modes.tighten(Mode.STOPPED, reason="fire", actor="ann")
    again = await world.modes.tighten(Mode.STOPPED, reason="also", actor="bob")
    assert (again.changed, again.status.reason) == (False, "fire")
    await world.modes.resume(reason="", actor="ann")
    assert not (await world.modes.resume(reason="", actor="ann")).changed


async def test_every_rung_is_climbed_and_survives_a_crash() -> None:
    world = await World.start()
    for rung in (Mode.GUARDED, Mode.DRAIN, Mode.FROZEN, Mode.STOPPED):
        assert (await world.modes.tighten(rung, reason=f"to {rung.name}", actor="ann")).changed
        await world.crash()
        assert (world.modes.get().mode, world.modes.get().reason) == (rung, f"to {rung.name}")


async def test_resume_goes_down_to_a_named_rung_and_never_up() -> None:
    world = await World.start()
    await world.modes.tighten(Mode.FROZEN, reason="", actor="ann")
    assert (await world.modes.resume(Mode.DRAIN, reason="half way", actor="ann")).status.mode is Mode.DRAIN
    with pytest.raises(Conflict, match="FROZEN is stricter than DRAIN"):
        await world.modes.resume(Mode.FROZEN, reason="", actor="ann")
    assert (await world.modes.resume(reason="", actor="ann")).status.mode is Mode.NORMAL


@pytest.mark.parametrize(
    ("mode", "starts", "running"),
    [
        (Mode.GUARDED, True, "CONTINUE"),
        (Mode.DRAIN, False, "CONTINUE"),
        (Mode.FROZEN, False, "PAUSE"),
        (Mode.STOPPED, False, "STOP"),
    ],
)
async def test_what_each_mode_does(mode: Mode, starts: bool, running: str) -> None:
    world = await World.start()
    assert await world.ask(wants("t1")) == [True]
    await world.modes.tighten(mode, reason="a test", actor="ann")
    answer = await world.admission.admit((), [wants("t2")])
    assert answer.decisions[0].admitted is starts
    (renewal,) = (await world.admission.renew([key("t1")])).renewals
    assert renewal.kind.name == running
    if running != "CONTINUE":
        assert (renewal.code, renewal.reason) == ("mode", f"the mode is {mode.name}, set by ann: a test")
    if not starts:
        assert answer.decisions[0].foremost.code == "mode"


async def test_tightening_never_loosens() -> None:
    world = await World.start()
    await world.modes.tighten(Mode.STOPPED, reason="", actor="ann")
    with pytest.raises(Conflict):
        await world.modes.tighten(Mode.NORMAL, reason="", actor="ann")


async def test_the_file_means_stopped_whatever_was_set() -> None:
    world = await World.start()
    world.signal.order = ORDER
    status = world.modes.get()
    assert (status.mode, status.actor, status.reason, status.stop_file) == (Mode.STOPPED, "bob", "smoke", True)
    await world.crash()
    assert world.modes.get().mode is Mode.STOPPED
    world.signal.order = None
    assert world.modes.get().mode is Mode.NORMAL


async def test_resume_clears_the_mode_then_the_file() -> None:
    world = await World.start()
    await world.modes.tighten(Mode.STOPPED, reason="", actor="ann")
    world.signal.order = ORDER

    class CrashOnClear(Exception):
        pass

    def crash() -> None:
        raise CrashOnClear

    kept, world.signal.clear = world.signal.clear, crash  # type: ignore[method-assign]
    with pytest.raises(CrashOnClear):
        await world.modes.resume(reason="", actor="ann")
    await world.crash()
    assert world.modes.get().mode is Mode.STOPPED  # the file still stands
    world.signal.clear = kept  # type: ignore[method-assign]
    assert (await world.modes.resume(reason="", actor="ann")).changed
    assert world.modes.get().mode is Mode.NORMAL


async def test_a_stop_by_the_file_alone_is_lifted_on_record_or_not_at_all() -> None:
    world = await World.start()
    world.signal.order = ORDER
    world.checkpoint.failing = True
    with pytest.raises(Unavailable) as caught:
        await world.modes.resume(reason="all is well", actor="ann")
    assert caught.value.code == "audit_unwritable"
    assert world.modes.get().mode is Mode.STOPPED
    world.checkpoint.failing = False
    assert (await world.modes.resume(reason="all is well", actor="ann")).changed
    assert world.modes.get().mode is Mode.NORMAL
    records = await world.store.audit_after(0, 100)
    lifted = [
        (one.entry.before, one.entry.after, one.entry.reason) for one in records if one.entry.act == "mode_loosen"
    ]
    assert lifted == [("STOPPED", "NORMAL", "all is well")]


async def test_the_real_file(tmp_path: Path) -> None:
    file = StopFile(tmp_path / "STOP")
    signal = WorkspaceStopSignal(file)
    assert signal.read() is None
    assert ORDER.since is not None
    file.write(who=ORDER.actor, why=ORDER.reason, now=ORDER.since)
    assert signal.read() == ORDER
    signal.clear()
    assert signal.read() is None


async def test_a_database_that_was_put_back_starts_guarded_until_a_person_has_looked() -> None:
    world = await World.start()
    await world.breakers.force_open("agent:build", reason="", actor="ann")
    copy = deepcopy(world.store)
    await world.breakers.reset("agent:build", reason="", actor="ann")
    world.store = copy
    await world.crash()
    status = world.modes.get()
    assert (status.mode, status.actor) == (Mode.GUARDED, "safety")
    assert status.reason.startswith("this database may be an older one, put back: ")
    await world.modes.resume(reason="seen", actor="ann")
    await world.crash()
    assert world.modes.get().mode is Mode.NORMAL, "said once"


async def test_a_database_that_is_as_it_was_left_starts_as_it_was() -> None:
    world = await World.start()
    await world.breakers.force_open("agent:build", reason="", actor="ann")
    await world.crash()
    assert world.modes.get().mode is Mode.NORMAL
