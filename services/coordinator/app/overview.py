"""The one snapshot of dispatch that people are shown."""

from collections import Counter, defaultdict
from datetime import datetime

from services.coordinator.app.attachments import Attachment, Attachments
from services.coordinator.app.figures import Figures
from services.coordinator.app.holdings import Holdings
from services.coordinator.app.holds import Holds
from services.coordinator.domain.fleet import FleetView, RunnerView


def overview(
    holdings: Holdings, attachments: Attachments, holds: Holds, figures: Figures, *, now: datetime
) -> FleetView:
    """Put together who runs what and what is held; costs by the leases that are out."""
    spawned = [lease for lease in holdings.all() if lease.spawned]
    tasks: defaultdict[str, tuple[str, ...]] = defaultdict(tuple)
    for lease in spawned:
        tasks[lease.agent] += (lease.task_id,)
    return FleetView(
        runners=tuple(_runner(attachment, holdings) for attachment in attachments.all()),
        parked=holds.parked(),
        held_projects=holds.projects(),
        stopped=holds.stopped,
        safety_fault=holds.safety_fault,
        queue_paused=holds.queue_paused,
        pauses={lease.task_id: lease.pause for lease in spawned if lease.pause is not None},
        running=Counter(lease.agent for lease in spawned),
        held_tasks=dict(tasks),
        restarts=figures.restarts(),
        waits_seconds=figures.waits_seconds(),
        ended_last_five_minutes=figures.ended_recently(now),
    )


def _runner(attachment: Attachment, holdings: Holdings) -> RunnerView:
    held = holdings.of_runner(attachment.hello.name)
    return RunnerView(
        name=attachment.hello.name,
        host=attachment.hello.host,
        slots=attachment.hello.slots,
        leased=len(held),
        running=sum(1 for lease in held if lease.spawned),
        draining=attachment.draining,
        attached_at=attachment.attached_at,
        last_heartbeat_at=attachment.last_heartbeat_at,
    )
