"""A sandbox, another user and neither, through the whole system: what each reaches, and what the result says of it."""

from __future__ import annotations

import os
import socket
import sys

import pytest

from tests.acceptance.system import System
from tests.programs import require

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="it looks through /proc")


def _look(port: int) -> str:
    """Looks for the runner's secrets, writes outside, asks a server of the test; says what it could do."""
    return f"""
state="$QUANTUM_WORKSPACE/.quantum"
cat "$state/credentials/key" > /dev/null 2>&1 && echo KEY
grep -q -a -s QUANTUM_KEYCHAIN= /proc/[0-9]*/environ && echo ENVIRON
ls "$state"/runner-*/slots/*/params.json 2> /dev/null | grep -v -q "$QUANTUM_PARAMS" && echo PARAMS
echo x 2> /dev/null > "$QUANTUM_WORKSPACE/written" && echo WROTE
python3 -c "import socket; socket.create_connection(('127.0.0.1', {port}), 5)" 2> /dev/null && echo REACHED
cat "$QUANTUM_PARAMS" > /dev/null && [ -w "$QUANTUM_WORKDIR" ] && echo USED
"""


def test_what_is_reached_and_what_the_result_says_of_it(system: System) -> None:
    require("bwrap", "bubblewrap")
    # Another user has to get to the workspace.
    system.folder.chmod(0o755)
    with socket.create_server(("127.0.0.1", 0)) as server:
        look = _look(server.getsockname()[1])
        system.agent("boxed", look, 'sandbox = { network = "none" }', 'required = ["sandbox"]')
        system.agent("plain", look)
        system.agent("user", look, 'run_as = "user"')
        said = {}
        for name in ("boxed", "plain", *(["user"] if os.geteuid() == 0 else [])):
            answer = system.quantum("run", name, "--json")
            assert answer.code in (0, 1), answer
            [listed] = system.ask("tasks", "--agent", name)["tasks"]
            said[name] = system.ask("tasks", listed["id"])["task"]
            status, document = system.http("GET", f"/tasks/{listed['id']}")
            over_http = document["task"]
            assert (status, over_http["sandbox"], over_http["secrets"]) == (
                200,
                said[name]["sandbox"],
                said[name]["secrets"],
            )
    assert said["boxed"]["output_tail"] == "USED\n"
    assert (said["boxed"]["sandbox"], said["boxed"]["secrets"]) == ("bubblewrap", "out of reach")
    assert said["boxed"]["limits"]["sandbox"] == {"value": 0, "enforcement": "kernel", "detail": "bubblewrap"}
    # The control: the same look outside of both.
    assert set(said["plain"]["output_tail"].split()) >= {"KEY", "ENVIRON", "WROTE", "REACHED", "USED"}
    assert (said["plain"]["sandbox"], said["plain"]["secrets"]) == (None, "reachable")
    if "user" in said:
        assert set(said["user"]["output_tail"].split()) <= {"REACHED", "USED"}
        assert said["user"]["secrets"] == "out of reach"
    assert "secrets:     reachable" in system.quantum("tasks", said["plain"]["id"]).out
    assert "bubblewrap" in system.quantum("doctor").out
