"""The committed stubs are what the protos and the locked generator give."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.repository.tracked import GENERATED, ROOT, tracked


def test_stubs_are_fresh(tmp_path: Path) -> None:
    subprocess.run(
        ["sh", "protos/generate.sh", str(tmp_path)],
        cwd=ROOT,
        env={**os.environ, "PYTHON": sys.executable},
        check=True,
        capture_output=True,
        text=True,
    )
    generated = {path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.name.endswith(GENERATED)}
    committed = {path for path in tracked() if path.name.endswith(GENERATED)}
    assert generated == committed, "stubs and protos do not pair up: run `make proto` and commit"
    stale = [str(path) for path in sorted(generated) if (tmp_path / path).read_bytes() != (ROOT / path).read_bytes()]
    assert not stale, f"stale stubs, run `make proto` and commit: {stale}"
