"""Durations and sizes as people write them."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foundation.errors import Invalid
from foundation.quantities import format_duration, format_size, parse_duration, parse_size


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90s", 90),
        ("5m", 300),
        ("1h30m", 5400),
        ("1.5h", 5400),
        ("250ms", 0.25),
        ("1m250ms", 60.25),
        ("7d", 604800),
        ("1d2h3m4s5ms", 93784.005),
        (" 0s ", 0),
    ],
)
def test_durations_that_are_read(text: str, seconds: float) -> None:
    assert parse_duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    "text", ["", "5", "5 m", "m", "-5s", "1m1h", "1m1m", "5M", "1e3s", ".5s", "5.s", "٥s", "999999999999999d"]
)
def test_durations_that_are_refused(text: str) -> None:
    with pytest.raises(Invalid) as caught:
        parse_duration(text)
    assert caught.value.code == "bad_duration"


@given(st.timedeltas(min_value=timedelta(0), max_value=timedelta(days=10_000)))
def test_a_duration_that_was_written_is_read_as_the_same(duration: timedelta) -> None:
    assert parse_duration(format_duration(duration)) == duration


def test_how_durations_are_written() -> None:
    written = [format_duration(timedelta(seconds=s)) for s in (0, 0.25, 90, 5400, 86400, 100)]
    assert written == ["0s", "0.25s", "1m30s", "1h30m", "1d", "1m40s"]
    assert format_duration(timedelta(seconds=-5)) == "-5s"


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("4096", 4096),
        ("812B", 812),
        ("64KiB", 65536),
        ("512MB", 512 * 1024**2),
        ("2GB", 2 * 1024**3),
        ("2 gb", 2 * 1024**3),
        ("1.5G", 3 * 512 * 1024**2),
        ("1PB", 1024**5),
    ],
)
def test_sizes_that_are_read(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "GB", "2XB", "-1", "0.5", "1.0001KB", "2GBB", "2  GB", "1e9"])
def test_sizes_that_are_refused(text: str) -> None:
    with pytest.raises(Invalid) as caught:
        parse_size(text)
    assert caught.value.code == "bad_size"


@given(st.integers(min_value=0, max_value=1023), st.sampled_from(["B", "KB", "MB", "GB", "TB", "PB"]))
def test_a_whole_size_that_was_written_is_read_as_the_same(count: int, unit: str) -> None:
    assert parse_size(format_size(parse_size(f"{count}{unit}"))) == parse_size(f"{count}{unit}")


def test_how_sizes_are_written() -> None:
    sizes = (0, 812, 1024, 1536, 2 * 1024**3, 5000 * 1024**5, -1024)
    assert [format_size(size) for size in sizes] == ["0B", "812B", "1KB", "1.5KB", "2GB", "5000PB", "-1KB"]
