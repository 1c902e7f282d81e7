"""The rooms of the attached runners as they are now, and a plan in which each place is taken as it is promised."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta

from services.coordinator.app.attachments import Attachment, Attachments
from services.coordinator.app.footprints import Footprints
from services.coordinator.app.holdings import Holdings, Load
from services.coordinator.domain.agent import AgentSpec
from services.coordinator.domain.placement import Need, Room, Share, place, share_of
from services.coordinator.domain.ready import agent_of_lane, labels_of_lane, lane_of
from services.coordinator.domain.task import Task
from services.coordinator.ports import Catalogue

MEMORY_SHARE = 0.9
"""Of a machine's memory, what attempts are expected to take in sum; the rest is a reserve."""
GROWN_AFTER_SECONDS = 60.0
"""An attempt that has run for so long has taken its memory, so that it is missing from what is free."""
PATIENCE = timedelta(seconds=30)
"""How long smaller ones may go before one that is too large for the moment; then a runner is kept for it."""


class Needs:
    """What attempts ask of a runner, by their task, their agent's manifest and its past runs."""

    def __init__(self, catalogue: Catalogue, footprints: Footprints) -> None:
        self._catalogue = catalogue
        self._footprints = footprints

    def of_lane(self, lane: str) -> Need:
        """What the tasks of a lane have in common."""
        agent = agent_of_lane(lane)
        return self._need(self._catalogue.agents().get(agent), agent, labels_of_lane(lane))

    def of_task(self, task: Task) -> Need:
        """What one task asks for."""
        need = self._need(self._catalogue.agents().get(task.agent), task.agent, task.labels)
        return need._replace(alone=True) if task.alone else need

    def _need(self, spec: AgentSpec | None, agent: str, labels: Mapping[str, str]) -> Need:
        if spec is None:
            return Need(labels, footprint_bytes=self._footprints.of(agent))
        wanted = {**spec.labels, **labels}
        return Need(wanted, spec.is_service, self._footprints.of(agent), check=spec.is_at_home)


class Plan:
    """What may still be handed out."""

    def __init__(self, rooms: Sequence[Room]) -> None:
        self._rooms = [room for room in rooms if not room.draining]
        self._fitting: dict[str, list[Room]] = {}

    @property
    def places(self) -> int:
        """For tasks, services and merge checks, in all."""
        tasks = sum(room.leases + room.services for room in self._rooms if room.open)
        return tasks + sum(room.checks for room in self._rooms if not room.no_checks)

    def place(self, lane: str, need: Need) -> Room | None:
        """Take a place for one more task of a lane; None: there is none."""
        room = place(need, self._of_lane(lane, need))
        if room is not None:
            room.take(need)
        return room

    def wants_memory_alone(self, lane: str, need: Need) -> bool:
        """Whether there would be a place, were it smaller."""
        return any(room.counts(need) for room in self._of_lane(lane, need))

    def _of_lane(self, lane: str, need: Need) -> Sequence[Room]:
        rooms = self._fitting.get(lane)
        if rooms is None:
            rooms = self._fitting[lane] = [
                room
                for room in self._rooms
                if room.has(need.labels) and not room.holds_back(need) and room.is_for(lane, need)
            ]
        return rooms


class Rooms:
    """How much more each attached runner may have now."""

    def __init__(
        self,
        attachments: Attachments,
        holdings: Holdings,
        needs: Needs,
        *,
        paused_max: int,
        silent_after: timedelta,
        now: Callable[[], datetime],
    ) -> None:
        self._attachments = attachments
        self._holdings = holdings
        self.needs = needs
        self._paused_max = paused_max
        self._silent_after = silent_after
        self._now = now
        self._passed_over: dict[str, datetime] = {}  # lanes that memory refuses, and since when

    def all(self) -> list[Room]:
        """A room per attached runner; made anew, so that whoever asks may take places."""
        rooms = [self._of(attachment) for attachment in self._attachments.all() if not attachment.closed]
        self._keep(rooms)
        return rooms

    def plan(self) -> Plan:
        """For one round."""
        return Plan(self.all())

    def assign(self, tasks: Sequence[Task]) -> tuple[list[tuple[Task, str]], list[Task]]:
        """Give each task its runner; return what is left over, too."""
        plan = self.plan()
        assigned, rest = [], []
        for task in tasks:
            room = plan.place(lane_of(task), self.needs.of_task(task))
            if room is None:
                rest.append(task)
            else:
                assigned.append((task, room.name))
        return assigned, rest

    # -- those that are too large for the moment

    def passed_over(self, lane: str, need: Need, plan: Plan) -> None:
        """The head of a lane found no place. Where that is for memory alone, it is not to wait for ever."""
        if lane not in self._passed_over and not need.beside and plan.wants_memory_alone(lane, need):
            self._passed_over[lane] = self._now()

    def placed(self, lane: str) -> None:
        """One of it found a place, or none of it waits any more."""
        self._passed_over.pop(lane, None)

    def forget_lanes(self, waiting: Callable[[str], bool]) -> None:
        """Those of which nothing waits any more; called every tick."""
        self._passed_over = {lane: since for lane, since in self._passed_over.items() if waiting(lane)}

    def _keep(self, rooms: Sequence[Room]) -> None:
        """A runner for each lane that was passed over for too long, the one with most memory to give."""
        if not self._passed_over:
            return
        # In the order in which they began to wait; a runner is kept for one at a time.
        now = self._now()
        for lane, since in sorted(self._passed_over.items(), key=lambda item: item[1]):
            if now - since < PATIENCE:
                continue
            need = self.needs.of_lane(lane)
            fitting = [room for room in rooms if room.open and room.has(need.labels) and not room.kept_for]
            if fitting:
                max(fitting, key=_memory_bytes).kept_for = lane

    # -- one runner

    def _of(self, attachment: Attachment) -> Room:
        """No lease while half of what a runner keeps at hand is still there, so that leases go out in batches and it
        never starves: its news of starts and ends are milliseconds old."""
        hello, load = attachment.hello, self._holdings.load_of(attachment.hello.name)
        paused, silence = min(load.paused, self._paused_max), self._silence(attachment)
        enough = max(hello.slots, attachment.capacity - hello.slots) / 2
        leases = 0 if load.unspawned >= enough else max(0, attachment.capacity - load.tasks + paused)
        return Room(
            name=hello.name,
            labels=hello.labels,
            leases=leases,
            services=max(0, hello.services_max - load.services) if attachment.capacity else 0,
            slots=hello.slots,
            services_max=hello.services_max,
            checks=0 if attachment.no_checks else max(0, hello.checks_max - load.checks),
            checks_max=hello.checks_max,
            tasks=load.tasks,
            held_reason=attachment.host.held_reason or silence or attachment.stalled,
            no_checks=attachment.host.disk_short or silence,
            draining=attachment.draining or hello.name in self._attachments.drained,
            whole=_whole(attachment, load, paused),
            now=_free_now(attachment, load, paused),
        )

    def _silence(self, attachment: Attachment) -> str:
        """Why a runner that has stopped to beat gets nothing: it may be stopped itself, with its stream still up."""
        silent = self._now() - attachment.last_heartbeat_at
        if silent < self._silent_after:
            return ""
        return f"it has not been heard for {silent.total_seconds():.0f} s"


def _whole(attachment: Attachment, load: Load, paused: int) -> Share | None:
    """Of the machine's memory: all that the runner holds, as many as may run at the same time."""
    memory = attachment.hello.memory_bytes
    if not memory:
        return None
    sizes = dict(load.young)
    for size, number in load.grown.items():
        sizes[size] = sizes.get(size, 0) + number
    places = max(1, attachment.hello.slots + paused)
    return share_of(int(memory * MEMORY_SHARE), places, sizes, always_bytes=load.beside_bytes)


def _free_now(attachment: Attachment, load: Load, paused: int) -> Share | None:
    """Of what is free: those that have not taken theirs yet, as many as may start beside those that have."""
    free = attachment.host.memory_available_bytes
    if free < 0:
        return None
    reserve = int((attachment.hello.memory_bytes or free) * (1 - MEMORY_SHARE))
    places = max(1, attachment.hello.slots + paused - sum(load.grown.values()))
    return share_of(max(0, free - reserve), places, load.young, always_bytes=load.beside_young_bytes)


def _memory_bytes(room: Room) -> int:
    return max((share.bytes_max for share in (room.whole, room.now) if share is not None), default=0)
