"""Workspaces as `quantum init` leaves them: made for real once in each process of the tests, and copied from then on.

A copy has the databases and the tokens of the first, its secrets sealed anew for where it lies, and an authority of
its own. Whoever asks what `init` itself does, or whether one workspace's tokens open another, takes the real one.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from functools import cache
from pathlib import Path

from cli.first_start import initialise
from cli.keys.authority import make_authority
from foundation.clock import SystemClock
from foundation.secrets import AUTHORITY_KEY, FileStore
from foundation.workspace import Workspace


def initialise_by_copy(root: Path) -> None:
    """Make a folder, which may be missing and must be empty, a workspace with its secrets in files."""
    assert not root.exists() or not any(root.iterdir()), f"{root} is not empty"
    first, made = Workspace((Path(_first().name) / "ws").resolve()), Workspace(root.resolve())
    shutil.copytree(
        first.root,
        made.root,
        dirs_exist_ok=True,
        ignore=lambda folder, _: [first.credentials.name, "tls"] if Path(folder) == first.state else [],
    )
    theirs, ours = FileStore(first.credentials), FileStore(made.credentials)
    for path in sorted(first.credentials.glob("*.json")):
        service, account = (json.loads(path.read_bytes())[name] for name in ("service", "account"))
        if service != AUTHORITY_KEY:
            secret = theirs.get(service, account)
            assert secret is not None and account.startswith(str(first.root)), (service, account)
            ours.set(service, account.replace(str(first.root), str(made.root), 1), secret)
    make_authority(made, ours, now=SystemClock().now())


@cache
def _first() -> tempfile.TemporaryDirectory[str]:
    folder = tempfile.TemporaryDirectory(prefix="qt-first-", dir="/tmp")
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("QUANTUM_")}
    initialise(Path(folder.name) / "ws", {**inherited, "QUANTUM_KEYCHAIN": "file"})
    return folder
