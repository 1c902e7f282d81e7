"""From a lease to the warden's order, and from what the warden says of an end to the result."""

from __future__ import annotations

import os
from datetime import datetime

from clients.attachment_values import EndCause, Lease, Order, OrderKind, Result, Started
from clients.wire_values import micros_of
from foundation.clock import Clock
from services.agent_runner.app.held import Held
from services.agent_runner.domain.orders import arguments, variables
from services.agent_runner.domain.report import ReportReading
from services.agent_runner.ports import Output
from services.agent_runner.warden.protocol import End, Ended, Message, Pause, Resume, Start, Withdraw

_CAUSES = {
    "exit": EndCause.EXIT,
    "timeout": EndCause.TIMEOUT,
    "idle": EndCause.IDLE,
    "memory": EndCause.MEMORY,
    "processes": EndCause.PROCESSES,
    "output": EndCause.OUTPUT,
    "cpu_time": EndCause.CPU_TIME,
    "files": EndCause.FILES,
    "disk": EndCause.DISK,
    "sandbox": EndCause.SPAWN_CONFIGURATION,
    "cancel": EndCause.CANCEL,
    "stop": EndCause.POLICY,
    "mode": EndCause.POLICY,
    "fence": EndCause.FENCE,
    "disowned": EndCause.FENCE,
    "handed_back": EndCause.HANDED_BACK,
    # Of a service, which is started again: never what its attempt ends by.
    "health": EndCause.EXIT,
    "changed": EndCause.EXIT,
}


REFUSALS = {"configuration": EndCause.SPAWN_CONFIGURATION, "resources": EndCause.SPAWN_RESOURCES}
"""Refusals that are results; after any other the lease just goes back."""


_LOOKS = 5
_NARROW_SECONDS = 50e-6


def boot_us_of(clock: Clock) -> int:
    """The zero of boottime in microseconds since 1970, as the clock of the day has it now.

    Whoever is held up between the looks at the two clocks is wrong by as long, and what ran later seems to have begun
    earlier; so the clock of the day is read between two looks at boottime, and the narrowest of a few counts.
    """
    narrowest, zero = float("inf"), 0
    for _ in range(_LOOKS):
        before, now, after = clock.boottime(), clock.now(), clock.boottime()
        if after - before < narrowest:
            narrowest, zero = after - before, micros_of(now) - round((before + after) / 2 * 1e6)
        if narrowest < _NARROW_SECONDS:
            break
    return zero


def start_order(held: Held, lease_seconds: float) -> Start:
    """What the warden needs to spawn an attempt, beside the terms of its lease."""
    lease = held.lease
    return Start(
        key=held.key,
        terms=held.known.number,
        arguments=arguments(lease),
        variables=variables(lease),
        params=lease.params,
        last_report=lease.last_report,
        leased_at=held.renewed_at,
        lease=lease_seconds,
        alone=lease.alone,
        credential=lease.credential,
        beside=lease.terms.check,
        check=lease.terms.check,
        secrets=tuple(held.secrets.items()),
    )


def told_of(key: str, order: Order) -> Message:
    """What the warden is told when the coordinator gives an order about an attempt; a disowned one has a way of its
    own."""
    match order.kind:
        case OrderKind.RECALL:
            return Withdraw([key], order.reason)
        case OrderKind.PAUSE:
            return Pause(key)
        case OrderKind.CONTINUE:
            return Resume(key)
        case _:
            return End(key, order.kind.value, order.reason)


def started_of(held: Held, boot_us: int) -> Started:
    """The news that it runs; `boot_us` is the zero of boottime in microseconds since 1970."""
    return Started(held.ref, boot_us + round(held.started_at * 1e6), held.pid)


def result_of(
    held: Held,
    ended: Ended,
    output: Output,
    report: ReportReading,
    *,
    boot_us: int,
) -> Result:
    """The result of an attempt that was spawned; `boot_us` is the zero of boottime in microseconds since 1970."""
    status = ended.status
    known = status != -1
    return Result(
        ref=held.ref,
        cause=_CAUSES[ended.cause],
        sentence=ended.sentence,
        exit_code=os.WEXITSTATUS(status) if known and os.WIFEXITED(status) else None,
        signal=os.WTERMSIG(status) if known and os.WIFSIGNALED(status) else None,
        started_us=boot_us + round(ended.started_at * 1e6),
        finished_us=boot_us + round(ended.ended_at * 1e6),
        duration_us=round(ended.active_seconds * 1e6),
        cpu_us=round(ended.cpu_seconds * 1e6),
        memory_peak_bytes=ended.peak_bytes if ended.peak_bytes >= 0 else None,
        limits=held.known.limits,
        output_tail=output.tail(),
        output_bytes=output.total_bytes,
        output_cut=output.cut,
        report=report.text,
        report_fault=report.fault,
        tree_dead=ended.tree_dead,
        stragglers=ended.stragglers,
        epoch=held.lease.epoch,
    )


def unspawned(lease: Lease, cause: EndCause, sentence: str, *, now: datetime) -> Result:
    """The result of an attempt that could not be spawned."""
    return Result(ref=lease.ref, cause=cause, sentence=sentence, finished_us=micros_of(now), epoch=lease.epoch)
