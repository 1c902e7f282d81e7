"""The roster in rows: which agents ran lately, and where."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

import apsw

from services.safety.adapters.rows import to_micros, to_moment
from services.safety.domain.roster import RAN_WITHIN, Place

_ALL = "select agent, project, seen_at from roster"
_PUT = "insert or replace into roster values (?, ?, ?)"
_FORGET = "delete from roster where seen_at < ?"


def load(connection: apsw.Connection) -> Mapping[Place, datetime]:
    """When each agent was last seen in each project."""
    return {Place(agent, project): to_moment(seen_at) for agent, project, seen_at in connection.execute(_ALL)}


def write(connection: apsw.Connection, seen: Mapping[Place, datetime]) -> None:
    """Keep what was seen, and forget what was not for a day."""
    connection.executemany(_PUT, [(place.agent, place.project, to_micros(at)) for place, at in seen.items()])
    connection.execute(_FORGET, (to_micros(max(seen.values()) - RAN_WITHIN),))
