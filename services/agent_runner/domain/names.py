"""What a runner may be called."""

from __future__ import annotations

import re

from foundation.errors import Invalid

# Short: the name is part of a socket's path.
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}\Z")


def require_name(name: str) -> str:
    """The name as it is; raises Invalid, code `bad_runner_name`."""
    if not _NAME.match(name):
        raise Invalid(
            "bad_runner_name",
            f"“{name}” is no name for a runner: up to 32 of a–z, 0–9, _ and -, beginning with a letter or digit.",
        )
    return name
