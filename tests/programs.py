"""System programs that a test cannot do without: skipped with the line that installs them, required in CI."""

from __future__ import annotations

import os
import shutil
from typing import NoReturn

import pytest


def require(program: str, apt: str = "") -> str:
    """Return the path of a program; without it skip the test, or fail it where QUANTUM_CI is set.

    `apt` is the Debian package that holds the program, when its name differs.
    """
    path = shutil.which(program)
    if path is None:
        missing(f"{program} is not installed: sudo apt-get install {apt or program}")
    return path


def missing(reason: str) -> NoReturn:
    """Skip the test for want of something on this machine, or fail it where QUANTUM_CI is set."""
    if os.environ.get("QUANTUM_CI"):
        pytest.fail(reason)
    pytest.skip(reason)
