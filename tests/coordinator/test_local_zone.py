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
    (tmp_path / "localtime").symlink_to(target)
    assert local_zone({}, tmp_path) == zone


@pytest.mark.parametrize(
    ("named", "zone"),
    [
        ("Asia/Tokyo", "Asia/Tokyo"),
        (":Asia/Tokyo", "Asia/Tokyo"),
        ("/usr/share/zoneinfo/Asia/Tokyo", "Asia/Tokyo"),
        (":/etc/localtime", "Europe/Berlin"),
        ("CET-1CEST", "Europe/Berlin"),
        ("", "Europe/Berlin"),
    ],
)
def test_what_tz_names_goes_before_it(tmp_path: Path, named: str, zone: str) -> None:
    (tmp_path / "localtime").symlink_to("/usr/share/zoneinfo/Europe/Berlin")
    assert local_zone({"TZ": named}, tmp_path) == zone


def test_where_localtime_is_a_copy_the_file_beside_it_says_whose(tmp_path: Path) -> None:
    (tmp_path / "localtime").write_bytes(b"TZif2")
    assert local_zone({}, tmp_path) == "UTC"
    (tmp_path / "timezone").write_text("Europe/Berlin\n")
    assert local_zone({}, tmp_path) == "Europe/Berlin"


def test_a_setting_that_names_no_zone_is_refused_with_the_nearest_one(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match=r"schedule_timezone, “Europe/Berln”, is not a time zone .* “Europe/Berlin”"):
        load(
            CoordinatorSettings,
            workspace=Workspace(tmp_path),
            environ={"QUANTUM_SCHEDULE_TIMEZONE": "Europe/Berln"},
        )
