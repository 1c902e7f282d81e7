"""The environment of every Python that we start: our own packages, and never a folder that happens to be there."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

PACKAGES = Path(__file__).resolve().parents[1]


def child_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """These variables, and where our packages are.

    A workspace may well hold a folder named `services`, which `python -m` would otherwise import in place of ours.
    """
    child = {**environ, "PYTHONSAFEPATH": "1"}
    if PACKAGES.name not in ("site-packages", "dist-packages"):
        child["PYTHONPATH"] = os.pathsep.join(filter(None, (str(PACKAGES), environ.get("PYTHONPATH"))))
    return child
