"""The property lists, run exactly as launchd would: their arguments with their environment and nothing else."""

from __future__ import annotations

import os
import plistlib
import resource
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from cli.processes.identity import descendants, process
from cli.processes.running import read_running, wait_gone
from cli.service.launchd_darwin import Launchd
from cli.service.launchd_rules import faults
from cli.service.parts import PARTS, UPKEEP
from cli.service.ports import Answer
from cli.service.rendering import values_of
from foundation.clock import SystemClock
from foundation.workspace import Workspace
from tests.units.place import Place, make_place
from tests.units.user_systemd import Done
from tests.waiting import until

A_MINUTE = timedelta(minutes=1)
_LIMITS = {"Core": resource.RLIMIT_CORE, "NumberOfFiles": resource.RLIMIT_NOFILE}


@contextmanager
def home() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="ql") as folder:  # short: sockets lie below it
        yield Path(folder).resolve()


@pytest.fixture
def place() -> Iterator[Place]:
    """A workspace of a user whose login has no XDG_RUNTIME_DIR, as on a Mac."""
    with home() as folder:

        def run(*argv: str, cwd: Path, timeout: float, environ: Mapping[str, str], given: str) -> Done:
            done = subprocess.run(
                argv,
                cwd=cwd,
                env={**given_by_launchd(folder), **environ},
                input=given,
                capture_output=True,
                text=True,
                timeout=timeout,
                check=False,
            )
            return Done(done.returncode, done.stdout, done.stderr)

        yield make_place(folder, run)


def given_by_launchd(folder: Path) -> dict[str, str]:
    """What a job finds in its environment that its property list does not name."""
    return {
        "HOME": str(folder),
        "USER": "someone",
        "LOGNAME": "someone",
        "SHELL": "/bin/sh",
        "PATH": "/usr/bin:/bin:/usr/sbin:/sbin",
        "TMPDIR": "/tmp",
        "XPC_SERVICE_NAME": "0",
        "XPC_FLAGS": "0x0",
    }


def lists_of(workspace: Workspace, folder: Path) -> dict[str, dict[str, Any]]:
    """The jobs by the names of their parts, read from what `install` would write, and checked."""
    environ = {"HOME": str(folder), "PATH": os.environ["PATH"], "QUANTUM_KEYCHAIN": "file"}
    jobs = {}
    for path, data in (
        Launchd(workspace, environ, lambda argv: Answer(0, "", "")).files(values_of(workspace, environ)).items()
    ):
        assert faults(data, file_name=path.name) == []
        job = plistlib.loads(data)
        jobs[job["Label"].split(".")[2]] = job
    return jobs


def launch(job: Mapping[str, Any], folder: Path) -> subprocess.Popen[bytes]:
    """Start a job as launchd does: exactly its environment, its folder, its limits, its files."""

    def prepare() -> None:
        os.umask(job["Umask"])
        for name, number in _LIMITS.items():
            soft, hard = job["SoftResourceLimits"][name], job["HardResourceLimits"][name]
            most = resource.getrlimit(number)[1]
            hard = hard if most == resource.RLIM_INFINITY else min(hard, most)
            resource.setrlimit(number, (min(soft, hard), hard))

    given = [f"{name}={value}" for name, value in {**given_by_launchd(folder), **job["EnvironmentVariables"]}.items()]
    with open(job["StandardOutPath"], "ab") as out, open(job["StandardErrorPath"], "ab") as err:
        return subprocess.Popen(
            ["/usr/bin/env", "-i", *given, *job["ProgramArguments"]],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            cwd=job["WorkingDirectory"],
            env={},
            start_new_session=True,
            preexec_fn=prepare,
        )


def end(running: Mapping[str, subprocess.Popen[bytes]]) -> dict[str, int]:
    """SIGTERM in the reverse order of start; the exit codes."""
    codes = {}
    for name, child in reversed(list(running.items())):
        child.send_signal(signal.SIGTERM)
        codes[name] = child.wait(90)
    return codes


def test_all_four_are_healthy_and_run_an_agent(place: Place) -> None:
    folder = place.root.parent
    jobs = lists_of(place.workspace, folder)
    assert set(jobs) == {part.name for part in (*PARTS, UPKEEP)}
    # In the reverse of the right order: launchd knows none, so each waits for what it needs.
    running = {part.name: launch(jobs[part.name], folder) for part in reversed(PARTS)}
    try:

        def healthy() -> bool:
            assert all(child.poll() is None for child in running.values()), place.words()
            known = read_running(place.workspace)
            return known is not None and known.gateway.health(place.workspace) == "ok"

        until(healthy, "the gateway says that all is well", within=90)
        assert "Hello from hello" in place.quantum("run", "hello").out
        seen = place.ask("status")["processes"]
        assert {name: one["pid"] for name, one in seen.items()} == {
            part.process: running[part.name].pid for part in PARTS
        }
        for name, child in running.items():
            soft, hard = resource.prlimit(child.pid, resource.RLIMIT_NOFILE)
            # The gateway's server takes all that it may have.
            assert soft == (hard if name == "mcp" else jobs[name]["SoftResourceLimits"]["NumberOfFiles"]), name
            assert resource.prlimit(child.pid, resource.RLIMIT_CORE) == (0, 0)
        upkeep = launch(jobs[UPKEEP.name], folder)
        assert upkeep.wait(90) == 0, place.words()
        runner = process(running["agent-runner"].pid)
        assert runner is not None
        warden = descendants([runner])
        assert warden
        assert end(running) == dict.fromkeys(running, 0)
        assert not wait_gone(warden, within=A_MINUTE, clock=SystemClock())
        assert read_running(place.workspace) is None and not list(place.workspace.units.iterdir())
    finally:
        for child in running.values():
            child.kill()
            child.wait(60)


def test_a_wrong_setting_ends_with_a_sentence_and_no_second_start(place: Place) -> None:
    place.configure(gateway_prot=5)
    jobs = lists_of_good(place)
    for part in PARTS:
        child = launch(jobs[part.name], place.root.parent)
        # 0 is what launchd does not answer with another start.
        assert child.wait(90) == 0
        said = Path(jobs[part.name]["StandardErrorPath"]).read_text()
        assert "gateway_prot" in said and "gateway_port" in said and "Traceback" not in said
    # The control: what is no setting is started again.
    jobs["mcp"]["ProgramArguments"][0:1] = ["/bin/sh", "-c", "exit 1", "sh"]
    assert launch(jobs["mcp"], place.root.parent).wait(90) == 1


def lists_of_good(place: Place) -> dict[str, dict[str, Any]]:
    """The lists as they were written before the setting went wrong."""
    wrong = place.workspace.config_file.read_bytes()
    place.configure()
    jobs = lists_of(place.workspace, place.root.parent)
    place.workspace.config_file.write_bytes(wrong)
    return jobs
