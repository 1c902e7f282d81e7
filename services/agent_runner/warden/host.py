"""What the warden needs from the operating system about processes; one implementation per system."""

from __future__ import annotations

from collections.abc import Collection, Container, Mapping
from typing import NamedTuple, Protocol


class RunMark(NamedTuple):
    """Tells the processes of one run of a warden from all others, also when a pid was used again.

    A process belongs to the run when it started no earlier than the warden and carries either the run's token
    in its environment or one of the run's tags.
    """

    run: str  # QUANTUM_RUN is this, a dot, and the attempt's tag
    ceiling: int  # its tags lie below this number; 0: the system has none
    boot: str  # identity of this boot of the machine
    warden_pid: int
    warden_ticks: int  # start time of the warden, clock ticks since boot


class TreeUse(NamedTuple):
    """What a tree holds now."""

    resident_bytes: int  # shared pages counted in every process that maps them
    processes: int  # and threads, where the system tells them cheaply
    cpu_seconds: float  # of those that live, and of children that they have waited for


class About(NamedTuple):
    """What is told of a process that outlived its parent."""

    name: str
    ended: bool  # it is a zombie
    group: int
    session: int
    tag: int  # by its environment; 0: that does not say


class Host(Protocol):
    """Processes as the warden sees them. A tag is a number that all processes of one attempt inherit."""

    def adopt_orphans(self) -> None:
        """From now on orphans of this process's descendants become its own children."""

    def listen(self, signals: Collection[int]) -> int:
        """From now on these signals make the descriptor readable that this returns, and do nothing else."""

    def heard(self, bell: int) -> Collection[int]:
        """The signals that have come since, from the descriptor of `listen`."""

    def mark(self, run: str) -> RunMark:
        """The mark of the run that this process begins."""

    def tag_next(self) -> int:
        """Make the next spawned process, and all that descend from it, carry a new tag; returns it."""

    def limit_next(self, *, memory_bytes: int, open_files_max: int) -> None:
        """Limit each process of the next spawned tree; 0: none.

        For memory generously, only against what outruns the sampler, which holds the limit of the tree.
        """

    def limited(self, pid: int | None, *, open_files_max: int) -> None:
        """To be called once the process of `limit_next` was spawned, or (None) was not."""

    def stand_back_next(self, nice: int) -> None:
        """Let what is spawned from here on stand back for other work (0: not), from its first moment where that can be
        had."""

    def stands_back(self, pid: int, nice: int) -> None:
        """To be called once a process that is to stand back was spawned."""

    def stand_forward(self) -> None:
        """To be called once all of `stand_back_next` were spawned: this process has its own place again."""

    def stand_back_as_session(self, pid: int, nice: int) -> bool:
        """The same for its whole session, where the system shares processors out by session; false: not just now."""

    def strays(self, known: Collection[int]) -> list[tuple[int, int]]:
        """This process's children that are not in `known`, with their tags: adopted orphans. Tag -1:
        unreadable."""

    @property
    def adopts(self) -> bool:
        """Whether orphans become children of this process, so that a tree without one of those is empty."""

    def tagged(self, tags: Collection[int]) -> Mapping[int, list[int]]:
        """Every process that carries one of these tags, by tag, zombies included; one pass for all of them."""

    def children(self, pid: int, known: Container[int]) -> list[tuple[int, int]]:
        """The children of a process that are not in `known`, each with its start time."""

    def started(self, pid: int) -> int:
        """When a process started, in the system's own unit; 0 when it has gone."""

    def about(self, pid: int) -> About | None:
        """What there is to say about a process; None when it has gone."""

    def use(self, tags: Collection[int]) -> Mapping[int, TreeUse]:
        """What each of the tagged trees holds, in one pass over the processes of the machine."""

    def proportional_bytes(self, tag: int) -> int:
        """Memory of the tree with shared pages counted once, as near as the system tells."""

    def signal(self, pid: int, tag: int, signum: int) -> bool:
        """Signal a process if it (still) carries the tag; false when it has gone. -1 matches any own
        child."""

    def signal_started(self, pid: int, started: int, signum: int) -> bool:
        """Signal a process if it is (still) the one that started then; false when it has gone."""

    def of_run(self, mark: RunMark) -> list[int]:
        """Every process that belongs to a run, the warden itself left out."""

    def signal_of_run(self, pid: int, mark: RunMark, signum: int) -> bool:
        """Signal a process if it (still) belongs to the run."""

    def newest_of_run(self, mark: RunMark, known: Container[int]) -> list[int]:
        """Of the processes that were born last those that belong to a run and are not in `known`."""

    def thaw_cells(self, mark: RunMark) -> None:
        """Let go on whatever a run's warden has left frozen in a place of the kernel's own."""

    def kill_cells(self, mark: RunMark) -> None:
        """SIGKILL all that is in such places of a run at once, where that is to be had."""

    def signal_warden(self, mark: RunMark, signum: int) -> bool:
        """Signal the warden of a run if it is still that process."""

    def own_peak(self) -> int:
        """The most memory that this process ever had, in the unit of `ru_maxrss`."""

    def enforcement(self) -> Mapping[str, str]:
        """How each limit is held here, by its name: `kernel`, `supervised` or `none`."""
