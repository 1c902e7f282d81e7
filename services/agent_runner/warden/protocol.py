"""What runner and warden say to each other: plain tuples, many to a length-prefixed frame, over a socket pair.

The tuples are marshalled: both ends are our own code in one interpreter's version, and nobody else has the socket.
"""

from __future__ import annotations

import marshal
from collections.abc import Iterable
from struct import Struct
from typing import NamedTuple

FRAME_BYTES_MAX = 64 * 1024 * 1024
_LENGTH = Struct("!I")
# The version before references between equal objects: looking for those costs more than saying them twice.
_MARSHAL_VERSION = 2


class Terms(NamedTuple):
    """What the starts of an agent have in common, said once and then named by its number; a number may be given anew.

    Times are seconds; 0 means no limit.
    """

    number: int
    argv: list[str]
    folder: str
    variables: dict[str, str]  # over the environment list
    names: list[str]  # let through from the warden's environment
    timeout: float
    idle_timeout: float
    grace: float
    memory_bytes: int
    processes_max: int
    open_files_max: int
    output_bytes_max: int
    cpu_cores: float = 0.0
    cpu_seconds: float = 0.0
    work_files_max: int = 0
    work_bytes_max: int = 0
    run_as: str = ""
    sandbox: tuple[list[str], list[str], list[str], bool] | None = None  # fields of attachment_values.Sandbox
    nice: int = 0  # how far it stands back for other work


class Start(NamedTuple):
    """Spawn an attempt as soon as there is room for it, after those that were said before."""

    key: str  # names the attempt between the two
    terms: int
    arguments: list[str]  # after those of the terms
    variables: dict[str, str]  # this attempt's own, over those of the terms
    params: str  # JSON
    last_report: str  # JSON, empty: none
    leased_at: float  # boottime that the lease is certainly not older than
    lease: float
    alone: bool  # nothing else may run meanwhile
    credential: str = ""  # for the file that QUANTUM_CREDENTIAL names; empty: none
    beside: bool = False  # it takes no room from tasks (a service, a merge check)
    secrets: tuple[tuple[str, str], ...] = ()  # names and texts, for the folder that QUANTUM_SECRETS names
    check: bool = False  # a merge check, for which somebody waits


class Withdraw(NamedTuple):
    """Refuse those of these attempts that were not spawned yet."""

    keys: list[str]
    sentence: str


class Renew(NamedTuple):
    """These attempts were renewed by a heartbeat that was sent at `sent_at` (boottime)."""

    sent_at: float
    lease: float
    keys: list[str]


class End(NamedTuple):
    """End an attempt's tree: SIGTERM, its grace, SIGKILL; one that was not spawned yet is withdrawn."""

    key: str
    cause: str
    sentence: str


class Pause(NamedTuple):
    """Freeze an attempt's tree."""

    key: str


class Resume(NamedTuple):
    """Thaw an attempt's tree."""

    key: str


class Release(NamedTuple):
    """The runner has read all of this slot's output; the slot may be used again."""

    slot: int


class Shutdown(NamedTuple):
    """End every tree as handed back, and then yourself."""

    sentence: str


class Hold(NamedTuple):
    """Start nothing, and refuse what waits and what comes, with this sentence; empty: starts are welcome again.

    Merge checks start all the same, unless it is about them, too.
    """

    sentence: str
    checks: bool = False


class Ready(NamedTuple):
    """The warden owns its folder, what an earlier run left behind is dead, and spawning may begin."""

    mark: tuple[str, int, str, int, int]  # fields of host.RunMark
    reaped: int  # processes of an earlier run that it ended
    enforcement: dict[str, str]  # how each limit is held here: kernel, supervised or none
    confinement: tuple[str, str, bool] = ("", "", False)  # fields of domain.reach.Confinement


class Spawned(NamedTuple):
    """An attempt's process exists."""

    key: str
    pid: int
    at: float  # boottime
    slot: int


class Paused(NamedTuple):
    """A tree was frozen (true) or thawed (false), as ordered."""

    key: str
    paused: bool


class Refused(NamedTuple):
    """An attempt was not spawned, and why: `configuration`, `resources`, `mode`, `host`, `fence` or
    `withdrawn`."""

    key: str
    cause: str
    sentence: str


class Ended(NamedTuple):
    """An attempt's tree is dead (or, `tree_dead` false, cannot be proved dead). Tells the spawn too, if nothing did."""

    key: str
    slot: int  # to be read and released; -1: `output` is all there was
    output: bytes
    status: int  # as wait(2) gives it; -1: the main process itself could not be ended
    cause: str
    sentence: str
    started_at: float
    ended_at: float
    active_seconds: float  # paused time left out
    cpu_seconds: float
    peak_bytes: int
    output_bytes: int
    reported: bool  # the script wrote a report
    tree_dead: bool
    stragglers: int  # processes that outlived the script, or had left its tree
    straggler_names: tuple[str, ...] = ()  # the first of them: "sleep (1234)"


class Halted(NamedTuple):
    """The workspace's STOP file appeared (true) or went away (false)."""

    stopped: bool


Message = (
    Terms
    | Start
    | Withdraw
    | Renew
    | End
    | Pause
    | Resume
    | Release
    | Shutdown
    | Ready
    | Spawned
    | Paused
    | Refused
    | Ended
    | Halted
    | Hold
)

_KINDS: tuple[type[Message], ...] = (
    Terms, Start, Withdraw, Renew, End, Pause, Resume, Release, Shutdown,
    Ready, Spawned, Paused, Refused, Ended, Halted, Hold,
)  # fmt: skip
_NUMBER = {kind: number for number, kind in enumerate(_KINDS)}


def encode(messages: Iterable[Message]) -> bytes:
    """One frame that carries all of the messages, in order."""
    body = marshal.dumps([(_NUMBER[type(message)], *message) for message in messages], _MARSHAL_VERSION)
    return _LENGTH.pack(len(body)) + body


class Decoder:
    """Turns the bytes of the socket back into messages, however they were cut on the way."""

    def __init__(self) -> None:
        self._rest = bytearray()

    def feed(self, data: bytes) -> list[Message]:
        """Take in some bytes and return the messages that are now complete; raises ValueError for a frame
        that is too long."""
        self._rest += data
        messages: list[Message] = []
        while len(self._rest) >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._rest)
            if length > FRAME_BYTES_MAX:
                raise ValueError(f"a frame of {length} bytes is over the limit of {FRAME_BYTES_MAX}")
            end = _LENGTH.size + length
            if len(self._rest) < end:
                break
            for number, *fields in marshal.loads(self._rest[_LENGTH.size : end]):
                messages.append(_KINDS[number](*fields))
            del self._rest[:end]
        return messages
