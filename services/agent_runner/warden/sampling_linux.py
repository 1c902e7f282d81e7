"""What trees hold, where no cgroup counts it: one pass over the machine's processes, for all trees at once."""

from __future__ import annotations

import os
import resource
from collections.abc import Callable, Collection, Mapping

from foundation.clock import Clock
from services.agent_runner.warden.host import TreeUse

_PAGE = os.sysconf("SC_PAGE_SIZE")
_TICKS = os.sysconf("SC_CLK_TCK")
# Descriptors that are kept; of more processes than these the file is opened anew each time, which costs twice as much.
_KEPT_MAX = 512
_HANDLE_MAX = resource.getrlimit(resource.RLIMIT_NOFILE)[0] - 64
# No system has so few pids that it comes round to the same one within this time.
_REUSED_AFTER_SECONDS = 1.0


class Sampler:
    """Keeps /proc/<pid>/stat of known processes open: reading it again is cheaper, and once that process has gone it
    fails, whoever has its pid then."""

    def __init__(self, tag_of: Callable[[int], int], is_ours: Callable[[int], bool], clock: Clock) -> None:
        self._tag_of = tag_of
        self._is_ours = is_ours
        self._clock = clock
        self._kept: dict[int, tuple[int, int]] = {}  # pid → descriptor, tag
        self._foreign: set[str] = set()  # names in /proc that were nobody's of ours in the last pass
        self._looked_at = 0.0

    def use(self, tags: Collection[int]) -> Mapping[int, TreeUse]:
        """See `Host.use`."""
        sums: dict[int, list[int]] = {}
        own = os.getpid()
        before, self._kept = self._kept, {}
        names = os.listdir("/proc")
        foreign = self._still_foreign(names)
        for name in names:
            if name in foreign:
                continue
            if not name.isdecimal() or (pid := int(name)) == own:
                foreign.add(name)
                continue
            kept = before.pop(pid, None)
            line = _read_kept(kept) if kept else b""
            tag = kept[1] if kept and line else self._tag_of(pid)
            if not self._is_ours(tag):
                foreign.add(name)
            if tag not in tags:
                if kept and line:
                    os.close(kept[0])
                continue
            if kept and line:
                self._kept[pid] = kept
            else:
                line = self._read(pid, tag)
            if line:
                _add(sums.setdefault(tag, [0, 0, 0]), line)
        self._foreign = foreign
        for handle, _ in before.values():
            os.close(handle)
        return {tag: TreeUse(pages * _PAGE, tasks, ticks / _TICKS) for tag, (pages, tasks, ticks) in sums.items()}

    def _still_foreign(self, names: list[str]) -> set[str]:
        """What was not ours a moment ago and is still there: no pid is used again so soon, all others come first."""
        before, self._looked_at = self._looked_at, self._clock.boottime()
        return self._foreign.intersection(names) if self._looked_at - before < _REUSED_AFTER_SECONDS else set()

    def _read(self, pid: int, tag: int) -> bytes:
        try:
            handle = os.open(f"/proc/{pid}/stat", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return b""
        try:
            line = os.pread(handle, 1024, 0)
        except ProcessLookupError:
            line = b""
        if line and len(self._kept) < _KEPT_MAX and handle < _HANDLE_MAX:
            self._kept[pid] = handle, tag
        else:
            os.close(handle)
        return line


def _read_kept(kept: tuple[int, int]) -> bytes:
    try:
        return os.pread(kept[0], 1024, 0)
    except ProcessLookupError:
        os.close(kept[0])
        return b""


def _add(sums: list[int], line: bytes) -> None:
    """Fields by proc(5), counted from the state: the name before it may hold blanks and brackets."""
    fields = line[line.rfind(b")") + 2 :].split(None, 22)
    sums[0] += int(fields[21])
    # A zombie has no threads left, and is a process all the same.
    sums[1] += max(int(fields[17]), 1)
    sums[2] += sum(map(int, fields[11:15]))
