"""The pure domain under anything that may happen, in any order."""

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.coordinator.machine import FleetMachine


class ShortMachine(FleetMachine):
    """For the normal run."""


class LongMachine(FleetMachine):
    """For the long ring."""


def _run(machine: type[FleetMachine], *, examples: int, steps: int) -> None:
    rules = settings(
        max_examples=examples,
        stateful_step_count=steps,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(machine, settings=rules)


def test_the_domain_holds_its_invariants() -> None:
    _run(ShortMachine, examples=10, steps=50)
    assert ShortMachine.steps >= 300


@pytest.mark.long
@pytest.mark.timeout(900)
def test_the_domain_holds_its_invariants_for_ten_thousand_steps() -> None:
    _run(LongMachine, examples=150, steps=120)
    assert LongMachine.steps >= 10_000
