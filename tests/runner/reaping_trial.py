"""Kills runner, warden or both again and again, gives the pids of dead tasks to others, and starts the runner anew.

`python -m tests.runner.reaping_trial ROUNDS FOLDER`, in a PID namespace of its own whose first process reaps. Prints a
JSON document of what happened.
"""

from __future__ import annotations

import asyncio
import json
import os
import select
import signal
import sys
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.runner.fake_coordinator import FakeCoordinator, Offer, RunnerUnderTest
from tests.runner.support import alive
from tests.runner.witness import Seen, living
from tests.waiting import CLOCK, until

TASKS = 10
REUSED_TASKS = 3
LONGEST = 600
SURVIVE_SECONDS_MAX = 5.0
_LAST_PID = Path("/proc/sys/kernel/ns_last_pid")
_TRIES = 50


@dataclass
class Tally:
    """What happened in all rounds."""

    kernel: bool = False
    rounds: int = 0
    tasks: int = 0
    processes: int = 0
    """Of tasks, alive when their runner, warden or both were killed."""
    left_by_the_dead: int = 0
    """Of these, alive when the next runner was started."""
    survivors: int = 0
    """Alive 5 s after the next runner was started."""
    alive_at_hello: int = 0
    """Alive when it registered."""
    reused_pids: int = 0
    """Bystanders that were given the pid of a dead task, runner or warden."""
    bystanders_hurt: int = 0
    slowest_seconds: float = 0.0
    """From the start of the next runner to its registration."""


class Trial:
    """One workspace, one fake coordinator, one runner after the other."""

    def __init__(self, folder: Path) -> None:
        self.runner = RunnerUnderTest(folder, FakeCoordinator())
        self.tally = Tally()
        self._marker = f"{LONGEST}.{os.getpid()}{int(CLOCK.boottime() * 1000)}"
        self._bystanders: list[int] = []

    async def run(self, rounds: int) -> Tally:
        """So many rounds; what is killed changes from one to the next."""
        try:
            await self.runner.start(stop_grace_seconds=0.5)
            self.tally.kernel = self.runner.coordinator.hellos[0].enforcement["processes"] == "kernel"
            for number in range(rounds):
                await self._round(("runner", "warden", "both")[number % 3])
                print(json.dumps(asdict(self.tally)), file=sys.stderr)
        finally:
            await self.runner.close()
            for pid in self._bystanders:
                os.kill(pid, signal.SIGKILL)
        return self.tally

    async def _round(self, victim: str) -> None:
        coordinator, tally = self.runner.coordinator, self.tally
        leases = [self._lease(number) for number in range(TASKS)]
        coordinator.lease(*leases)
        pids = [(await coordinator.event(lease, "started")).pid for lease in leases]
        await asyncio.to_thread(until, lambda: len(self._of_tasks()) >= 2 * TASKS - 3, "all their processes")
        tally.rounds, tally.tasks = tally.rounds + 1, tally.tasks + TASKS
        tally.processes += len(self._of_tasks())
        dead = [*await self._kill(victim), *pids[:REUSED_TASKS]]
        for pid in pids[:REUSED_TASKS]:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        bystanders = [bystander for pid in dead if (bystander := await asyncio.to_thread(take, pid)) is not None]
        self._bystanders += bystanders
        tally.reused_pids += len(bystanders)
        tally.left_by_the_dead += len(self._of_tasks())
        await self._start_again()
        tally.bystanders_hurt += sum(not alive(pid) for pid in bystanders)
        for pid in bystanders:
            self._bystanders.remove(pid)
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            await asyncio.to_thread(os.waitpid, pid, 0)

    async def _kill(self, victim: str) -> list[int]:
        """Kill and wait until runner, and warden where it is meant, are gone; their pids, as far as they are free."""
        process = self.runner.process
        assert process is not None
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        (warden,) = map(int, children)
        if victim in ("warden", "both"):
            if victim == "both":
                process.send_signal(signal.SIGSTOP)  # it must not bury what the warden leaves
            os.kill(warden, signal.SIGKILL)
        if victim in ("runner", "both"):
            process.send_signal(signal.SIGKILL)
        await self.runner.wait()
        return [process.pid] if victim == "runner" else [process.pid, warden]

    async def _start_again(self) -> None:
        coordinator = self.runner.coordinator
        hellos, started_at = len(coordinator.hellos), CLOCK.boottime()
        await self.runner.start_runner(stop_grace_seconds=0.5)
        hello = asyncio.create_task(
            coordinator.until(lambda: len(coordinator.hellos) > hellos, "the next runner's hello")
        )
        await asyncio.wait([hello], timeout=SURVIVE_SECONDS_MAX)
        # Registered within that time: then nothing of them comes back later.
        self.tally.survivors += len(self._of_tasks())
        await hello
        self.tally.slowest_seconds = max(self.tally.slowest_seconds, round(CLOCK.boottime() - started_at, 2))
        self.tally.alive_at_hello += len(self._of_tasks())
        await coordinator.some_credit()

    def _lease(self, number: int) -> Offer:
        linger = f"sleep {self._marker}"
        ways = {
            3: f"trap '' TERM; {linger} & while :; do sleep 0.05; done",
            4: f"trap '' TERM; setsid {linger} & exec {linger}",
            5: f"env -i setsid setsid {linger} & exec {linger}",
            6: f"(setsid sh -c \"trap '' TERM; {linger}; :\" &) ; exec {linger}",
            7: f"env -i sh -c 'setsid {linger} & exec {linger}' & exec {linger}",
        }
        if self.tally.kernel:
            # Without tag and environment the cgroup alone knows it once its warden is dead.
            ways[8] = f"env -i setsid bash -c 'ulimit -R 1000000; exec {linger}' & exec {linger}"
        return self.runner.lease(ways.get(number, f"{linger} & exec {linger}"))

    def _of_tasks(self) -> list[Seen]:
        return [*living(self._marker), *living(f"{self.runner.workspace.agents}/")]


def take(pid: int) -> int | None:
    """Start a bystander with this very pid; None when somebody else has it."""
    for _ in range(_TRIES):
        if Path(f"/proc/{pid}").exists():
            with suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)
            select.select([], [], [], 0.01)
            continue
        _LAST_PID.write_text(str(pid - 1))
        got = os.posix_spawn("/bin/sleep", ["sleep", str(LONGEST)], {})
        if got == pid:
            return got
        os.kill(got, signal.SIGKILL)
        os.waitpid(got, 0)
    return None


if __name__ == "__main__":
    print(json.dumps(asdict(asyncio.run(Trial(Path(sys.argv[2])).run(int(sys.argv[1]))))))
