"""What callers send."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Discriminator, Field, RootModel, Tag, WithJsonSchema, model_validator

from foundation.errors import Invalid
from foundation.quantities import parse_duration
from gateway.schemas.base import MAY_BE_ABSENT, Input, Query

AGENT_NAME = r"^[a-z0-9][a-z0-9_-]{0,63}$"
TASK_ID = r"^[0-9a-z][0-9a-z_-]{0,63}$"
_MOMENT = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)", re.ASCII)


def _is_moment(text: str) -> str:
    try:
        if _MOMENT.fullmatch(text) is None:
            raise ValueError
        datetime.fromisoformat(text.upper())
    except ValueError:
        raise ValueError("is not a moment like 2026-12-01T06:00:00Z") from None
    return text


def _is_duration(text: str) -> str:
    try:
        parse_duration(text)
    except Invalid:
        raise ValueError("is not a duration like 90s, 5m or 1h30m") from None
    return text


AgentName = Annotated[str, Field(pattern=AGENT_NAME, description="Name or alias of an agent.")]
Moment = Annotated[
    str, AfterValidator(_is_moment), WithJsonSchema({"type": "string", "format": "date-time", "maxLength": 40})
]
Duration = Annotated[
    str,
    AfterValidator(_is_duration),
    WithJsonSchema(
        {
            "type": "string",
            "pattern": r"^(?=.)([0-9]{1,4}d)?([0-9]{1,5}h)?([0-9]{1,6}m)?([0-9]{1,7}(\.[0-9]{1,3})?s)?$",
            "examples": ["90s", "5m", "1h30m"],
        }
    ),
]
Reason = Annotated[str, Field(max_length=500, description="Recorded with what is done.")]


class NewTask(Input):
    """A request that an agent be run once."""

    agent: AgentName
    params: Annotated[
        dict[str, Any],
        Field(
            default_factory=dict, description="Any JSON object, at most 256 KiB; the agent says what it understands."
        ),
    ]
    project: Annotated[str, Field(min_length=1, max_length=100)] | None = Field(
        default=None, description="A project of config/projects.toml; absent: the workspace."
    )
    priority: Annotated[int, Field(ge=0, le=9)] | None = Field(default=None, description="9 first; absent: 5.")
    not_before: Moment | None = Field(default=None, description="Not to be started before.")
    depends_on: Annotated[
        list[Annotated[str, Field(pattern=r"^(#[A-Za-z0-9_.-]{1,64}|[0-9a-z][0-9a-z_-]{0,63})$")]],
        Field(
            default_factory=list, max_length=100, description='Ids, or "#ref" of this batch; all must succeed first.'
        ),
    ]
    ref: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$")] | None = Field(
        default=None, description="A name for this task within the batch."
    )
    timeout: Duration | None = Field(default=None, description="Wall clock of one attempt; absent: the manifest's.")
    retries: Annotated[int, Field(ge=0, le=100)] | None = Field(
        default=None, description="Attempts more after its own failures, at most max_retries; absent: the manifest's."
    )
    labels: Annotated[
        dict[
            Annotated[str, Field(min_length=1, max_length=64)],
            Annotated[str, Field(max_length=64)],
        ],
        Field(
            default_factory=dict,
            max_length=32,
            description="What its runner must have.",
        ),
    ]


class NewTasks(Input):
    """Several tasks, accepted all or none."""

    tasks: Annotated[list[NewTask], Field(min_length=1, max_length=10_000)]


def _one_or_many(value: object) -> str:
    return "many" if isinstance(value, NewTasks) or (isinstance(value, dict) and "tasks" in value) else "one"


class Submission(
    RootModel[Annotated[Annotated[NewTask, Tag("one")] | Annotated[NewTasks, Tag("many")], Discriminator(_one_or_many)]]
):
    """One task, or several under `tasks`."""


class Optional(Input):
    """A body that may be left out."""

    model_config = MAY_BE_ABSENT

    @model_validator(mode="before")
    @classmethod
    def _absent_is_empty(cls, value: object) -> object:
        return {} if value is None else value


class Why(Optional):
    """A reason, for the record."""

    reason: Reason = ""


class NewMode(Input):
    """The mode to go to, and a reason for the record."""

    mode: Literal["NORMAL", "GUARDED", "DRAIN", "FROZEN", "STOPPED"]
    reason: Reason = ""


class ForceClosed(Input):
    """For how long a breaker is held closed, and a reason for the record."""

    lasting: Annotated[Duration, Field(alias="for", description="At most 7 days.")]
    reason: Reason = ""


class Decide(Input):
    """A person's decision on a task that is `needs_decision`."""

    decision: Literal["run_again", "failed", "succeeded"]
    note: Annotated[str, Field(max_length=2_000)] = ""


class Clear(Optional):
    """Which waiting tasks to cancel."""

    agent: AgentName | None = Field(default=None, description="Only this agent's tasks; absent: all.")
    reason: Reason = ""
    dry_run: bool = Field(default=False, description="Count only, change nothing.")


class Undo(Input):
    """Which clearing to undo."""

    clearing_id: Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[0-9a-zA-Z_-]+$")]


class TaskPath(Query):
    """The address of a task."""

    task_id: Annotated[str, Field(pattern=TASK_ID)]


class ScopePath(Query):
    """The address of a breaker."""

    scope: Annotated[
        str,
        Field(
            pattern=r"^(fleet|(agent|cloud|project):[A-Za-z0-9][A-Za-z0-9 ._-]{0,99})$", description="Like agent:build."
        ),
    ]


_State = Literal[
    "scheduled", "blocked", "queued", "running", "paused", "needs_decision", "succeeded", "failed", "cancelled", "dead"
]


class RunnerPath(Query):
    """The address of a runner."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,31}$", description="As `GET /runners` names it.")]


class ListQuery(Query):
    """Which tasks, and how many."""

    state: Annotated[list[_State], Field(default_factory=list, description="Any of these; absent: all.")]
    agent: AgentName | None = None
    project: Annotated[str, Field(min_length=1, max_length=100)] | None = None
    limit: Annotated[int, Field(ge=1, le=1_000)] = 100
    cursor: Annotated[str, Field(max_length=2_000)] = Field(default="", description="`next` of the page before.")


class LogQuery(Query):
    """From where, and whether to go on."""

    offset: Annotated[int, Field(ge=0, le=2**53)] = Field(default=0, description="Byte at which to begin.")
    follow: Literal["0", "1"] = Field(default="0", description="1: server-sent events until the task has ended.")


class ReportQuery(Query):
    """Which reports."""

    type: Annotated[str, Field(max_length=64)] = ""
    project: Annotated[str, Field(max_length=100)] = ""


class BreakerQuery(Query):
    """Which breakers."""

    not_closed: Literal["0", "1"] = Field(default="0", description="1: only those that hold something.")
