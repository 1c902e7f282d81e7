"""A program that searches everywhere finds nothing in a sandbox and as another user, and does find it outside both."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import socket
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from foundation.secrets import FileStore
from services.agent_runner.warden.protocol import Spawned
from tests.programs import missing
from tests.runner.sandboxes import CLOSED, Sandbox, SandboxUnderTest

_SEEKER = Path(__file__).parent / "seeker.py"
# Outside of /tmp, which a sandbox has for itself anyway.
_ELSEWHERE = "/var/tmp"


class Planted:
    """A workspace with words planted in it, each in a place of its own, and a task of somebody else that runs."""

    def __init__(self, folder: Path, path: str) -> None:
        names = ("environ", "key", "sealed", "params", "credential")
        self.words = {name: f"planted-{name}-{secrets.token_hex(8)}" for name in names}
        self.box = SandboxUnderTest(
            folder, environ={"QUANTUM_SECRET_OF_OURS": self.words["environ"], "PATH": path, "HOME": "/nonexistent"}
        )
        store = FileStore(self.box.state / "credentials")
        store.set("quantum-service", "runner", "something")
        key = self.box.state / "credentials" / "key"
        key.write_bytes(self.words["key"].encode()[:32].ljust(32, b"x"))
        self.words["key"] = self.words["key"][:32]
        (self.box.state / "safety.db").write_text(self.words["sealed"])
        self.outside = folder / "outside"
        self.outside.mkdir(mode=0o755)
        self.server = socket.create_server(("127.0.0.1", 0))
        self.abstract = socket.socket(socket.AF_UNIX)
        self.abstract.bind(f"\0quantum-{secrets.token_hex(8)}")
        self.abstract.listen()

    def seek(self, sandbox: Sandbox | None, run_as: str) -> list[str]:
        """Let the seeker loose while another task on the same terms runs; returns its lines."""
        warden = self.box.warden
        other = warden.shell(
            'read -r params < "$QUANTUM_PARAMS"; read -r key < "$QUANTUM_CREDENTIAL"; echo on; sleep 60'
        )
        params = json.dumps({"password": self.words["params"]})
        shared = {"folder": str(self.box.project), "sandbox": sandbox, "run_as": run_as}
        warden.send(warden.order(other, "other", params=params, credential=self.words["credential"], **shared))
        spawned = warden.expect(Spawned, lambda spawned: spawned.key == "other")
        warden.wait_output(spawned.slot, b"on")
        script = warden.script("seeker.py", f"#!/usr/bin/env python3\n{_SEEKER.read_text()}")
        seek = {
            "SEEK": ",".join(word[::-1] for word in self.words.values()),
            "SEEK_FOLDERS": f"{self.box.root}:{self.outside}:{self.box.state}",
            "SEEK_PIDS": f"{warden.pid},{spawned.pid}",
            "SEEK_PORTS": str(self.server.getsockname()[1]),
            "SEEK_ABSTRACT": self.abstract.getsockname()[1:].decode(),
        }
        ended = warden.run(script, "seeker", variables=seek, **shared)
        said = self.box.said(ended)
        print(said)
        assert os.waitstatus_to_exitcode(ended.status) == 0, said
        lines = said.splitlines()
        assert lines[-1].startswith("LOOKED"), said
        return lines[:-1]

    def close(self) -> None:
        self.server.close()
        self.abstract.close()
        self.box.close()


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that every user may enter, as pytest's own are not."""
    path = Path(tempfile.mkdtemp(prefix="quantum-seek-", dir=_ELSEWHERE))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


@pytest.fixture
def planted(folder: Path) -> Iterator[Planted]:
    """With everything that the machine has."""
    planted = Planted(folder, os.environ["PATH"])
    yield planted
    planted.close()


@pytest.fixture
def without_bubblewrap(folder: Path) -> Iterator[Planted]:
    """With a PATH on which there is no bubblewrap."""
    programs = folder / "bin"
    programs.mkdir()
    for name in ("sh", "env", "true", "sleep"):
        (programs / name).symlink_to(shutil.which(name) or "")
    (programs / "python3").symlink_to(os.path.realpath(sys.executable))
    planted = Planted(folder, str(programs))
    yield planted
    planted.close()


def _level(planted: Planted, level: str) -> None:
    if planted.box.warden.ready.confinement[0] != level:
        missing(f"{level} does not work here: {planted.box.warden.ready.confinement}")


def test_outside_of_both_everything_is_found(planted: Planted) -> None:
    lines = planted.seek(None, "")
    found = {name for name, word in planted.words.items() if any(word[::-1] in line for line in lines)}
    assert found == set(planted.words), "the search is good enough to find each of them"
    for way in ("environ", "file", "mem", "ptrace", "process_vm_readv"):
        assert any(line.startswith(f"FOUND {way}") for line in lines), f"the search by {way} works"
    assert f"WROTE {planted.outside}" in lines
    assert any(line.startswith("REACHED 127") for line in lines) and "REACHED abstract" in lines


def test_in_a_sandbox_nothing_is_found_written_or_reached(planted: Planted) -> None:
    _level(planted, "bubblewrap")
    assert planted.seek(CLOSED, "") == []


def test_as_another_user_nothing_is_found(planted: Planted) -> None:
    _level(planted, "bubblewrap")
    if os.geteuid():
        pytest.skip("only root has rights that run_as takes away")
    lines = planted.seek(None, "user")
    assert [line for line in lines if not line.startswith("REACHED")] == []


def test_as_another_user_in_a_sandbox_nothing_is_found(planted: Planted) -> None:
    _level(planted, "bubblewrap")
    if os.geteuid():
        pytest.skip("only root has rights that run_as takes away")
    assert planted.seek(CLOSED, "user") == []


def test_by_landlock_nothing_is_found_written_or_reached(without_bubblewrap: Planted) -> None:
    _level(without_bubblewrap, "landlock")
    assert without_bubblewrap.seek(CLOSED, "") == []


def test_by_landlock_a_link_to_the_secrets_opens_no_way(without_bubblewrap: Planted) -> None:
    _level(without_bubblewrap, "landlock")
    # Everything in the workspace but its state is granted, entry by entry.
    (without_bubblewrap.box.root / "way").symlink_to(".quantum")
    assert without_bubblewrap.seek(CLOSED, "") == []


def test_while_it_may_write_nearly_everything_the_secrets_are_not_found(planted: Planted) -> None:
    _level(planted, "bubblewrap")
    wide: Sandbox = ([str(planted.box.root), str(planted.outside)], [], [], True)
    lines = planted.seek(wide, "")
    assert [line for line in lines if line.startswith("FOUND")] == []
    assert f"WROTE {planted.outside}" in lines and f"WROTE {planted.box.state}" not in lines
