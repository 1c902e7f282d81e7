"""The machine's own time zone by its name, on both systems, and a setting that names none."""

from __future__ import annotations

from pathlib import Path

import pytest

from foundation.errors import Invalid
from foundation.settings import load
from foundation.workspace import Workspace
from services.coordinator.adapters.local_zone import local_zone
from services.coordinator.settings import CoordinatorSettings


@pytest.mark.parametrize(
    ("target", "zone"),
    [
        ("/usr/share/zoneinfo/Europe/Berlin", "Europe/Berlin"),
        ("../usr/share/zoneinfo/America/Argentina/Ushuaia", "America/Argentina/Ushuaia"),
        ("/var/db/timezone/zoneinfo/Europe/Berlin", "Europe/Berlin"),  # macOS
        ("/nowhere/at/all", "UTC"),
    ],
)
def test_it_is_where_localtime_leads(tmp_path: Path, target: str, zone: str) -> None:
    link = tmp_path / "localtime"
    link.symlink_to(target)
    assert local_zone({}, link) == zone


@pytest.mark.parametrize(
    ("named", "zone"), [("Europe/Berlin", "Europe/Berlin"), (":Asia/Tokyo", "Asia/Tokyo"), ("CET-1CEST", "UTC")]
)
def test_what_tz_names_goes_before_it(tmp_path: Path, named: str, zone: str) -> None:
    assert local_zone({"TZ": named}, tmp_path / "none") == zone
    assert local_zone({}, tmp_path / "none") == "UTC"


def test_a_setting_that_names_no_zone_is_refused_with_the_nearest_one(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match=r"schedule_timezone, “Europe/Berln”, is not a time zone .* “Europe/Berlin”"):
        load(
            CoordinatorSettings,
            workspace=Workspace(tmp_path),
            environ={"QUANTUM_SCHEDULE_TIMEZONE": "Europe/Berln"},
        )
