"""The runner's own tests of limits, ends and escapes, where systemd has delegated cgroup v2 to ann."""

from __future__ import annotations

import re

import pytest

from tests.vm.conftest import NewMachine
from tests.vm.scene import eventually, until_healthy

pytestmark = [pytest.mark.long, pytest.mark.timeout(7200)]

FILES = ("test_cgroups", "test_warden_limits", "test_warden_escapes", "test_warden_end")
WITHIN_SECONDS = 3600


def test_the_runners_own_tests_pass_below_delegated_cgroups(new_machine: NewMachine) -> None:
    with new_machine() as machine:
        until_healthy(machine)
        machine.quantum("service", "stop", timeout=900)
        pytest_there = [
            *("systemd-run", "--user", "--scope", "--quiet", "--property=Delegate=yes", "/opt/venv/bin/python"),
            *("-m", "pytest", "-q", "-rs", "-p", "no:cacheprovider", "-o", "timeout=900", "-m", "not long"),
        ]
        files = [f"tests/runner/{name}.py" for name in FILES]
        done = machine.run(*pytest_there, *files, cwd="/opt/quantum", timeout=WITHIN_SECONDS, code=None)
        print(done.out[-3000:])
        assert done.code == 0
        assert not re.search(r"SKIPPED.*no cgroup", done.out), "none is left out for want of cgroups"
        eventually(lambda: not machine.run("pgrep", "-f", "warden", code=None).out, "nothing of it is left")
