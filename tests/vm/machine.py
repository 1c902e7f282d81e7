"""A whole machine: booted, driven over a serial line, and cut off from its power."""

from __future__ import annotations

import itertools
import json
import os
import queue
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from tests.vm.emulators import Parts, arguments, logs_writes
from tests.vm.image import USER, Image
from tests.vm.write_log import Loss, cut

BOOT_SECONDS = 600
AUTOMATION = f"/home/{USER}/automation"


_CAGE = (
    # Whatever ends the tests ends the machine, with all that it is made of.
    *("setpriv", "--pdeathsig=KILL", "unshare", "--pid", "--fork", "--kill-child", "--mount-proc"),
    *("sh", "-c", '"$@"; exit $?', "sh"),
)


class Gone(AssertionError):
    """The machine has ended, or does not answer in time."""


@dataclass(frozen=True, slots=True)
class Done:
    """What one command left."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """The one JSON document on standard output."""
        return json.loads(self.out)


@dataclass(slots=True)
class Running:
    """A command whose lines are heard while it runs."""

    heard: queue.Queue[dict[str, Any]]
    lines: list[str] = field(default_factory=list)

    def line(self, timeout: float) -> str | None:
        """The next line; None when it has ended. Raises Gone when there is none in time."""
        try:
            told = self.heard.get(timeout=timeout)
        except queue.Empty:
            raise Gone(f"no line in {timeout:.0f} s; the last ones: {self.lines[-5:]}") from None
        if "line" not in told:
            self.lines.append(f"ended: {told}")
            return None
        self.lines.append(told["line"])
        return self.lines[-1]


class Machine:
    """One disk, and at most one run of it at a time. `logged`: every write is logged, so that power can be cut."""

    def __init__(self, image: Image, folder: Path, *, system: Path, source: Path, logged: bool = False) -> None:
        """`system` is copied, and `source` too; nothing is changed in them."""
        folder.mkdir(parents=True)
        self._image = image
        self._folder = folder
        self._logged = logged and logs_writes()
        self._child: subprocess.Popen[bytes] | None = None
        self._line: socket.socket | None = None
        self._ids = itertools.count(1)
        self._waiting: dict[int, queue.Queue[dict[str, Any]]] = {}
        self.boots: queue.Queue[str] = queue.Queue()
        self.system = _copy(system, folder / "system.img")
        self._source = _copy(source, folder / "source.img")

    # Power.

    def boot(self) -> float:
        """Switch it on; seconds until it could be spoken to, long before everything has started."""
        run = _copy(self.system, self._folder / "running.img") if self._logged else self.system
        self.log.unlink(missing_ok=True)
        self.log.touch()
        self._line, near = socket.socketpair()
        began = time.monotonic()
        with near, (self._folder / "console").open("ab") as console, self.outside.open("ab") as outside:
            log = self.log if self._logged else None
            parts = Parts(run, self._source, log, near.fileno(), console.fileno(), outside.fileno())
            self._child = subprocess.Popen(
                [*_CAGE, *arguments(self._image, parts)],
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=console,
                pass_fds=parts.descriptors,
                start_new_session=True,
            )
        threading.Thread(target=self._listen, args=(self._line,), daemon=True).start()
        self.await_boot()
        return time.monotonic() - began

    def await_boot(self) -> str:
        """The id of the boot that has just come about."""
        try:
            return self.boots.get(timeout=BOOT_SECONDS)
        except queue.Empty:
            raise Gone(f"it did not come up in {BOOT_SECONDS} s:\n{self.serial()}") from None

    def reboot(self) -> None:
        """As `systemctl reboot` does it; returns when the machine can be spoken to again."""
        self._say({"id": 0, "argv": ["systemctl", "reboot"], "as": "root", "user": USER, "timeout": 60})
        self.await_boot()

    def power_off(self) -> None:
        """In good order; what it wrote is then on its disk."""
        assert self._child is not None
        self._say({"id": 0, "argv": ["systemctl", "poweroff"], "as": "root", "user": USER, "timeout": 60})
        self._child.wait(BOOT_SECONDS)
        if self._logged:
            (self._folder / "running.img").replace(self.system)

    def cut(self, *, chance: Random, kept: float, disk: Path | None = None, until: int | None = None) -> Loss | None:
        """Take the power away from it; its disk is then as a disk with a cache of its own would be.

        `disk`: another place for that, so that it can be asked for again with another moment, `until`. None where no
        writes are logged: what the machine had handed over to its disk is there, flushed or not.
        """
        self.end()
        if not self._logged:
            return None
        if disk is not None:
            _copy(self.system, disk)
        return cut(disk or self.system, self.log, chance=chance, kept=kept, until=until)

    def end(self) -> None:
        """SIGKILL, at once; by pid."""
        if self._child is not None:
            with suppress(ProcessLookupError):
                os.killpg(self._child.pid, signal.SIGKILL)
            self._child.wait(30)
            self._child = None
        if self._line is not None:
            self._line.close()
            self._line = None

    @property
    def log(self) -> Path:
        """The log of writes; its length grows with each answered write."""
        return self._folder / "writes.log"

    @property
    def outside(self) -> Path:
        """What was written to /dev/ttyS1 in there: it has left the machine, and no power cut takes it back."""
        return self._folder / "outside"

    def serial(self) -> str:
        """The end of what it said on its console."""
        path = self._folder / "console"
        return path.read_text(errors="replace")[-3000:] if path.exists() else ""

    # Commands.

    def run(
        self,
        *argv: str,
        by: str = "user",
        cwd: str = "",
        timeout: float = 300,
        given: str = "",
        code: int | None = 0,
    ) -> Done:
        """Run a command to its end, as ann without a login (`user`), in a login of hers (`session`), or as `root`.

        `code` must be its exit code.
        """
        heard = self._ask(argv, by, cwd, timeout, given, live=False)
        try:
            told = heard.get(timeout=timeout + 60)
        except queue.Empty:
            raise Gone(f"{argv} was never answered:\n{self.serial()}") from None
        done = Done(told["code"], told["out"], told["err"])
        assert code is None or done.code == code, f"{' '.join(argv)}: {done}"
        assert "Traceback" not in done.err, done.err
        return done

    def start(
        self, *argv: str, by: str = "user", cwd: str = AUTOMATION, timeout: float = 3600, given: str = ""
    ) -> Running:
        """Run a command and hear its lines as they come."""
        return Running(self._ask(argv, by, cwd, timeout, given, live=True))

    def quantum(
        self, *words: str, by: str = "user", code: int | None = 0, timeout: float = 300, given: str = ""
    ) -> Done:
        """Run `quantum` in ann's workspace."""
        return self.run("quantum", *words, by=by, cwd=AUTOMATION, timeout=timeout, given=given, code=code)

    def ask(self, *words: str, by: str = "user", code: int | None = 0) -> Any:
        """The document of a quantum command."""
        return self.quantum(*words, "--json", by=by, code=code).document

    def write(self, path: str, text: str, mode: str = "644") -> None:
        """Put a file of ann's there."""
        self.run(
            "sh", "-c", 'mkdir -p "$(dirname "$1")" && cat > "$1" && chmod "$2" "$1"', "sh", path, mode, given=text
        )

    def _ask(
        self, argv: tuple[str, ...], by: str, cwd: str, timeout: float, given: str, *, live: bool
    ) -> queue.Queue[dict[str, Any]]:
        number = next(self._ids)
        heard = self._waiting[number] = queue.Queue()
        asked = {"argv": argv, "as": by, "user": USER, "cwd": cwd, "timeout": timeout, "input": given, "live": live}
        self._say({"id": number, **asked})
        return heard

    def _say(self, document: dict[str, Any]) -> None:
        assert self._line is not None, "it is off"
        self._line.sendall(json.dumps(document).encode() + b"\n")

    def _listen(self, line: socket.socket) -> None:
        kept = b""
        while True:
            try:
                data = line.recv(1 << 16)
            except OSError:
                return
            if not data:
                return
            *whole, kept = (kept + data).split(b"\n")
            for text in whole:
                # A line that a reboot has cut short is nobody's.
                with suppress(ValueError):
                    told = json.loads(text)
                    if "boot" in told:
                        self.boots.put(told["boot"])
                    elif heard := self._waiting.get(told["id"]):
                        heard.put(told)


@contextmanager
def machine(image: Image, folder: Path, *, system: Path, source: Path, logged: bool = False) -> Iterator[Machine]:
    """A machine that is on; it ends with the block, and its disks go."""
    made = Machine(image, folder, system=system, source=source, logged=logged)
    try:
        made.boot()
        yield made
    finally:
        made.end()
        shutil.rmtree(folder)


def _copy(source: Path, target: Path) -> Path:
    """Holes stay holes."""
    subprocess.run(["cp", "--sparse=always", "--reflink=auto", str(source), str(target)], check=True, timeout=300)
    return target
