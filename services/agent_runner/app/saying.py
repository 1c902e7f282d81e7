"""The lines of the log about what a runner goes through."""

from __future__ import annotations

from clients.attachment_values import HostState
from foundation.log import Logger
from services.agent_runner.app.held import Held
from services.agent_runner.warden.protocol import Ended


def tell_stragglers(log: Logger, task_id: str, ended: Ended) -> None:
    """One line, if there were any; all of them have been ended."""
    if ended.stragglers:
        names = ", ".join(ended.straggler_names)
        more = " …" if ended.stragglers > len(ended.straggler_names) else ""
        log.warning(
            f"Processes of task {task_id} outlived its script, or had left its tree, and were ended: {names}{more}.",
            action="stragglers",
            task=task_id,
            count=ended.stragglers,
        )


def tell_unproved(log: Logger, held: Held) -> None:
    """Its processes are still there, whatever was done."""
    log.error(
        f"The processes of task {held.ref.task_id} cannot be proved dead; this runner takes no more work.",
        action="tree_not_dead",
        task=held.ref.task_id,
        pid=held.pid,
    )


def tell_halt(log: Logger, stopped: bool) -> None:
    """The workspace's STOP file has come, or gone."""
    log.info(
        "The STOP file is there: everything ends." if stopped else "The STOP file is gone: work goes on.",
        action="runner_halted" if stopped else "runner_resumed",
    )


def tell_hold(log: Logger, host: HostState) -> None:
    """The machine has begun to hold new starts, or has ceased to."""
    log.info(
        host.held_reason or "The machine has room again: new starts go on.",
        action="host_holds" if host.held_reason else "host_has_room",
    )
