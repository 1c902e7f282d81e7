"""Images and machines; each test has a machine of its own, a copy of one that was prepared once."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import psutil
import pytest

from tests.programs import require
from tests.vm.emulators import program
from tests.vm.image import Image, cache, image
from tests.vm.machine import AUTOMATION, Machine, machine
from tests.vm.source import source_disk

NewMachine = Callable[..., AbstractContextManager[Machine]]


@pytest.fixture(scope="session")
def built() -> Image:
    """Debian with what Quantum depends on."""
    program()
    require("setpriv", "util-linux")
    return image()


@pytest.fixture(scope="session")
def disks() -> Iterator[Path]:
    """Where the disks of this run lie; they go with it."""
    for left in cache().glob("run-*"):
        if not psutil.pid_exists(int(left.name.removeprefix("run-"))):
            shutil.rmtree(left)  # of a run that was killed
    folder = cache() / f"run-{os.getpid()}"
    folder.mkdir(parents=True)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def source(disks: Path, built: Image) -> Path:
    """This tree, as it is now."""
    path = disks / "source.img"
    source_disk(path)
    return path


@pytest.fixture(scope="session")
def installed(disks: Path, built: Image, source: Path) -> Path:
    """The disk of a machine on which ann, logged in, has made a workspace and installed its services, and lingers."""
    with machine(built, disks / "installing", system=built.disk, source=source) as made:
        made.run("mkdir", AUTOMATION, by="session")
        made.quantum("init", by="session")
        # Emulated, the machine is always too busy for what it guards.
        made.quantum("config", "set", "host_guard", "off", by="session")
        made.quantum("config", "set", "max_concurrent_agents", "4", by="session")
        made.quantum("service", "install", by="session", timeout=900)
        made.run("loginctl", "enable-linger", by="session")
        made.power_off()
        path = disks / "installed.img"
        made.system.rename(path)
    return path


@pytest.fixture
def new_machine(built: Image, disks: Path, source: Path, installed: Path, tmp_path: Path) -> NewMachine:
    """Makes a machine that is on, of the installed disk; `logged` for one whose power can be cut."""

    def make(*, logged: bool = False, source: Path = source) -> AbstractContextManager[Machine]:
        return machine(built, disks / tmp_path.name, system=installed, source=source, logged=logged)

    return make
