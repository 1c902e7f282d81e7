"""Makes Quantum's own packages importable, by being imported: they lie beside agents/ wherever Quantum is installed."""

from __future__ import annotations

import sys
from pathlib import Path

_BESIDE_AGENTS = str(Path(__file__).resolve().parents[2])
if _BESIDE_AGENTS not in sys.path:
    sys.path.append(_BESIDE_AGENTS)
