"""A process that logs as a runner does, for as many agents and as fast as it is told, until it is ended.

`python -m tests.runner.logs_trial FOLDER RUN AGENTS BYTES_PER_SECOND QUOTA ROTATE_AT [how]`
"""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import shutil
import signal
import sys
import threading
from contextlib import suppress
from pathlib import Path

from foundation.clock import SystemClock
from foundation.log import get_logger
from foundation.log_files import COMPRESSED, Older
from foundation.log_keeping import LogKeeper
from services.agent_runner.adapters.agent_logs import LogFiles

TICK_SECONDS = 0.02
OWED_SECONDS_MAX = 0.25
HALFWAY = "../halfway"
PADDING = "as a build prints them by the million: "
LINE_BYTES = 200


class CarelessKeeper(LogKeeper):
    """The control: what was renamed is copied to its last name, and then removed.

    In the middle of the first one it says so by the file HALFWAY beside its folder, and waits to be killed.
    """

    def _compress(self, older: Older) -> None:
        source, halfway = Path(self._folder, older.name), Path(self._folder, HALFWAY)
        with open(source, "rb") as plain, gzip.open(f"{source}{COMPRESSED}", "wb", compresslevel=4) as packed:
            packed.write(plain.read(1 << 16))
            packed.flush()
            if not halfway.exists():
                halfway.touch()
                threading.Event().wait()
            shutil.copyfileobj(plain, packed, 1 << 16)
        source.unlink()


class Uncompressing(LogKeeper):
    """The other side of the ratio: nothing is compressed."""

    def compress_all(self) -> int:
        """See `LogKeeper`."""
        return 0


KEEPERS = {"": LogKeeper, "careless": CarelessKeeper, "plain": Uncompressing}


def lines_of(run: int, first: int, count: int) -> str:
    """Numbered lines, of which a third is the same in all and the rest is in no other."""
    lines = []
    for number in range(first, first + count):
        own = hashlib.sha512(b"%d-%d" % (run, number)).hexdigest()
        lines.append(f"{run:04}-{number:010} {PADDING}{own}"[: LINE_BYTES - 1].ljust(LINE_BYTES - 1, "."))
    return "\n".join(lines) + "\n"


async def write(folder: Path, run: int, agents: int, rate: int, quota: int, rotate_at: int, how: str) -> None:
    """Write until SIGTERM."""
    keeper = KEEPERS[how](folder, get_logger("trial"), bytes_max=quota, files_max=1_000)
    loop, clock = asyncio.get_running_loop(), SystemClock()
    logs = LogFiles(folder, clock, loop, bytes_max=rotate_at, files_max=1_000, keeper=keeper)
    keeper.start()
    stop = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    begun, written, busy, slowest = clock.boottime(), 0, 0.0, 0.0
    owed, owed_at = 0.0, begun
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    while not stop.is_set():
        # Nobody writes while the machine stands still, and all of it at once afterwards.
        now = clock.boottime()
        owed, owed_at = owed + min(now - owed_at, OWED_SECONDS_MAX) * rate / LINE_BYTES, now
        due = int(owed)
        if due > written:
            text = lines_of(run, written, due - written)
            written = due
            before = clock.boottime()
            for agent in range(agents):
                logs.write(f"a{agent:03}", "task", text)
            took = clock.boottime() - before
            busy, slowest = busy + took, max(slowest, took)
        with suppress(TimeoutError):
            async with asyncio.timeout(TICK_SECONDS):
                await stop.wait()
    logs.flush()
    keeper.close()
    passed = clock.boottime() - begun
    print(f"{written * LINE_BYTES * agents} {passed:.3f} {busy:.3f} {slowest:.4f}", flush=True)


def main(arguments: list[str]) -> None:
    """See the module."""
    folder, *numbers = arguments[:6]
    run, agents, rate, quota, rotate_at = map(int, numbers)
    how = arguments[6] if len(arguments) > 6 else ""
    asyncio.run(write(Path(folder), run, agents, rate, quota, rotate_at, how))


if __name__ == "__main__":
    main(sys.argv[1:])
