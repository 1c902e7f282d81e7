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
from tests.runner.support import WardenUnderTest
from tests.runner.witness import Witness, living
from tests.waiting import CLOCK, until

PROGRAM = Path(escapes.__file__)
GRACE_SECONDS = 0.25
# It ends before anybody has looked; until its tree is killed there has to be time to see that it went on.
DAEMON_GRACE_SECONDS = 2.0


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
        self.survivors[name] += len(witness.living()) + witness.beats()


class Round:
    """All programs at once in one warden, each let go (its first process ends by itself) or cancelled."""

    def __init__(self, warden: WardenUnderTest, number: int, names: Sequence[str]) -> None:
        self._warden = warden
        self._gates = {name: warden.folder.parent / f"gate-{number}-{name}" for name in names}
        self._prefix = f"escape-{os.getpid()}-{id(warden)}-{number}-"
        self._markers = {name: f"{self._prefix}{name}." for name in names}
        self.witnesses: dict[str, Witness] = {}
        for name in names:
            warden.send(
                warden.order(
                    Path(sys.executable),
                    name,
                    arguments=["-I", "-S", str(PROGRAM), name, self._markers[name], str(self._gates[name])],
                    grace=DAEMON_GRACE_SECONDS if name == "daemon" else GRACE_SECONDS,
                    lease=60.0,
                )
            )

    def meet(self) -> None:
        """Wait until every one is seen outside."""
        for _ in self._gates:
            spawned = self._warden.expect(Spawned)
            self.witnesses[spawned.key] = Witness(
                self._markers[spawned.key], spawned.pid, Path(f"{self._gates[spawned.key]}.pulse")
            )
        missing = dict(self.witnesses)

        def look() -> bool:
            everybody = living(self._prefix)
            for name in [name for name, witness in missing.items() if witness.look(everybody)]:
                del missing[name]
            return not missing

        try:
            until(look, "all to be outside")
        except AssertionError as error:
            raise AssertionError(f"{error}; missing: {sorted(missing)}") from None

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

    def over(self) -> None:
        """Let nothing of it go on, whatever the warden did."""
        for gate in self._gates.values():
            Path(f"{gate}.over").touch()


def escape(warden: WardenUnderTest, rounds: int, names: Sequence[str]) -> Tally:
    """Each program so many times, every second time cancelled."""
    tally = Tally()
    for number in range(rounds):
        one = Round(warden, number, names)
        try:
            one.meet()
            one.end(tally, cancel=number % 2 == 1)
        finally:
            one.over()
    return tally


def in_mode(mode: str, folder: Path, *, at_once: int = 10) -> WardenUnderTest:
    """A warden with cgroups, or one that does without."""
    warden = WardenUnderTest(folder, at_once=at_once, kernel_limits="auto" if mode == "kernel" else "off")
    if mode == "kernel" and warden.ready.enforcement["processes"] != "kernel":
        warden.close()
        pytest.skip("no cgroup can be written here")
    return warden


@pytest.mark.parametrize("mode", ["kernel", "supervised"])
@pytest.mark.parametrize(
    "rounds", [pytest.param(2), pytest.param(200, marks=[pytest.mark.long, pytest.mark.timeout(1200)])]
)
def test_nothing_outlives_its_task(tmp_path: Path, rounds: int, mode: str) -> None:
    names = escapes.NAMES
    warden = in_mode(mode, tmp_path, at_once=len(names))
    began = CLOCK.boottime()
    try:
        tally = escape(warden, rounds, names)
    finally:
        warden.close()
    print(
        f"{mode}: {len(names)} programs × {rounds} in {CLOCK.boottime() - began:.1f} s: {tally.outside.total()} seen "
        f"outside, {tally.stragglers.total()} results told of stragglers, {tally.survivors.total()} survivors"
    )
    assert all(tally.outside[name] == rounds for name in names), tally.outside
    assert all(tally.stragglers[name] == rounds for name in names), tally.stragglers
    assert not tally.survivors.total(), tally.survivors


@pytest.mark.parametrize("mode", ["kernel", "supervised"])
def test_what_put_off_its_tag_and_its_environment_is_found_by_its_parents(tmp_path: Path, mode: str) -> None:
    warden = in_mode(mode, tmp_path)
    try:
        tally = escape(warden, 4, ["no_tag"])
    finally:
        warden.close()
    assert (tally.outside.total(), tally.stragglers.total(), tally.survivors.total()) == (4, 4, 0), tally


def test_without_sub_reaper_and_tags_they_do(tmp_path: Path) -> None:
    warden = WardenUnderTest(tmp_path, at_once=12, module="tests.runner.unguarded_warden", kernel_limits="off")
    tally = Tally()
    one = Round(warden, 0, escapes.NAMES)
    try:
        one.meet()
        one.end(tally, cancel=False)
    finally:
        warden.close()
        survivors = {name for name, witness in one.witnesses.items() if witness.living() or witness.beats()}
        one.over()
        for witness in one.witnesses.values():
            until(lambda witness=witness: (witness.kill(), not witness.living())[1], "the control's own end")  # type: ignore[misc]
    print(f"without sub-reaper and tags {len(survivors)} of 12 programs outlive their task: {sorted(survivors)}")
    assert len(survivors) >= 10
