"""What an attempt is expected to take of a machine's memory: the 95th percentile of its agent's last hundred peaks."""

from collections.abc import Iterable, Sequence
from math import ceil

PEAKS_MAX = 100
MIB = 1 << 20
UNKNOWN_BYTES = 64 * MIB
"""For an agent of which no peak is known: modest, because most scripts are, and the first known peak corrects it."""
STEP_BYTES = 16 * MIB


def percentile_95(peaks: Sequence[int]) -> int:
    """The nearest rank: the smallest peak that at least 95 in 100 do not exceed. `peaks` must not be empty."""
    return sorted(peaks)[ceil(len(peaks) * 0.95) - 1]


def footprint_bytes(peaks: Sequence[int]) -> int:
    """Bytes to set aside for one attempt, in whole steps, so that agents that are alike count as the same."""
    if not peaks:
        return UNKNOWN_BYTES
    return ceil(percentile_95(peaks) / STEP_BYTES) * STEP_BYTES


def peaks_from(text: str) -> list[int]:
    """Peaks in bytes from how they are kept: whole MiB with a space between, oldest first."""
    return [int(peak) * MIB for peak in text.split()]


def with_peaks(text: str, peaks_bytes: Iterable[int]) -> str:
    """What is kept once these have been seen, too: the last hundred, each rounded up to a MiB."""
    kept = [*text.split(), *(str(ceil(peak / MIB)) for peak in peaks_bytes)]
    return " ".join(kept[-PEAKS_MAX:])
