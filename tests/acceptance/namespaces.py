"""Two hosts that are two: network namespaces with a cable between them, which a test can pull."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tests.programs import missing, require

HERE, THERE = "10.231.77.1", "10.231.77.2"


@dataclass(frozen=True, slots=True)
class Cable:
    """This machine has the address HERE; what runs `within` has THERE, and nothing else of the network."""

    name: str
    end: str

    @property
    def within(self) -> tuple[str, ...]:
        """What is put before a command to run it on the other host."""
        return ("ip", "netns", "exec", self.name)

    def pull(self) -> None:
        """Nothing passes any more, and nobody is told."""
        _ip("link", "set", self.end, "down")

    def plug_in(self) -> None:
        """It passes again."""
        _ip("link", "set", self.end, "up")


@contextmanager
def cable() -> Iterator[Cable]:
    """A second host, removed on leaving; the test is skipped where there can be none."""
    require("ip", "iproute2")
    if os.geteuid() != 0:
        missing("network namespaces need root")
    name = f"qns{os.getpid()}"
    near, far = f"qa{os.getpid()}", f"qb{os.getpid()}"
    try:
        _ip("netns", "add", name)
    except subprocess.CalledProcessError as error:
        missing(f"there are no network namespaces here: {error.stderr.strip()}")
    try:
        _ip("link", "add", near, "type", "veth", "peer", "name", far, "netns", name)
        _ip("address", "add", f"{HERE}/30", "dev", near)
        _ip("link", "set", near, "up")
        for words in (
            ("address", "add", f"{THERE}/30", "dev", far),
            ("link", "set", far, "up"),
            ("link", "set", "lo", "up"),
        ):
            _ip("-n", name, *words)
        yield Cable(name, near)
    finally:
        # The pair of interfaces goes with the namespace.
        _ip("netns", "delete", name)


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True, text=True, timeout=60)
