"""Bounds on how long something takes: held in the long ring, where figures are measured; else it only has to happen."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pytest


def measured(seconds: float, *, timeout: float | None = None) -> Sequence[Any]:
    """Parameters for a bound in seconds: infinite in the ordinary ring, the figure itself in the long one."""
    marks = [pytest.mark.long, *([pytest.mark.timeout(timeout)] if timeout else [])]
    return [pytest.param(math.inf, id="shown"), pytest.param(seconds, id="measured", marks=marks)]
