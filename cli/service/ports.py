"""The seam to the operating system's service manager; one implementation each for systemd and launchd."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Protocol

from cli.service.parts import Part
from foundation.errors import TimedOut, Unsupported

CALL_SECONDS = 120.0
START_SECONDS = 630.0
"""A start returns when the units are ready, for which each has 600 s; a slow machine needs some of them."""
NO_MANAGER = "no_user_manager"
"""The code of what is raised where the manager is not there for this user; it runs nothing then."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What one call of the manager's own command left."""

    code: int
    out: str
    err: str

    @property
    def said(self) -> str:
        """What it said, on one line."""
        return " ".join((self.err or self.out).split())


Call = Callable[[Sequence[str]], Answer]


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How the manager sees one unit."""

    part: Part
    unit: str
    state: str
    """`active`, `starting`, `stopping`, `stopped`, `failed`, or `absent` when there is no such unit."""
    pid: int | None = None
    restarts: int | None = None
    """How often it was started again by itself; None where the manager does not count."""
    says: str = ""
    """Its own last sentence; empty when it has none."""
    result: str = ""
    """How its last run ended, as the manager saw it; empty while it runs or where the manager does not say."""


@dataclass(frozen=True, slots=True)
class Advice:
    """What a person should know for the units to outlive a logout or a reboot; `line` mends it, empty: nothing does."""

    says: str
    line: str = ""


class Manager(Protocol):
    """One user's service manager, for the units of one workspace. What it refuses is raised as Unavailable."""

    name: str
    folder: Path
    """Where it looks for units."""

    def files(self, values: Mapping[str, str]) -> Mapping[Path, bytes]:
        """What to write, by its path, with these values filled in."""
        ...

    def start(self) -> None:
        """Take up what was written, start it now and at every login; returns when each has said that it is ready."""
        ...

    def stop(self) -> None:
        """End it and do not start it again by itself, also not at the next login; returns when it has ended."""
        ...

    def restart(self, part: Part) -> None:
        """End one and start it again."""
        ...

    def forget(self) -> None:
        """Drop what is known of units whose files are gone."""
        ...

    def standing(self) -> list[Standing]:
        """How each unit stands, in the order of start."""
        ...

    def advice(self) -> Advice | None:
        """What keeps these from outliving a logout or a reboot; None when nothing does."""
        ...


def calling(environ: Mapping[str, str]) -> Call:
    """Runs the manager's command with this environment. Raises Unsupported where it is not installed."""

    def call(argv: Sequence[str]) -> Answer:
        seconds = START_SECONDS if "start" in argv else CALL_SECONDS
        try:
            done = subprocess.run(
                argv,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=seconds,
                check=False,
                env=dict(environ),
            )
        except FileNotFoundError:
            raise Unsupported(
                "no_service_manager",
                f"There is no {argv[0]} here, so that nothing can be run as a service.",
                remedy="quantum up --detach runs everything without one.",
            ) from None
        except subprocess.TimeoutExpired:
            within = timedelta(seconds=seconds)
            raise TimedOut("manager_silent", f"{' '.join(argv)} did not end within {within}.") from None
        return Answer(done.returncode, done.stdout, done.stderr)

    return call
