"""Which tasks a verb means: by their ids, or by agent, project and state."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

from cli.session import Connected
from clients.coordinator_values import OPEN_STATES, TaskFilter, TaskState, TaskView
from foundation.errors import Invalid
from foundation.files import atomic_write
from foundation.workspace import Workspace

F = TypeVar("F", bound=Callable[..., Any])
PAGE = 1_000
SHOWN_IDS_MAX = 3
STATE = click.Choice([state.value for state in TaskState])


from_option = click.option("--from", "ids_file", type=click.Path(path_type=Path), help="A file with ids, one a line.")


def filter_options(function: F) -> F:
    """`--agent`, `--project` and `--state`."""
    for option in reversed(
        (
            click.option("--agent", default="", help="Those of this agent."),
            click.option("--project", default="", help="Those of this project."),
            click.option("--state", "states", type=STATE, multiple=True, help="Those in this state; repeat for more."),
        )
    ):
        function = option(function)
    return function


def filter_of(agent: str, project: str, states: Sequence[str]) -> TaskFilter:
    """The filter that the options mean; none of them: everything."""
    return TaskFilter(states=frozenset(map(TaskState, states)), agent=agent, project=project)


def all_of(connected: Connected, chosen: TaskFilter) -> Iterator[TaskView]:
    """Every task of a filter, newest first, over all pages."""
    cursor: str | None = ""
    while cursor is not None:
        page = connected.call(connected.coordinator.list_tasks(chosen, limit=PAGE, cursor=cursor))
        yield from page.tasks
        cursor = page.next


def open_ids(connected: Connected, agent: str, project: str) -> list[str]:
    """The ids of all open tasks of an agent or a project, or of all."""
    return [task.id for task in all_of(connected, TaskFilter(states=OPEN_STATES, agent=agent, project=project))]


def in_pages(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    """Ids in portions that one call takes."""
    for start in range(0, len(ids), PAGE):
        yield ids[start : start + PAGE]


def read_ids(path: Path) -> list[str]:
    """Ids from a file, one a line. Raises Invalid when it cannot be read."""
    try:
        return path.read_text().split()
    except (OSError, UnicodeDecodeError) as error:
        raise Invalid("bad_ids_file", f"The ids cannot be read from {path}: {error}.") from None


def line_for(workspace: Workspace, verb: str, ids: Sequence[str]) -> str:
    """The line that applies a verb to these tasks; many ids are kept in a file, so that the line stays one."""
    if len(ids) <= SHOWN_IDS_MAX:
        return f"quantum {verb} {' '.join(ids)}"
    folder = workspace.state / "undo"
    folder.mkdir(mode=0o700, exist_ok=True)
    path = folder / f"{verb}-{ids[0]}-{len(ids)}.ids"
    atomic_write(path, "".join(f"{task_id}\n" for task_id in ids).encode(), 0o600)
    return f"quantum {verb} --from {shlex.quote(str(path))}"
