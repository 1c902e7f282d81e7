"""Twelve ways out of a tree: each is seen outside, each ends with its task, and the result says that it was there."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from services.agent_runner.warden.protocol import End, Ended, Release, Spawned
from tests.runner import escapes
from tests.runner.support import CLOCK, WardenUnderTest, wait_until
from tests.runner.witness import Witness

PROGRAM = Path(escapes.__file__)
GRACE_SECONDS = 0.25


@dataclass
class Tally:
    """What rounds of escapes came to, by program."""

    outside: Counter[str] = field(default_factory=Counter)
    stragglers: Counter[str] = field(default_factory=Counter)
    survivors: Counter[str] = field(default_factory=Counter)

    def add(self, name: str, witness: Witness, ended: Ended) -> None:
        """One attempt that was said to have ended just now."""
        self.outside[name] += bool(witness.outside)
        self.stragglers[name] += bool(ended.stragglers)
        self.survivors[name] += len(witness.living())


class Round:
    """All programs at once in one warden, each let go (its first process ends by itself) or cancelled."""

    def __init__(self, warden: WardenUnderTest, number: int, names: Sequence[str]) -> None:
        self._warden = warden
        self._gates = {name: warden.folder.parent / f"gate-{number}-{name}" for name in names}
        self._markers = {name: f"escape-{os.getpid()}-{id(warden)}-{number}-{name}" for name in names}
        self.witnesses: dict[str, Witness] = {}
        for name in names:
            warden.send(
                warden.order(
                    Path(sys.executable),
                    name,
                    arguments=["-I", "-S", str(PROGRAM), name, self._markers[name], str(self._gates[name])],
                    grace=GRACE_SECONDS,
                    lease=60.0,
                )
            )

    def meet(self) -> None:
        """Wait until every one is seen outside."""
        for _ in self._gates:
            spawned = self._warden.expect(Spawned)
            self.witnesses[spawned.key] = Witness(self._markers[spawned.key], spawned.pid)
        for name, witness in self.witnesses.items():
            wait_until(witness.look, f"{name} to be outside")

    def end(self, tally: Tally, *, cancel: bool) -> None:
        """End all and count."""
        for name, gate in self._gates.items():
            if cancel and name != "daemon":
                self._warden.send(End(name, "cancel", "as asked"))
            else:
                gate.touch()
        for name in self._gates:
            ended = self._warden.ended(name)
            assert ended.tree_dead
            assert ended.stragglers >= len(ended.straggler_names) > 0 or not ended.stragglers
            tally.add(name, self.witnesses[name], ended)
            if ended.slot >= 0:
                self._warden.send(Release(ended.slot))
        for gate in self._gates.values():
            gate.unlink(missing_ok=True)


def escape(warden: WardenUnderTest, rounds: int, names: Sequence[str]) -> Tally:
    """Each program so many times, every second time cancelled."""
    tally = Tally()
    for number in range(rounds):
        one = Round(warden, number, names)
        one.meet()
        one.end(tally, cancel=number % 2 == 1)
    return tally


@pytest.mark.parametrize(
    "rounds", [pytest.param(2), pytest.param(200, marks=[pytest.mark.long, pytest.mark.timeout(1200)])]
)
def test_nothing_outlives_its_task(tmp_path: Path, rounds: int) -> None:
    names = escapes.NAMES
    warden = WardenUnderTest(tmp_path, at_once=len(names))
    began = CLOCK.boottime()
    try:
        tally = escape(warden, rounds, names)
    finally:
        warden.close()
    print(
        f"{len(names)} programs × {rounds} in {CLOCK.boottime() - began:.1f} s: {tally.outside.total()} seen outside, "
        f"{tally.stragglers.total()} results told of stragglers, {tally.survivors.total()} survivors"
    )
    assert all(tally.outside[name] == rounds for name in names), tally.outside
    assert all(tally.stragglers[name] == rounds for name in names), tally.stragglers
    assert not tally.survivors.total(), tally.survivors


def test_what_put_off_its_tag_and_its_environment_is_found_by_its_parents(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can raise the limit that is the tag")
    warden = WardenUnderTest(tmp_path)
    try:
        tally = escape(warden, 4, ["no_tag"])
    finally:
        warden.close()
    assert (tally.outside.total(), tally.stragglers.total(), tally.survivors.total()) == (4, 4, 0), tally


def test_without_sub_reaper_and_tags_they_do(tmp_path: Path) -> None:
    warden = WardenUnderTest(tmp_path, at_once=12, module="tests.runner.unguarded_warden")
    tally = Tally()
    one = Round(warden, 0, escapes.NAMES)
    try:
        one.meet()
        one.end(tally, cancel=False)
    finally:
        warden.close()
        survivors = {name for name, witness in one.witnesses.items() if witness.living()}
        for witness in one.witnesses.values():
            wait_until(lambda witness=witness: (witness.kill(), not witness.living())[1], "the control's own end")  # type: ignore[misc]
    print(f"without sub-reaper and tags {len(survivors)} of 12 programs outlive their task: {sorted(survivors)}")
    assert len(survivors) >= 10
