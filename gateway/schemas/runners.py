"""Runners, as the HTTP interface shows them."""

from __future__ import annotations

from datetime import datetime

from pydantic import Field

from gateway.schemas.base import Output


class Runner(Output):
    """A runner that is attached, or one that is drained and away."""

    name: str
    host: str | None = Field(description="Null while it is away.")
    slots: int
    running: int
    draining: bool
    attached_at: datetime | None
    last_heartbeat_at: datetime | None
    labels: dict[str, str] = Field(description="What tasks may ask for.")
    services: int
    services_max: int
    paused: int
    memory_bytes: int | None
    memory_available_bytes: int | None
    memory_expected_bytes: int = Field(description="What it holds is expected to take, by past runs.")
    cpu_share: float | None = Field(description="Processors in use by everything, 0 to 1.")
    held_reason: str | None = Field(description="Why nothing new starts there.")
    drained: str | None = Field(description="Who drained it, when and why.")


class Runners(Output):
    """Every runner that is attached, and those that are drained and away."""

    runners: list[Runner]


class Drained(Output):
    """Whether that changed anything, and what runs there still."""

    changed: bool
    running: int
    undo: str = Field(description="The line that undoes it.")
