"""Tells what outlived a script, by name: whoever wrote it should know."""

from __future__ import annotations

from foundation.log import Logger
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
