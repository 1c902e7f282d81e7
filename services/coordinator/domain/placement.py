"""Placement: which runner gets an attempt, or the one reason why none does; dispatch and `why` ask alike."""

from bisect import insort
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from foundation.quantities import format_size

NO_LABELS: Mapping[str, str] = {}


class Need(NamedTuple):
    """What an attempt asks of its runner. `alone`: nothing else runs there meanwhile, so its memory is its own.

    `check`: a merge check, for which somebody waits.
    """

    labels: Mapping[str, str] = NO_LABELS
    service: bool = False
    footprint_bytes: int = 0
    alone: bool = False
    check: bool = False

    @property
    def beside(self) -> bool:
        """It takes no room from tasks."""
        return self.service or self.check


NOTHING = Need()


@dataclass(slots=True, kw_only=True)
class Share:
    """Memory for those that may run at the same time: the `places` largest of what was handed out, and what is always
    there (services, frozen attempts)."""

    bytes_max: int
    places: int
    largest: list[int] = field(default_factory=list)
    """Ascending, at most `places`."""
    taken_bytes: int = 0
    """What is set aside."""

    def more(self, footprint: int, *, service: bool) -> int:
        """By how much one more would add to it: nothing, where larger ones hold every place that there is."""
        if service or len(self.largest) < self.places:
            return footprint
        return max(0, footprint - self.largest[0]) if self.largest else 0

    def fits(self, footprint: int, *, service: bool) -> bool:
        """Whether one more stays within the share."""
        more = self.more(footprint, service=service)
        return more == 0 or self.taken_bytes + more <= self.bytes_max

    def take(self, footprint: int, *, service: bool) -> None:
        """Set aside for one more."""
        self.taken_bytes += self.more(footprint, service=service)
        if not service:
            insort(self.largest, footprint)
            del self.largest[: max(0, len(self.largest) - self.places)]


def share_of(bytes_max: int, places: int, sizes: Mapping[int, int], *, always_bytes: int = 0) -> Share:
    """A share of which these footprints (with how often each) are handed out already."""
    largest: list[int] = []
    for size in sorted(sizes, reverse=True):
        largest += [size] * min(sizes[size], places - len(largest))
    return Share(bytes_max=bytes_max, places=places, largest=largest[::-1], taken_bytes=always_bytes + sum(largest))


@dataclass(slots=True, kw_only=True)
class Room:
    """What one attached runner can still take: `leases` for tasks, `services` for services, `checks` for merge checks.

    `whole` is of the machine's memory and all that the runner holds; `now` of what is free at the moment and those that
    have not taken theirs yet. None: not known, so that nothing is held back for it.
    """

    name: str
    labels: Mapping[str, str] = field(default_factory=dict)
    leases: int = 0
    services: int = 0
    slots: int = 0
    services_max: int = 0
    checks: int = 0
    checks_max: int = 0
    tasks: int = 0
    """That it holds already."""
    held_reason: str = ""
    no_checks: str = ""
    """Why no merge check starts there either: the machine's own guard holds none, because somebody waits for it."""
    draining: bool = False
    kept_for: str = ""
    """The lane of a task that is too large for the moment, and waits for its room; "": it is kept for none."""
    whole: Share | None = None
    now: Share | None = None

    @property
    def open(self) -> bool:
        """Whether anything new may start there at all."""
        return not self.draining and not self.held_reason

    def holds_back(self, need: Need) -> str:
        """Why nothing like it may start there, draining aside."""
        return self.no_checks if need.check else self.held_reason

    def is_for(self, lane: str, need: Need) -> bool:
        """Whether it is not kept for others."""
        return need.beside or self.kept_for in ("", lane)

    def has(self, labels: Mapping[str, str]) -> bool:
        """Whether it has each of them."""
        return all(self.labels.get(key) == value for key, value in labels.items())

    def counts(self, need: Need) -> bool:
        """Whether a place is free, whatever memory it asks for."""
        return _room_left(self, need) > 0

    def holds(self, need: Need) -> bool:
        """Whether its memory is free. With no task there it is given one, however large: it would wait for ever.

        A check does not wait for memory that others are expected to take.
        """
        if need.alone or need.check or (self.tasks == 0 and not need.service):
            return True
        return all(
            share is None or share.fits(need.footprint_bytes, service=need.service) for share in (self.whole, self.now)
        )

    def take(self, need: Need) -> None:
        """One more is on its way there."""
        if need.service:
            self.services -= 1
        elif need.check:
            self.checks -= 1
        else:
            self.leases -= 1
            self.tasks += 1
        if not need.alone:
            for share in (self.whole, self.now):
                if share is not None:
                    share.take(need.footprint_bytes, service=need.beside)


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why no runner gets it now: a code for programs, a sentence for people."""

    code: str
    sentence: str


def place(need: Need, rooms: Sequence[Room]) -> Room | None:
    """Of the runners that may have it one that begins it at once, then the one that has most room; None: `refusal` says
    why."""
    best: Room | None = None
    for room in rooms:
        if not room.counts(need) or room.draining or room.holds_back(need):
            continue
        if not room.has(need.labels) or not room.holds(need):
            continue
        if best is None or _rank(room, need) > _rank(best, need):
            best = room
    return best


def _rank(room: Room, need: Need) -> tuple[bool, int]:
    """What is at hand behind a runner's full slots waits there, also while another runner has a slot free."""
    at_once = need.beside or room.tasks < (1 if need.alone else room.slots)
    return at_once, _room_left(room, need)


def _room_left(room: Room, need: Need) -> int:
    if need.check:
        return room.checks
    return room.services if need.service else room.leases


def refusal(need: Need, rooms: Sequence[Room]) -> Refusal | None:
    """The one reason why `place` finds none, the one that will last longest first; None: it finds one."""
    if not rooms:
        return Refusal("no_runner", "It is ready, but no runner is attached.")
    if need.check and not (rooms := [room for room in rooms if room.checks_max]):
        return _no_check(0)
    fitting = [room for room in rooms if room.has(need.labels)]
    if not fitting:
        return Refusal("labels", _missing(need.labels, rooms))
    taking = [room for room in fitting if not room.draining]
    if not taking:
        return Refusal("no_runner", f"It is ready, but {_which(fitting, len(rooms), need)} is draining.")
    opened = [room for room in taking if not room.holds_back(need)]
    if not opened:
        said = "starts no merge check" if need.check else "takes nothing new"
        reasons = "; ".join(f"runner {room.name} {said}: {bare(room.holds_back(need))}" for room in taking[:3])
        return Refusal("host", f"It is ready, but {reasons}.")
    free = [room for room in opened if room.counts(need)]
    if not free:
        return _full(need, opened)
    if any(room.holds(need) for room in free):
        return None
    return Refusal("memory", _too_large(need, free))


def _missing(labels: Mapping[str, str], rooms: Sequence[Room]) -> str:
    nowhere = {key: value for key, value in labels.items() if not any(room.has({key: value}) for room in rooms)}
    if nowhere:
        return f"No attached runner has {_shown(nowhere)}."
    return f"No attached runner has {_shown(labels)} at the same time."


def _which(fitting: Sequence[Room], attached: int, need: Need) -> str:
    if len(fitting) == attached:
        return "every attached runner"
    return f"every attached runner with {_shown(need.labels)}"


def _full(need: Need, opened: Sequence[Room]) -> Refusal:
    where = f" with {_shown(need.labels)}" if need.labels else ""
    if need.service:
        places = sum(room.services_max for room in opened)
        return Refusal("services", f"All {places} places for services{where} are taken; it waits for a free one.")
    if need.check:
        return _no_check(sum(room.checks_max for room in opened))
    slots = sum(room.slots for room in opened)
    return Refusal("capacity", f"All {slots} slots{where} are taken; it waits for a free one.")


def _no_check(places: int) -> Refusal:
    if places == 0:
        return Refusal("no_runner", "It is ready, but no runner on this host, where the repositories are, is attached.")
    return Refusal("checks", f"All {places} places beside the tasks are taken; it waits for a free one.")


def _too_large(need: Need, free: Sequence[Room]) -> str:
    """Names the runner that comes nearest."""
    left = {room.name: room_left_bytes(room) for room in free}
    name = max(left, key=lambda name: left[name])
    said = f"It is expected to take {format_size(need.footprint_bytes)} of memory, by its agent's past runs"
    return f"{said}; runner {name} has {format_size(max(0, left[name]))} to give at the moment."


def room_left_bytes(room: Room) -> int:
    """Memory that is not set aside; of a runner whose memory is not known, 0."""
    return min((share.bytes_max - share.taken_bytes for share in (room.whole, room.now) if share), default=0)


def _shown(labels: Mapping[str, str]) -> str:
    return ", ".join(f"{key}={value}" for key, value in sorted(labels.items()))


def bare(sentence: str) -> str:
    """To stand inside another one."""
    return sentence.rstrip(". ")
