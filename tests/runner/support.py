"""A warden as its own process, driven from a test through the protocol; every wait is for an event, with a limit."""

from __future__ import annotations

import os
import select
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import services
from services.agent_runner.warden.facts import WardenFacts
from services.agent_runner.warden.host import RunMark
from services.agent_runner.warden.protocol import (
    Decoder,
    Ended,
    Message,
    Ready,
    Refused,
    Release,
    Shutdown,
    Spawned,
    Start,
    Terms,
    encode,
)
from tests.waiting import CLOCK, PATIENCE_SECONDS, Patience, until

LEASE_SECONDS = 600.0
LOOK_SECONDS = 0.5
ROOT = Path(services.__path__[0]).parent
M = TypeVar("M", bound=Message)


def spawn_warden(
    folder: Path,
    stop_file: Path,
    run: str,
    environ: dict[str, str] | None = None,
    *,
    at_once: int = 10,
    paused_max: int = 10,
    module: str = "services.agent_runner.warden",
    kernel_limits: str = "auto",
    cpu_limit: int = 100,
    open_files: int = 0,
) -> tuple[int, socket.socket]:
    """Start a warden as the runner does; returns its pid and the runner's end of the link.

    With `open_files` it may have only so many open.
    """
    ours, theirs = socket.socketpair()
    limited = ("/bin/sh", "-c", f'ulimit -S -n {open_files}; exec "$@"', "sh") if open_files else ()
    argv = [
        *limited,
        *(sys.executable, "-P", "-m", module, str(folder), str(stop_file), run),
        WardenFacts(at_once, paused_max, kernel_limits=kernel_limits, cpu_limit=cpu_limit).argument(),
    ]
    pid = os.posix_spawn(
        argv[0],
        argv,
        {**os.environ, **(environ or {}), "PYTHONPATH": str(ROOT)},
        file_actions=[(os.POSIX_SPAWN_DUP2, theirs.fileno(), 3)],
        setsid=True,
    )
    theirs.close()
    return pid, ours


class WardenUnderTest:
    """Drives one warden; `close` ends it and whatever it still holds."""

    def __init__(
        self,
        folder: Path,
        run: str = "run-1",
        environ: dict[str, str] | None = None,
        *,
        at_once: int = 10,
        paused_max: int = 10,
        module: str = "services.agent_runner.warden",
        kernel_limits: str = "auto",
        cpu_limit: int = 100,
        open_files: int = 0,
    ) -> None:
        self.folder = folder / "runner"
        self.stop_file = folder / "STOP"
        self.scripts = folder / "scripts"
        self.scripts.mkdir(exist_ok=True)
        self.pid, self._link = spawn_warden(
            # Nobody else's run, not even that of the same test in another checkout, has this name.
            *(self.folder, self.stop_file, f"{run}-{os.urandom(4).hex()}", environ),
            at_once=at_once,
            paused_max=paused_max,
            module=module,
            kernel_limits=kernel_limits,
            cpu_limit=cpu_limit,
            open_files=open_files,
        )
        self._decoder = Decoder()
        self._seen: list[Message] = []
        self._terms = 0
        self.reaped = False
        self.exit_code: int | None = None
        ready = self.expect(Ready)
        self.mark = RunMark(*ready.mark)
        self.ready = ready

    def script(self, name: str, text: str, mode: int = 0o755) -> Path:
        """An executable script."""
        path = self.scripts / name
        path.write_text(text)
        path.chmod(mode)
        return path

    def shell(self, text: str) -> Path:
        """An executable shell script with these lines."""
        return self.script(f"s{len(list(self.scripts.iterdir()))}.sh", f"#!/bin/sh\n{text}\n")

    def order(self, program: Path, key: str = "a", **changes: object) -> tuple[Terms, Start]:
        """A start without limits, on terms of its own, with a lease from now that no pause of the machine outlasts."""
        self._terms += 1
        terms = Terms(
            number=self._terms,
            argv=[str(program)],
            folder=str(self.scripts),
            variables={},
            names=[],
            timeout=0.0,
            idle_timeout=0.0,
            grace=10.0,
            memory_bytes=0,
            processes_max=0,
            open_files_max=0,
            output_bytes_max=0,
        )
        start = Start(
            key=key,
            terms=self._terms,
            arguments=[],
            variables={},
            params="{}",
            last_report="",
            leased_at=CLOCK.boottime(),
            lease=LEASE_SECONDS,
            alone=False,
        )
        # Variables are the attempt's own; everything else that both could have is of the terms.
        own = {name: value for name, value in changes.items() if name in Start._fields}
        shared = {name: value for name, value in changes.items() if name not in own}
        return Terms(**{**terms._asdict(), **shared}), Start(**{**start._asdict(), **own})

    def send(self, *messages: Message | tuple[Terms, Start]) -> None:
        """Say all of this in one frame."""
        flat: list[Message] = []
        for message in messages:
            if isinstance(message[0], Terms):
                flat += message
            else:
                flat.append(message)
        self._link.sendall(encode(flat))

    def expect(self, kind: type[M], matching: Callable[[M], bool] = lambda _: True) -> M:
        """The next message of a kind; fails after a while with what was seen instead."""
        patience = Patience()
        while True:
            for index, message in enumerate(self._seen):
                if isinstance(message, kind) and matching(message):
                    del self._seen[index]
                    return message
            news = select.select([self._link], [], [], LOOK_SECONDS)[0]
            assert not patience.spent(), f"no {kind.__name__} within {PATIENCE_SECONDS:g} s; seen: {self._seen}"
            if not news:
                continue
            data = self._link.recv(1 << 18)
            if not data:
                raise AssertionError(f"the warden has gone before a {kind.__name__}; seen: {self._seen}")
            self._seen += self._decoder.feed(data)

    def run(self, program: Path, key: str = "a", **changes: object) -> Ended:
        """Start a script and wait for its end; the slot stays held."""
        self.send(self.order(program, key, **changes))
        self.expect(Spawned, lambda spawned: spawned.key == key)
        return self.ended(key)

    def ended(self, key: str = "a") -> Ended:
        """The end of an attempt."""
        return self.expect(Ended, lambda ended: ended.key == key)

    def refused_or_ended(self, key: str = "a") -> Refused | Ended:
        """What came of an order, one way or the other."""
        either: type[Refused | Ended] = Refused | Ended  # type: ignore[assignment]
        return self.expect(either, lambda news: news.key == key)

    def output(self, slot: int) -> bytes:
        """What was written to a slot."""
        return (self.folder / "slots" / str(slot) / "out").read_bytes()

    def wait_output(self, slot: int, text: bytes) -> bytes:
        """Wait until a slot's output holds some text."""
        return until(lambda: out if text in (out := self.output(slot)) else None, f"{text!r} in slot {slot}")

    def release(self, slot: int) -> None:
        """Give a slot back."""
        self.send(Release(slot))

    def lose_runner(self) -> None:
        """Close the link, as the death of the runner does."""
        self._link.close()

    def wait_gone(self) -> None:
        """Wait until the warden has exited."""
        handle = os.pidfd_open(self.pid)
        try:
            patience = Patience()
            while not select.select([handle], [], [], LOOK_SECONDS)[0]:
                assert not patience.spent(), "the warden does not end"
            self.exit_code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
            self.reaped = True
        finally:
            os.close(handle)

    def close(self) -> None:
        """End the warden and its trees."""
        if self.reaped:
            return
        if self._link.fileno() >= 0:
            self.send(Shutdown("the test is over"))
        else:
            os.kill(self.pid, 15)
        self.wait_gone()


def alive(pid: int) -> bool:
    """Whether a process exists and is not a zombie."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()[0] != b"Z"
    except OSError:
        return False
