"""What a cell does: a place of the kernel's own for one tree at a time, which nothing that is born in it can leave
unseen."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, Protocol


class Bounds(NamedTuple):
    """What the kernel is to hold a tree to; 0: no limit."""

    memory_bytes: int = 0
    processes_max: int = 0  # threads are counted too
    cpu_cores: float = 0.0


NO_BOUNDS = Bounds()


class Hits(NamedTuple):
    """Which limits a tree has run into since it was born: the kernel refused it more."""

    memory: bool = False
    processes: bool = False


class Cell(Protocol):
    """Holds one tree at a time. The warden goes in, spawns, and comes out again: a script runs no moment outside."""

    def enter(self, bounds: Bounds) -> None:
        """Move this process in. Raises OSError when that fails; then it is where it was."""

    def leave(self, pid: int | None) -> None:
        """Move this process back; from here on the bounds hold for what was spawned (None: nothing was)."""

    def members(self) -> list[int]:
        """The processes in it, zombies left out."""

    def empty(self) -> bool:
        """Whether nothing but zombies is left of the tree."""

    def kill(self) -> bool:
        """SIGKILL everything in it at once, also what is being forked; false when this kernel has no such call."""

    def freeze(self, frozen: bool) -> bool:
        """Stop everything in it, or let it go on; false when this kernel has no such call."""

    def memory_peak_bytes(self) -> int:
        """The most memory that the tree was seen to hold whenever this was asked since `enter`; what only caches
        files is left out. -1: not counted."""

    def processes(self) -> int:
        """Processes and threads in it now; -1: not counted."""

    def cpu_seconds(self) -> float:
        """Processor time of all that has run in it since `enter`, also of what has ended; negative: not counted."""

    def hits(self) -> Hits:
        """Limits that were run into since `enter`."""

    def rest(self) -> None:
        """Nothing will be asked for a long time: hold no descriptors meanwhile."""


class Cells(Protocol):
    """The cells of one warden's run."""

    @property
    def bell(self) -> int:
        """Becomes readable when a tree has run into its memory limit and waits; -1: nothing rings here."""

    def heard(self) -> None:
        """Take note of the bell."""

    def cell(self, index: int) -> Cell | None:
        """The cell of a slot, made when first asked for; None where there are no cells. Raises OSError."""

    def retire(self, index: int) -> None:
        """Never use a slot's cell again: something may still live in it."""

    def enforcement(self) -> Mapping[str, str]:
        """The limits that are held by the kernel here, as `kernel`."""

    def close(self) -> None:
        """Remove whatever is empty."""


class NoCells:
    """Where no cgroup may be written: all limits are supervised."""

    bell = -1

    def heard(self) -> None:
        """Nothing rings."""

    def cell(self, index: int) -> Cell | None:
        """See `Cells`."""
        return None

    def retire(self, index: int) -> None:
        """There was none."""

    def enforcement(self) -> Mapping[str, str]:
        """See `Cells`."""
        return {}

    def close(self) -> None:
        """Nothing was made."""
