"""An isolation over a damaged record of a unit comes to its end, unless somebody still answers."""

from __future__ import annotations

import socket

import pytest

from cli.incidents import isolating
from cli.processes.running import require_no_half_isolation
from foundation.errors import Conflict
from tests.cli.initialised import Place


@pytest.fixture(autouse=True)
def revoked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Each revocation; safety's part of it is tested where its database is."""
    done: list[str] = []
    monkeypatch.setattr(isolating, "_revoke", lambda session, child, reason, told: done.append(reason))
    return done


def damaged(place: Place, name: str) -> None:
    place.workspace.units.mkdir(exist_ok=True)
    (place.workspace.units / f"{name}.json").write_text("{")


def test_the_record_goes_and_is_named_once(place: Place, revoked: list[str]) -> None:
    damaged(place, "safety")
    done = isolating.isolate(place, "a stranger")
    assert (done.faults, revoked) == ([], ["a stranger"])
    assert ["safety.json" in note for note in done.notes] == [True]
    assert list(place.workspace.units.iterdir()) == []
    require_no_half_isolation(place.workspace)
    assert isolating.isolate(place, "again").notes == []


def test_where_its_service_answers_it_stays_and_is_named_once(place: Place) -> None:
    damaged(place, "safety")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(place.workspace.make_sockets() / "safety.sock"))
        listening.listen()
        done = isolating.isolate(place, "a stranger")
    assert [("safety.json" in fault, "ps" in fault) for fault in done.faults] == [(True, True)]
    assert done.notes == [] and (place.workspace.units / "safety.json").exists()
    with pytest.raises(Conflict):
        require_no_half_isolation(place.workspace)


def test_where_somebody_listens_in_the_gateway_s_place_its_record_stays(place: Place) -> None:
    damaged(place, "gateway")
    with socket.create_server(("127.0.0.1", 0)) as listening:
        place.workspace.config_file.write_text(f'{{"gateway_port": {listening.getsockname()[1]}}}')
        done = isolating.isolate(place, "a stranger")
    assert not done.gateway_closed and len(done.faults) == 2
    assert isolating.isolate(place, "it is gone").faults == []
