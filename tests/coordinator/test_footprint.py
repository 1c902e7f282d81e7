"""Footprints against their plain definition."""

from math import ceil

from hypothesis import given
from hypothesis import strategies as st

from services.coordinator.domain.footprint import (
    MIB,
    PEAKS_MAX,
    STEP_BYTES,
    UNKNOWN_BYTES,
    footprint_bytes,
    peaks_from,
    percentile_95,
    with_peaks,
)

PEAKS = st.lists(st.integers(1, 1 << 40), min_size=1, max_size=PEAKS_MAX)


@given(PEAKS)
def test_the_percentile_is_the_smallest_peak_that_95_in_100_do_not_exceed(peaks: list[int]) -> None:
    reaching = [peak for peak in peaks if sum(other <= peak for other in peaks) * 100 >= 95 * len(peaks)]
    assert percentile_95(peaks) == min(reaching)


@given(PEAKS)
def test_a_footprint_is_the_percentile_in_whole_steps(peaks: list[int]) -> None:
    assert 0 <= footprint_bytes(peaks) - percentile_95(peaks) < STEP_BYTES
    assert footprint_bytes(peaks) % STEP_BYTES == 0


def test_without_history_it_is_modest() -> None:
    assert footprint_bytes([]) == UNKNOWN_BYTES == 64 * MIB


@given(st.lists(PEAKS, max_size=8))
def test_what_is_kept_are_the_last_hundred(batches: list[list[int]]) -> None:
    text = ""
    for batch in batches:
        text = with_peaks(text, batch)
    every = [ceil(peak / MIB) * MIB for batch in batches for peak in batch]
    assert peaks_from(text) == every[-PEAKS_MAX:]
