"""A test that fails while the machine stands still is made again, from new fixtures, and says so.

What is tested here has bounds of its own: a lease of two seconds, a request that waits for five. A machine that stands
still for longer runs into them, rightly, and shows nothing of what the test is about.
"""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from _pytest.runner import runtestprotocol

from tests.waiting import CLOCK, Stopwatch

STANDSTILL_SECONDS = 1.0
AGAIN_MAX = 2


class StoodStill(pytest.PytestWarning):
    """A test was made again."""


def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> bool:
    """Run one test, and again when it failed and the machine stood still meanwhile; the last time counts."""
    where = {"nodeid": item.nodeid, "location": item.location}
    item.ihook.pytest_runtest_logstart(**where)
    reports, still = _run(item, nextitem)
    for _ in range(AGAIN_MAX):
        if still < STANDSTILL_SECONDS or not any(report.failed for report in reports):
            break
        failed = "\n".join(report.longreprtext for report in reports if report.failed)
        item.warn(
            StoodStill(f"made again: the machine stood still for {still:.1f} s, and it failed:\n{failed[-2000:]}")
        )
        item.session._setupstate.teardown_exact(None)
        item._initrequest()  # type: ignore[attr-defined]
        reports, still = _run(item, nextitem)
    for report in reports:
        item.ihook.pytest_runtest_logreport(report=report)
    item.ihook.pytest_runtest_logfinish(**where)
    return True


def _run(item: pytest.Item, nextitem: pytest.Item | None) -> tuple[Sequence[pytest.TestReport], float]:
    """What came of it, and for how many seconds the machine stood still."""
    watch, began = Stopwatch(), CLOCK.boottime()
    reports = runtestprotocol(item, log=False, nextitem=nextitem)
    return reports, CLOCK.boottime() - began - watch.seconds
