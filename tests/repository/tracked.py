"""What git tracks here, for the tests that hold the repository to its own rules."""

from __future__ import annotations

import subprocess
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
GENERATED = ("_pb2.py", "_pb2.pyi", "_pb2_grpc.py", "_pb2_grpc.pyi")


@cache
def tracked(suffix: str = "") -> tuple[Path, ...]:
    """Return the tracked files whose names end with `suffix` and that are there, relative to the root."""
    listing = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    names = (Path(name) for name in listing.split("\0") if name.endswith(suffix) and name)
    return tuple(name for name in names if (ROOT / name).is_file())


def ours(suffix: str) -> tuple[Path, ...]:
    """Return the tracked files that people write: generated stubs and vendored files left out."""
    return tuple(path for path in tracked(suffix) if not path.name.endswith(GENERATED) and "vendor" not in path.parts)
