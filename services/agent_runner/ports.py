"""What the runner's use cases need from outside."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from foundation.masking import Forms
from services.agent_runner.domain.host_guard import HostReading
from services.agent_runner.warden.protocol import Message


class WardenLink(Protocol):
    """The warden, told things; what is said within one turn of the loop travels together."""

    def tell(self, *orders: Message) -> None:
        """Queue orders for the warden."""


class SecretSource(Protocol):
    """The keychain of this machine."""

    async def fetch(self, names: Sequence[str]) -> Mapping[str, str]:
        """The secrets by name, as they are now. Raises NotFound or Invalid for one that cannot be had as it is,
        Unavailable while the keychain does not answer."""


class HostGauges(Protocol):
    """How busy the machine is, and how much of that is ours."""

    def read(self, now: float, trees: Collection[int]) -> HostReading:
        """Look now (boottime); `trees` are the main processes of what runs.

        What cannot be read is told as not known.
        """


class ScriptFiles(Protocol):
    """The scripts on the disk, looked at again and again for changes."""

    def stamp(self, path: str) -> tuple[int, ...] | None:
        """Changes when the file does; None while there is none."""


class AgentLogs(Protocol):
    """`logs/agent_<name>.log` of every agent."""

    def write(self, agent: str, task_id: str, text: str) -> None:
        """Append lines, each marked with its task; soon on disk. Of a flood some are left out, and that is said."""

    def flush(self) -> None:
        """Write what has gathered."""


class Output(Protocol):
    """The output of one attempt, read behind its slot file."""

    @property
    def total_bytes(self) -> int:
        """Bytes of clean output so far."""

    @property
    def cut(self) -> bool:
        """Whether the result cannot hold it all."""

    @property
    def taken_bytes(self) -> int:
        """Bytes of raw output that were taken in."""

    def read_behind(self) -> bool:
        """Take in a piece of what was written since; says whether there may be more."""

    def finish(self, until: int) -> None:
        """Take in what is left up to an offset of the raw output; no more comes."""

    def take_all(self, raw: bytes) -> None:
        """Take in an output that was short and is told whole; no more comes."""

    def read(self, offset: int, size: int) -> tuple[bytes, int]:
        """Kept bytes from an offset on, and the offset after them; skips what was cut."""

    def tail(self) -> str:
        """The end of it, for the result."""

    def close(self) -> None:
        """Nobody reads it any more."""


class Outputs(Protocol):
    """Makes the output of an attempt, and forgets the oldest."""

    def open(self, slot: int, agent: str, task_id: str, fence: int, secrets: Forms | None = None) -> Output:
        """The output that is being written to a slot; the secrets are masked in it."""

    def go_on(self, output: Output, slot: int) -> None:
        """What follows of this output is written to another slot."""

    def peek(self, slot: int, size: int) -> bytes:
        """The first bytes of the raw output in a slot; raises OSError."""

    def report(self, slot: int) -> bytes:
        """What the script left at QUANTUM_REPORT, cut one byte after the limit; raises OSError."""


class FetchedFiles(Protocol):
    """Scripts of a coordinator on another host, kept here by their SHA-256."""

    def find(self, sha256: str, name: str) -> str | None:
        """Where a script lies that was kept and is still the same; None: it has to be fetched."""
        ...

    def keep(self, sha256: str, name: str, text: bytes) -> str:
        """Keep a script and return where it lies. Raises Internal when its SHA-256 is another one."""
        ...

    def builtin(self, path: str, interpreter: tuple[str, ...]) -> tuple[str, tuple[str, ...]]:
        """A script that comes with Quantum, and what runs it on this machine. Raises NotFound."""
        ...


class ProjectFolders(Protocol):
    """Where projects lie on this machine."""

    def folder(self, name: str) -> str | None:
        """The folder of a project; None where it has none here."""
        ...
