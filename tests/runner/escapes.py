"""Programs that try to outlive their task: `python escapes.py NAME MARKER GATE`.

Each waits for the gate, a file, before its first process ends; what it leaves behind is known by the marker in its
command line alone.

All that escapes ignores SIGTERM, so that only a verified kill ends it; should a test be broken off, it ends by itself
after some minutes, or a storm would go on until the machine is switched off.
"""

from __future__ import annotations

import os
import resource
import select
import signal
import sys
import threading
import time
from collections.abc import Callable

_THREADS = 20
_COMETS = 3
_LIFE_SECONDS = 300.0
_ENDS_AT = time.monotonic() + _LIFE_SECONDS


def linger() -> None:
    """Stay, deaf to whatever can be ignored."""
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    while lives():
        rest(1)
    os._exit(0)


def lives() -> bool:
    """Whether its time has not run out."""
    return time.monotonic() < _ENDS_AT


def rest(seconds: float) -> None:
    """Do nothing for so long."""
    select.select([], [], [], seconds)


def child(work: Callable[[], None]) -> int:
    """A child that does some work and never comes back."""
    pid = os.fork()
    if pid == 0:
        work()
        os._exit(0)
    return pid


def orphan(work: Callable[[], None]) -> None:
    """A grandchild whose parent has ended."""
    os.waitpid(child(lambda: void(child(work))), 0)


def then(*works: Callable[[], None]) -> Callable[[], None]:
    """One after the other."""

    def all_of_them() -> None:
        for work in works:
            work()

    return all_of_them


def void(_: object) -> None:
    """For its effect alone."""


def double_fork() -> None:
    """The oldest way."""
    orphan(linger)


def setsid() -> None:
    """A child in a session of its own."""
    child(then(os.setsid, linger))


def reparent() -> None:
    """Five generations, of which only the last lives."""

    def generation(left: int) -> None:
        if left == 0:
            linger()
        child(lambda: generation(left - 1))

    child(lambda: generation(4))


def cleared_environment() -> None:
    """Executes itself anew with an empty environment, in another session."""
    orphan(then(os.setsid, lambda: again("linger", {})))


def no_tag() -> None:
    """Lowers the limit that is the warden's mark, as anybody may; the environment goes too."""

    def work() -> None:
        os.setsid()
        resource.setrlimit(resource.RLIMIT_RTTIME, (1_000_000_000, 1_000_000_000))
        again("two", {})

    orphan(work)


def two() -> None:
    """One that lingers, and its child that does."""
    child(linger)
    linger()


def fork_storm() -> None:
    """Each lives only until its successor is born, in a session of its own: too quick to be seen in a pass over all
    processes, so each notes its birth in a file. A test that has seen enough says so, with another."""
    gate = sys.argv[3]

    def comet() -> None:
        pulse = os.open(f"{gate}.pulse", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        while lives() and not os.path.exists(f"{gate}.over"):
            if os.fork():
                os._exit(0)
            os.setsid()
            os.write(pulse, b".")

    for _ in range(_COMETS):
        orphan(comet)


def thread_bomb() -> None:
    """Many threads, each with a child."""

    def work() -> None:
        os.setsid()
        for _ in range(_THREADS):
            threading.Thread(target=then(lambda: void(child(linger)), lambda: rest(_LIFE_SECONDS))).start()
        linger()

    orphan(work)


def closed_descriptors() -> None:
    """Holds nothing open by which one could find it."""
    orphan(then(lambda: os.closerange(0, 4096), linger))


def ignored_term() -> None:
    """Deaf to every signal that can be ignored."""

    def work() -> None:
        os.setsid()
        for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
            signal.signal(number, signal.SIG_IGN)
        while lives():
            rest(1)

    child(work)


def stopped_child() -> None:
    """Stops itself, and again whenever it is woken."""

    def work() -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        while True:
            os.kill(os.getpid(), signal.SIGSTOP)

    orphan(work)


def holds_output() -> None:
    """In another session, writing on."""

    def work() -> None:
        os.setsid()
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        while lives():
            os.write(1, b"still here\n")
            rest(0.02)

    child(work)


def setsid_shell() -> None:
    """A shell in another session, with children of its own."""

    def work() -> None:
        os.setsid()
        os.execv("/bin/sh", ["sh", "-c", f"trap '' TERM; for turn in 1 2 3; do sleep 100; : {sys.argv[2]}; done"])

    orphan(work)


def daemon() -> None:
    """As daemons begin; its first process exits with 0 at once."""

    def second() -> None:
        os.chdir("/")
        os.umask(0)
        os.closerange(0, 4096)
        linger()

    os.waitpid(child(then(os.setsid, lambda: void(child(second)))), 0)


TWELVE = (
    double_fork, setsid, reparent, cleared_environment, fork_storm, thread_bomb, closed_descriptors, ignored_term,
    stopped_child, holds_output, setsid_shell, daemon,
)  # fmt: skip
NAMES = tuple(program.__name__ for program in TWELVE)


def again(name: str, environ: dict[str, str]) -> None:
    """Execute this file anew."""
    os.execve(sys.executable, [sys.executable, "-I", "-S", __file__, name, *sys.argv[2:]], environ)


def main(name: str, gate: str) -> None:
    """Escape, then wait for the gate; the daemon waits for nothing."""
    program: Callable[[], None] = globals()[name]
    program()
    while name != "daemon" and not os.path.exists(gate):
        rest(0.01)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[3])
