"""What the supervisor does from time to time: certificates that are renewed under a system that runs."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from cli.__main__ import EXIT_CODES
from cli.keys.authority import make_authority, renew_identities
from cli.processes.gateway_address import GatewayAddress
from cli.processes.identity import process, to_json
from cli.processes.starting import Plan, _keep_identities
from foundation.clock import ManualClock
from foundation.errors import Kind
from foundation.secrets import open_secret_store
from tests.cli.conftest import Quantum
from tests.cli.fakes import PlayedSession

EXPOSED = {"QUANTUM_GATEWAY_HOST": "0.0.0.0", "QUANTUM_GATEWAY_NAMES": "quantum.example.org"}
_SECONDS = 20


@pytest.fixture
def gateway() -> Iterator[subprocess.Popen[bytes]]:
    """A process that the workspace takes for its gateway."""
    child = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
    yield child
    child.kill()
    child.wait(_SECONDS)


@pytest.mark.parametrize(("age", "restarted"), [(timedelta(days=3), False), (timedelta(days=4), True)])
def test_a_gateway_whose_certificate_was_renewed_is_started_again(
    folder: Path, gateway: subprocess.Popen[bytes], age: timedelta, restarted: bool
) -> None:
    session, clock = PlayedSession(folder), ManualClock()
    workspace = session.workspace
    secrets = open_secret_store(workspace, {"QUANTUM_KEYCHAIN": "file"})
    make_authority(workspace, secrets, now=clock.now())
    assert [one.role for one in renew_identities(workspace, secrets, EXPOSED, now=clock.now())] == ["gateway"]
    known = process(gateway.pid)
    assert known is not None
    runtime = {"host": "0.0.0.0", "port": 5005, "supervisor": None, "processes": to_json({"gateway": known})}
    workspace.runtime.write_text(json.dumps(runtime))
    plan = Plan(
        workspace=workspace,
        gateway=GatewayAddress("0.0.0.0", 5005),
        runners=(),
        labels=(),
        debug=False,
        stop_grace_seconds=10,
        environ=EXPOSED,
    )
    clock.advance(age)
    session.clock = clock
    _keep_identities(session, plan)
    if restarted:
        assert gateway.wait(_SECONDS) == -signal.SIGTERM
    else:
        assert gateway.poll() is None


def test_nothing_starts_over_an_isolation_that_was_cut_short(folder: Path, quantum: Quantum) -> None:
    quantum("init")
    workspace = PlayedSession(folder).workspace
    workspace.isolating.touch()
    for words in (("up", "--detach"), ("up",)):
        refused = quantum(*words)
        assert refused.code == EXIT_CODES[Kind.CONFLICT], refused
        assert "was not brought to its end" in refused.err and "quantum isolate" in refused.err
    assert not workspace.runtime.exists()
