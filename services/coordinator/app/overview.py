"""The one snapshot of dispatch that people are shown."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from datetime import datetime

from services.coordinator.app.attachments import Attachment, Attachments
from services.coordinator.app.figures import Figures
from services.coordinator.app.holdings import Holdings
from services.coordinator.app.holds import Holds
from services.coordinator.domain.fleet import FleetView, RunnerView
from services.coordinator.domain.placement import Room


def overview(
    holdings: Holdings,
    attachments: Attachments,
    holds: Holds,
    figures: Figures,
    rooms: Sequence[Room],
    *,
    now: datetime,
) -> FleetView:
    """Put together who runs what and what is held; costs by the leases that are out."""
    spawned = [lease for lease in holdings.all() if lease.spawned]
    tasks: defaultdict[str, tuple[str, ...]] = defaultdict(tuple)
    for lease in spawned:
        tasks[lease.agent] += (lease.task_id,)
    return FleetView(
        runners=runners(holdings, attachments, rooms),
        rooms=tuple(rooms),
        parked=holds.parked(),
        held_projects=holds.projects(),
        stopped=holds.stopped,
        safety_fault=holds.safety_fault,
        queue_paused=holds.queue_paused,
        pauses={lease.task_id: lease.pause for lease in spawned if lease.pause is not None},
        unspawned={lease.task_id: lease.waits for lease in holdings.unspawned()},
        running=Counter(lease.agent for lease in spawned),
        held_tasks=dict(tasks),
        restarts=figures.restarts(),
        waits_seconds=figures.waits_seconds(),
        ended_last_five_minutes=figures.ended_recently(now),
    )


def runners(holdings: Holdings, attachments: Attachments, rooms: Sequence[Room]) -> tuple[RunnerView, ...]:
    """Those that are attached, and those that are drained and away, by name."""
    room_of = {room.name: room for room in rooms}
    found = {
        attachment.hello.name: _attached(
            attachment, holdings, room_of.get(attachment.hello.name), attachments.drained.get(attachment.hello.name, "")
        )
        for attachment in attachments.all()
    }
    away = {name: _away(name, said, holdings) for name, said in attachments.drained.items() if name not in found}
    return tuple(view for _, view in sorted({**away, **found}.items()))


def _attached(attachment: Attachment, holdings: Holdings, room: Room | None, drained: str) -> RunnerView:
    hello, host = attachment.hello, attachment.host
    load = holdings.load_of(hello.name)
    return RunnerView(
        name=hello.name,
        host=hello.host,
        slots=hello.slots,
        leased=load.tasks,
        running=load.tasks - load.unspawned,
        draining=attachment.draining or bool(drained),
        attached_at=attachment.attached_at,
        last_heartbeat_at=attachment.last_heartbeat_at,
        labels=hello.labels,
        services=load.services,
        services_max=hello.services_max,
        paused=load.paused,
        memory_bytes=hello.memory_bytes,
        memory_available_bytes=host.memory_available_bytes,
        memory_expected_bytes=room.whole.taken_bytes if room is not None and room.whole is not None else 0,
        cpu_share=host.cpu_share,
        held_reason=room.held_reason if room is not None else host.held_reason,
        drained=drained,
    )


def _away(name: str, drained: str, holdings: Holdings) -> RunnerView:
    """Its leases run down meanwhile, or go on when it comes back."""
    load = holdings.load_of(name)
    return RunnerView(
        name=name,
        host="",
        slots=0,
        leased=load.tasks,
        running=load.tasks - load.unspawned,
        draining=True,
        attached_at=None,
        last_heartbeat_at=None,
        services=load.services,
        paused=load.paused,
        drained=drained,
    )
