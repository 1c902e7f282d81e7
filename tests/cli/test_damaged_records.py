"""A record of a unit that somebody has damaged is named, with its cure, and hides nothing else."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from cli.doctor.findings import Mark, worst
from cli.doctor.state import left_over
from cli.doctor.subject import Subject
from cli.processes.running import damaged_records, read_running
from foundation.process_identity import identity_of
from tests.cli.conftest import Quantum
from tests.cli.initialised import Place

OURS = {"pid": os.getpid(), "identity": identity_of(os.getpid())}
TORN = ['{"pid": 12', "", "[]", "7", '{"identity": "x"}', '{"pid": "many", "identity": "x"}']


def _write(place: Place, name: str, text: str) -> Path:
    place.workspace.units.mkdir(exist_ok=True)
    path = place.workspace.units / f"{name}.json"
    path.write_text(text)
    return path


@pytest.mark.parametrize("text", TORN)
def test_a_damaged_record_counts_as_none_and_the_others_count(place: Place, text: str) -> None:
    torn = _write(place, "safety", text)
    _write(place, "gateway", json.dumps({**OURS, "host": "127.0.0.1", "port": 5007}))
    running = read_running(place.workspace)
    assert running is not None and running.units
    assert (list(running.processes), running.gateway.port) == (["gateway"], 5007)
    assert damaged_records(place.workspace) == [torn]
    torn.unlink()
    assert damaged_records(place.workspace) == []


@pytest.mark.parametrize("text", TORN)
def test_doctor_names_it_and_what_it_says_mends_it(place: Place, text: str) -> None:
    torn = _write(place, "safety", text)
    one = worst(left_over(Subject(place)))["left over"]
    assert (one.mark, one.cure) == (Mark.FAIL, f"rm -f {torn}")
    assert str(torn) in one.found
    torn.unlink()
    assert worst(left_over(Subject(place)))["left over"].mark is Mark.OK


def test_status_goes_on_and_says_so(quantum: Quantum, folder: Path) -> None:
    (folder / ".quantum" / "units").mkdir(parents=True)
    torn = folder / ".quantum" / "units" / "safety.json"
    torn.write_text("{")
    seen = quantum("status")
    assert seen.code == 69
    assert "Nothing runs" in seen.out
    assert f"{torn} has been damaged" in seen.err and "quantum doctor" in seen.err
