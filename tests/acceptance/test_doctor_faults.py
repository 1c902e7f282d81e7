"""Planted faults: each turns its own line of `doctor` and no other, and the printed cure, pasted, turns it back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from cli.doctor.examining import PARTS
from cli.doctor.findings import Finding, Mark, worst
from tests.acceptance.faults import OFFLINE, Fault, Ward, to_findings
from tests.acceptance.system import System
from tests.programs import missing

LONG = [pytest.param(fault, id=fault.name) for fault in OFFLINE]
SHORT = [pytest.param(fault, id=fault.name) for fault in OFFLINE if fault.quick and not fault.before]


@pytest.fixture(scope="module")
def bed() -> Iterator[System]:
    """A workspace that is initialised, with nothing running; every fault leaves it as it found it."""
    system = System.make({})
    del system.environ["QUANTUM_GATEWAY_PORT"]
    try:
        system.init()
        system.workspace.alert_config.write_text('{"channels": {"desktop": {"level": "warning"}}}')
        yield system
    finally:
        system.end()


@pytest.fixture
def ward(bed: System) -> Iterator[Ward]:
    with ExitStack() as stack:
        yield Ward(bed, stack)


def show(ward: Ward, fault: Fault, *, typed: bool) -> None:
    """Plant it, look, paste what is printed, look again."""
    if why := fault.needs():
        missing(why)
    ward.mounts = fault.mounts
    look = ward.typed_doctor if typed and not fault.played else ward.doctor
    healthy = look()
    fault.plant(ward)
    if fault.before:
        assert ward.type(fault.before) == 0, ward.said
    found = look()
    assert turned(healthy, found) == {fault.part: fault.mark}, found[fault.part]
    cure = found[fault.part].cure
    assert ward.type(cure) == 0, (cure, ward.said)
    mended = look()
    assert mended[fault.part].mark is healthy[fault.part].mark, (cure, mended[fault.part], ward.said)
    assert {part: one.mark for part, one in mended.items()} == {part: one.mark for part, one in healthy.items()}


def marks(system: System) -> dict[str, str]:
    """What `quantum doctor` says of each part."""
    found = system.quantum("doctor", "--json", "--within", "90s", timeout=200).document["findings"]
    return {part: one.mark.value for part, one in worst(to_findings(found)).items()}


def turned(before: dict[str, Finding], after: dict[str, Finding]) -> dict[str, str]:
    """The lines that have become worse, and are no mere followers of one that is not mended."""
    worse = {part: one for part, one in after.items() if one.mark.weight > before[part].mark.weight}
    assert set(before) == set(after)
    return {part: one.mark.value for part, one in worse.items() if one.mark is not Mark.UNSEEN}


@pytest.mark.parametrize("fault", SHORT)
def test_its_own_line_and_the_cure(ward: Ward, fault: Fault) -> None:
    show(ward, fault, typed=False)


@pytest.mark.long
@pytest.mark.parametrize("fault", LONG)
def test_its_own_line_and_the_cure_typed(ward: Ward, fault: Fault) -> None:
    show(ward, fault, typed=True)


def test_control_a_check_that_is_taken_out_sees_nothing(ward: Ward, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without its check a fault stays unseen, and the very same test fails."""

    def blind(subject: object) -> list[Finding]:
        return [Finding(mark=Mark.OK, part="file rights", found="")]

    fault = next(one for one in OFFLINE if one.name == "rights of a database")
    parts = {blind if parts == ("file rights",) else check: parts for check, parts in PARTS.items()}
    with monkeypatch.context() as patched:
        patched.setattr("cli.doctor.examining.PARTS", parts)
        with pytest.raises(AssertionError, match="file rights"):
            show(ward, fault, typed=False)
    ward.workspace.safety_db.chmod(0o600)
    show(ward, fault, typed=False)


def test_there_are_more_than_thirty() -> None:
    assert len(OFFLINE) > 30
    assert len({fault.name for fault in OFFLINE}) == len(OFFLINE)
