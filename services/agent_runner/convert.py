"""Between the runner's values and the messages of its own door."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from clients.wire_values import to_duration, to_timestamp
from protos.agent_runner.v1 import agent_runner_pb2 as pb
from services.agent_runner.app.held import Held, Phase
from services.agent_runner.domain.reach import Confinement
from services.agent_runner.warden.fence import END_AT


def description(
    *,
    name: str,
    slots: int,
    attached: bool,
    draining: bool,
    warden_pid: int,
    attempts: Sequence[Held],
    enforcement: Mapping[str, str],
    held_reason: str,
    confinement: Confinement,
    lease_seconds: float,
    now: datetime,
    boottime: float,
) -> pb.DescribeRunnerResponse:
    """The runner as it is at this moment; `now` and `boottime` are the same one."""
    return pb.DescribeRunnerResponse(
        name=name,
        slots=slots,
        attached=attached,
        draining=draining,
        warden_pid=warden_pid,
        attempts=[_attempt(held, lease_seconds, now, boottime) for held in attempts],
        enforcement=enforcement,
        held_reason=held_reason,
        sandbox=confinement.level,
        sandbox_missing=confinement.missing,
    )


def _attempt(held: Held, lease_seconds: float, now: datetime, boottime: float) -> pb.HeldAttempt:
    spawned = held.started_at > 0
    left = max(held.renewed_at + END_AT * lease_seconds - boottime, 0.0)
    return pb.HeldAttempt(
        task_id=held.ref.task_id,
        fence=held.ref.fence,
        agent=held.lease.terms.agent,
        pid=held.pid if held.phase is Phase.RUNNING else 0,
        started_at=to_timestamp(now - timedelta(seconds=boottime - held.started_at)) if spawned else None,
        time_left=to_duration(timedelta(seconds=left)),
    )
