"""Starts the warden: `python -m services.agent_runner.warden FOLDER STOP_FILE RUN FACTS`, its link to the runner on
fd 3."""

from __future__ import annotations

import os
import resource
import signal
import socket
import sys
from pathlib import Path

from foundation.clock import Clock, SystemClock
from foundation.workspace import Workspace
from services.agent_runner.warden import reaping
from services.agent_runner.warden.boxes import Boxes, Means, find_means, places_of
from services.agent_runner.warden.cgroups import NoCells
from services.agent_runner.warden.facts import WardenFacts
from services.agent_runner.warden.host import Host, RunMark
from services.agent_runner.warden.last_resort import end_everything
from services.agent_runner.warden.loop import Warden
from services.agent_runner.warden.placeholders import Placeholders
from services.agent_runner.warden.protocol import Ready
from services.agent_runner.warden.proxies import Proxies
from services.agent_runner.warden.sandbox import Places
from services.agent_runner.warden.slots import Slots, forget_secrets
from services.agent_runner.warden.spawn import Spawner
from services.agent_runner.warden.this_host import open_cells, this_host

LINK_FD = 3
_TAKE_OVER_SECONDS = 13.0
_EXIT_FAILED = 70


def main(folder: Path, stop_file: Path, run: str, facts: WardenFacts) -> None:
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
    means = find_means()
    host.adopt_orphans()
    mark = host.mark(run)
    reaping.write_mark(folder, mark)
    cells = open_cells(run, cpu_share=facts.cpu_limit / 100) if facts.kernel_limits == "auto" else NoCells()
    slots = Slots(folder / "slots")
    helpers: set[int] = set()
    boxes = _boxes(folder, stop_file, facts.run_as_user, host, means, helpers)
    spawner = Spawner(host, run, os.environ, boxes)
    warden = Warden(
        link=link,
        host=host,
        spawner=spawner,
        slots=slots,
        cells=cells,
        at_once=facts.at_once,
        paused_max=facts.paused_max,
        stop_file=stop_file,
        clock=clock,
        helpers=helpers,
    )
    enforcement = {**host.enforcement(), **cells.enforcement(), "sandbox": "kernel" if means.level else "none"}
    try:
        warden.run(Ready(mark[:], reaped, enforcement, (means.level.value, means.missing, means.root)))
    except Exception as fault:  # noqa: BLE001 - whatever it is: no tree is left without a guard
        end_everything(fault, host, mark, clock, link)
        forget_secrets(folder / "slots")
        sys.exit(_EXIT_FAILED)
    cells.close()
    slots.remove_all()
    boxes.close()


def _boxes(folder: Path, stop_file: Path, run_as_user: str, host: Host, means: Means, helpers: set[int]) -> Boxes:
    def places() -> Places:
        return places_of(stop_file, folder, hidden)

    def hidden() -> list[str]:
        """Folders of sockets: of this workspace, and of any other."""
        found = [Workspace(stop_file.parent.parent).sockets, Path.home() / ".quantum" / "run"]
        if runtime := os.environ.get("XDG_RUNTIME_DIR"):
            found.append(Path(runtime) / "quantum")
        return [str(path) for path in found]

    proxies = Proxies(folder / "proxy", started=helpers.add, mark=host.tag_next)
    return Boxes(means, places, run_as_user, Placeholders(folder), proxies)


def _reap(earlier: RunMark, host: Host, clock: Clock, link: socket.socket) -> int:
    """End what an earlier run left; until that is done, however long it takes, this one does not begin."""
    reaped = 0
    while True:
        left = reaping.end_run(host, earlier, clock, grace=reaping.REAP_GRACE_SECONDS if not reaped else 0.0)
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
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], WardenFacts.of(sys.argv[4]))
