"""The pure domain under anything that may happen, in any order."""

import pytest

from services.coordinator.domain.task import request_cancel
from tests.coordinator.machine import FleetMachine, walk
from tests.coordinator.tasks import NOW, S, task


class ShortMachine(FleetMachine):
    """For the normal run."""


class LongMachine(FleetMachine):
    """For the long ring."""


def test_the_machine_moves_a_descendant_once_however_many_ways_lead_to_it() -> None:
    top = task()
    left, right = (task(S.BLOCKED, depends_on=(top.id,)) for _ in range(2))
    bottom = task(S.BLOCKED, depends_on=(left.id, right.id))
    stranger = task(S.BLOCKED)
    machine = ShortMachine()
    machine.tasks = {each.id: each for each in (top, left, right, bottom, stranger)}
    moved = machine.family(request_cancel(top, reason="asked", now=NOW))
    assert [before for before, _ in moved] == [left, right, bottom]
    assert {after.state for _, after in moved} == {S.CANCELLED}


def test_the_domain_holds_its_invariants() -> None:
    walk(ShortMachine, examples=10, steps=50)
    assert ShortMachine.steps >= 300


@pytest.mark.long
@pytest.mark.timeout(900)
def test_the_domain_holds_its_invariants_for_ten_thousand_steps() -> None:
    walk(LongMachine, examples=150, steps=120)
    assert LongMachine.steps >= 10_000
