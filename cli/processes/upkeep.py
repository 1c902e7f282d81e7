"""What is done from time to time while a workspace runs: certificates and tokens are replaced before they are too old.

The supervisor of `quantum up` does it beside its watch; below a service manager a unit of its own does.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from datetime import datetime

from cli.keys.authority import renew_identities
from foundation.log import Logger
from foundation.own_python import child_environment
from foundation.secrets import SecretStore
from foundation.workspace import Workspace

ROTATION_SECONDS = 60.0


def renew_certificates(
    workspace: Workspace, secrets: SecretStore, environ: Mapping[str, str], log: Logger, *, now: datetime
) -> list[str]:
    """Certificates live for days and are renewed at half of that; the roles, none where nobody listens over TCP.

    The gateway reads its own once: it is for the caller to have it started again.
    """
    written = renew_identities(workspace, secrets, environ, now=now)
    for one in written:
        log.info(f"The {one.role} has a new certificate, good until {one.ends_at:%Y-%m-%d}.", action="identity_renewed")
    return [one.role for one in written]


def rotate_tokens(workspace: Workspace, environ: Mapping[str, str], log: Logger) -> bool:
    """Replace what is old, in a process of its own: the caller may start others and is never to load gRPC.

    False when that failed; what it said is in the log.
    """
    done = subprocess.run(
        [sys.executable, "-m", "cli", "--workspace", str(workspace.root), "token", "rotate", "--all", "--due"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=ROTATION_SECONDS,
        check=False,
        env=child_environment(environ),
        cwd=workspace.root,
    )
    said = done.stdout.strip()
    if done.returncode != 0:
        log.error(f"Tokens were not looked at: {said[-500:]}", action="rotation_failed")
    elif said:
        log.info(said, action="tokens_rotated")
    return done.returncode == 0
