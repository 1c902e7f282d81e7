"""What we answer of a service that is kept alive."""

from __future__ import annotations

from datetime import datetime

from pydantic import Field

from gateway.schemas.base import Output


class Service(Output):
    """How a service has fared since its attempt began, or how it has ended that is held."""

    restarts: int
    next_start_at: datetime | None = Field(description="Null: a process exists, or it is held.")
    last_end: str | None
    last_lines: str | None
    health: str | None = Field(description="What it answered to --health last: healthy or unhealthy.")
