"""Finds and signals every process of some trees, in one pass for all of them, also what tries not to be found.

A process is of a tree when it carries the tree's tag, when it is in the tree's cell, or when a chain of parents leads
from it to a child of this process that is known to be of the tree. Each clue is good against what blurs the others.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import NamedTuple, Protocol

from foundation.clock import Clock
from services.agent_runner.warden.host import Host

# Longest that one sweep goes after a storm; whoever waits for the warden waits no longer, and the next sweep follows.
STOP_SECONDS_MAX = 0.05
# Rounds after the newest processes alone, which are cheap enough to be quicker than a fork.
_CHASES = 64


class Holder(Protocol):
    """A place of the kernel's own that holds one tree, such as a cgroup."""

    def members(self) -> list[int]:
        """The processes in it."""

    def kill(self) -> bool:
        """SIGKILL everything in it at once, also what is being forked; false when that is not to be had."""

    def freeze(self, frozen: bool) -> bool:
        """Stop everything in it, or let it go on; false when that is not to be had."""


class Tree(NamedTuple):
    """What is known of a tree."""

    tag: int
    group: int  # the process group of its first process, as long as nobody else can have that number; 0: no longer
    roots: Collection[int]  # children of this process that are of it
    cell: Holder | None = None
    waiter: int = 0  # its first process is not the script but waits for it, and says how it ended; 0: it is the script


class Found(NamedTuple):
    """A process, and what tells that its pid still means it: its tag, or when it started."""

    pid: int
    tag: int  # -1: it is a child of ours that was not reaped, so that nobody else can have its pid
    ticks: int = 0  # 0: the tag tells


class Sweep:
    """One pass over the machine for any number of trees."""

    def __init__(self, host: Host, clock: Clock) -> None:
        self._host = host
        self._clock = clock

    def terminate(self, trees: Sequence[Tree]) -> None:
        """SIGTERM to everything, then SIGCONT, for what is stopped does not hear the first."""
        for tree in trees:
            _thaw(tree)
        # Who waits for a script goes on until that has ended, or nobody would tell how.
        spared = {tree.waiter for tree in trees}
        trees = [tree._replace(group=0) if tree.waiter else tree for tree in trees]
        self._signal_groups(trees, signal.SIGTERM)
        self._signal_groups(trees, signal.SIGCONT)
        for found in self._outside_groups(trees):
            if found.pid not in spared:
                self._signal(found, signal.SIGTERM)
            self._signal(found, signal.SIGCONT)

    def thaw(self, trees: Sequence[Tree]) -> None:
        """Let everything go on."""
        for tree in trees:
            _thaw(tree)
        self._signal_groups(trees, signal.SIGCONT)
        for found in self._outside_groups(trees):
            self._signal(found, signal.SIGCONT)

    def stop(self, trees: Sequence[Tree]) -> bool:
        """SIGSTOP to everything until nothing new is found; false when a storm is still ahead of us.

        What is stopped forks no more, and its end makes no room for others, as a killed one's would.
        """
        for tree in trees:
            if tree.cell is not None:
                tree.cell.freeze(True)
        self._signal_groups(trees, signal.SIGSTOP)
        tags = {tree.tag for tree in trees}
        return stop_until_stable(
            looks=(lambda: self._tagged(trees), lambda: self._all(trees)),
            newest=lambda seen: [Found(pid, tag) for pid, tag in self._host.strays(seen) if tag in tags],
            stop=lambda found: self._signal(found, signal.SIGSTOP),
            clock=self._clock,
        )

    def kill(self, trees: Sequence[Tree]) -> bool:
        """SIGKILL to everything, all of it stopped first; false when more may have been born meanwhile."""
        # Everything in a cell goes at once; what has left it, and trees without one, are hunted.
        hunted = [tree for tree in trees if tree.cell is None or not tree.cell.kill()]
        stable = self.stop(hunted)
        for tree in hunted:
            # A frozen cgroup of the first kind delivers no SIGKILL.
            _thaw(tree)
        self._signal_groups(trees, signal.SIGKILL)
        for found in self._all(trees):
            self._signal(found, signal.SIGKILL)
        return stable

    def living(self, trees: Sequence[Tree]) -> set[int]:
        """Tags of those trees of which anything is left, zombies included."""
        tags = {tree.tag for tree in trees}
        left = {tag for tag, pids in self._host.tagged(tags).items() if pids}
        if not self._host.adopts and left < tags:
            # One that is forked during the pass shows in the next.
            left |= {tag for tag, pids in self._host.tagged(tags - left).items() if pids}
        return left | {tree.tag for tree in trees if tree.roots or (tree.cell is not None and tree.cell.members())}

    # -- finding

    def in_other_sessions(self, tree: Tree, session: int) -> Mapping[int, str]:
        """Names, by pid, of what lives of a tree and has left its session; 0: of all that lives of it.

        To be asked before they are told to end: what ends before the script does is reaped without a word. A list of
        our children alone would leave some out while others end.
        """
        seen = {found.pid: self._host.about(found.pid) for found in self._outside_groups([tree])}
        return {
            pid: about.name for pid, about in seen.items() if about and not about.ended and about.session != session
        }

    def _tagged(self, trees: Sequence[Tree]) -> list[Found]:
        found = {pid: Found(pid, -1) for tree in trees for pid in tree.roots}
        for tag, pids in self._host.tagged({tree.tag for tree in trees}).items():
            for pid in pids:
                found.setdefault(pid, Found(pid, tag))
        for tree in trees:
            for pid in tree.cell.members() if tree.cell is not None else ():
                if pid not in found and (ticks := self._host.started(pid)):
                    found[pid] = Found(pid, 0, ticks)
        return list(found.values())

    def _all(self, trees: Sequence[Tree]) -> list[Found]:
        """Also what has put off its tag, as long as its parents are known."""
        found = {each.pid: each for each in self._tagged(trees)}
        open_ends = list(found)
        while open_ends:
            for pid, ticks in self._host.children(open_ends.pop(), found):
                found[pid] = Found(pid, 0, ticks)
                open_ends.append(pid)
        return list(found.values())

    # -- signalling

    def _outside_groups(self, trees: Sequence[Tree]) -> list[Found]:
        groups = {tree.group for tree in trees if tree.group}
        return [found for found in self._all(trees) if _group_of(found.pid) not in groups]

    def _signal_groups(self, trees: Sequence[Tree], signum: signal.Signals) -> None:
        """The group at once, so that no fork slips through."""
        for tree in trees:
            if tree.group:
                # Of a group in which nothing may be signalled by us there is more to say later: it stays alive.
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(tree.group, signum)

    def _signal(self, found: Found, signum: signal.Signals) -> bool:
        if found.ticks:
            return self._host.signal_started(found.pid, found.ticks, signum)
        return self._host.signal(found.pid, found.tag, signum)


def stop_until_stable(
    *,
    looks: Sequence[Callable[[], Iterable[Found]]],
    newest: Callable[[Collection[int]], Iterable[Found]],
    stop: Callable[[Found], bool],
    clock: Clock,
) -> bool:
    """Stop all that each look finds, until it finds nothing that was not stopped before; false after
    `STOP_SECONDS_MAX`.

    A process that forks, ends, and goes on in its child is older than its pid by the time a pass has come to it:
    therefore `newest`, told what is stopped, is asked many times in between.
    """
    until = clock.boottime() + STOP_SECONDS_MAX
    stopped: set[int] = set()

    def stop_new(found: Iterable[Found]) -> bool:
        new = [each for each in found if each.pid not in stopped]
        stopped.update([each.pid for each in new if stop(each)])
        return bool(new)

    for look in looks:
        while stop_new(look()):
            for _ in range(_CHASES):
                if not stop_new(newest(stopped)):
                    break
            if clock.boottime() >= until:
                return False
    return True


def _thaw(tree: Tree) -> None:
    if tree.cell is not None:
        tree.cell.freeze(False)


def _group_of(pid: int) -> int:
    try:
        return os.getpgid(pid)
    except ProcessLookupError:
        return 0
