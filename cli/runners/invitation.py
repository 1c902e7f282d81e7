"""An invitation as text: read by people above, by `quantum runner join` below."""

from __future__ import annotations

import json
import re
from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from foundation.errors import Invalid

_BEGIN, _END = "-----BEGIN QUANTUM INVITATION-----", "-----END QUANTUM INVITATION-----"
_BLOCK = re.compile(f"{_BEGIN}\n(?P<head>.*?)\n\n(?P<body>.*?)\n{_END}", re.DOTALL)
_VERSION = 1
_COLUMNS = 76


@dataclass(frozen=True, slots=True, kw_only=True)
class Invitation:
    """What a newcomer must know. Token and identity are good for joining alone, once, until `expires_at`."""

    name: str
    expires_at: datetime
    coordinator: str
    safety: str
    token: str = field(repr=False)
    identity: str = field(repr=False)
    """PEM: a key, its certificate, and the authority's certificate, by which the services are known."""
    labels: Mapping[str, str] = field(default_factory=dict)
    gateway: str = ""
    """`host:port`; empty where it cannot be reached from other hosts."""

    def text(self) -> str:
        """The block to hand over."""
        document = {**asdict(self), "labels": dict(self.labels), "expires_at": self.expires_at.isoformat()}
        packed = b64encode(json.dumps({"version": _VERSION, **document}).encode()).decode()
        lines = [packed[at : at + _COLUMNS] for at in range(0, len(packed), _COLUMNS)]
        head = (f"Runner: {self.name}", f"Good until: {self.expires_at:%Y-%m-%d %H:%M} UTC, once")
        return "\n".join((_BEGIN, *head, "", *lines, _END, ""))

    @classmethod
    def parse(cls, text: str) -> Invitation:
        """Read a block, whatever stands round it. Raises Invalid for what is none, or of a newer Quantum."""
        found = _BLOCK.search(text.replace("\r\n", "\n"))
        if found is None:
            raise _none("There is no invitation in that text.")
        try:
            document: dict[str, Any] = json.loads(b64decode("".join(found["body"].split()), validate=True))
            version = document.pop("version")
            if version != _VERSION:
                raise _none(f"This invitation is of version {version}, which this Quantum does not know.")
            expires_at = datetime.fromisoformat(document.pop("expires_at"))
            return cls(expires_at=expires_at, **document)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise _none("This invitation is damaged.") from error


def _none(said: str) -> Invalid:
    remedy = "Hand over all that `quantum runner invite NAME` printed, its first and last line too."
    return Invalid("not_an_invitation", said, remedy=remedy)
