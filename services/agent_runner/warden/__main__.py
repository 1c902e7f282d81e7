"""Starts the warden: `python -m services.agent_runner.warden FOLDER STOP_FILE RUN AT_ONCE KERNEL_LIMITS CPU_LIMIT`,
its link to the runner on fd 3."""

from __future__ import annotations

import os
import resource
import signal
import socket
import sys
from pathlib import Path

from foundation.clock import Clock, SystemClock
from services.agent_runner.warden import reaping
from services.agent_runner.warden.cgroups import NoCells
from services.agent_runner.warden.host import Host, RunMark
from services.agent_runner.warden.loop import Warden
from services.agent_runner.warden.protocol import Ready
from services.agent_runner.warden.slots import Slots
from services.agent_runner.warden.spawn import Spawner
from services.agent_runner.warden.this_host import open_cells, this_host

LINK_FD = 3
_REAP_GRACE_SECONDS = 2.0
_TAKE_OVER_SECONDS = 13.0


def main(
    folder: Path, stop_file: Path, run: str, at_once: int, kernel_limits: str = "auto", cpu_limit: int = 100
) -> None:
    """Reap what an earlier run left, then serve the runner on the other end of the link."""
    for ignored in (signal.SIGINT, signal.SIGHUP):
        # A terminal's Ctrl-C is the runner's business, which then tells us.
        signal.signal(ignored, signal.SIG_IGN)
    # What the runner, or whoever started it, has open is none of the scripts' business.
    os.closerange(LINK_FD + 1, resource.getrlimit(resource.RLIMIT_NOFILE)[0])
    # Scripts are given fds 0–2, so what this process itself has to say goes to a copy.
    sys.stderr = os.fdopen(os.dup(2), "w")
    clock, host = SystemClock(), this_host()
    link = socket.socket(fileno=LINK_FD)
    link.set_inheritable(False)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    reaping.take_over(folder, host, clock, patience=_TAKE_OVER_SECONDS)
    reaped = 0
    if earlier := reaping.read_mark(folder):
        reaped = _reap(earlier, host, clock, link)
    host.adopt_orphans()
    mark = host.mark(run)
    reaping.write_mark(folder, mark)
    cells = open_cells(run, cpu_share=cpu_limit / 100) if kernel_limits == "auto" else NoCells()
    slots = Slots(folder / "slots")
    spawner = Spawner(host, run, os.environ)
    warden = Warden(
        link=link,
        host=host,
        spawner=spawner,
        slots=slots,
        cells=cells,
        at_once=at_once,
        stop_file=stop_file,
        clock=clock,
    )
    warden.run(Ready(mark[:], reaped, {**host.enforcement(), **cells.enforcement()}))
    cells.close()
    slots.remove_all()


def _reap(earlier: RunMark, host: Host, clock: Clock, link: socket.socket) -> int:
    """End what an earlier run left; until that is done, however long it takes, this one does not begin."""
    reaped = 0
    while True:
        left = reaping.end_run(host, earlier, clock, grace=_REAP_GRACE_SECONDS if not reaped else 0.0)
        reaped = max(reaped, left.met)
        if not left.alive:
            return reaped
        pids = " ".join(map(str, left.alive))
        print(
            f"warden: processes of an earlier run cannot be ended yet, so nothing is started: {pids}", file=sys.stderr
        )
        if not _connected(link):
            # Nobody waits for us any more; whoever starts next begins anew.
            sys.exit(1)


def _connected(link: socket.socket) -> bool:
    try:
        return bool(link.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT))
    except BlockingIOError:
        return True
    except ConnectionError:
        return False


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], int(sys.argv[4]), sys.argv[5], int(sys.argv[6]))
