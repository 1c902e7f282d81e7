"""The schedules that there are by the manifests and the projects, and how each stands by its row."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from foundation.clock import Clock
from foundation.errors import Invalid, NotFound
from services.coordinator.domain.agent import AgentSpec
from services.coordinator.domain.schedule import (
    NO_PAUSE,
    Pause,
    Schedule,
    ScheduleKey,
    Standing,
    first_seen,
    in_step,
    next_due,
    projects_of,
    timetable_of,
)
from services.coordinator.ports import Catalogue

Rows = Mapping[ScheduleKey, Standing]
MANIFEST = "its manifest"


@dataclass(frozen=True, slots=True)
class Entry:
    """One schedule: what an agent's manifest says, for one project or none."""

    spec: AgentSpec
    schedule: Schedule
    key: ScheduleKey
    timetable: str

    @property
    def zone(self) -> str:
        """The zone that its times are reckoned in."""
        return self.timetable.rsplit(" ", 1)[1]

    def standing(self, rows: Rows, *, now: datetime) -> Standing:
        """How it stands; as seen for the first time where it has no row."""
        known = rows.get(self.key)
        if known is None:
            return first_seen(self.key, self.timetable, now=now)
        return in_step(known, self.timetable, now=now)

    def pause(self, rows: Rows) -> Pause:
        """What lets it rest: its agent as a whole, itself, or its manifest until somebody resumes it."""
        found = [one for one in (rows.get(whole(self.key)), rows.get(self.key)) if one is not None]
        for standing in found:
            if standing.pause.by:
                return standing.pause
        rests = self.schedule.paused and not any(standing.resumed for standing in found)
        return Pause(by=MANIFEST) if rests else NO_PAUSE


@dataclass(frozen=True, slots=True)
class Named:
    """What a person has named: an agent's schedules as a whole (project ""), or that of one project."""

    key: ScheduleKey
    entries: Sequence[Entry]


def whole(key: ScheduleKey) -> ScheduleKey:
    """The key under which an agent as a whole is paused."""
    return ScheduleKey(key.agent)


class Timetable:
    """Reads the catalogue anew each time; `zone` gives the name of the workspace's own time zone."""

    def __init__(self, catalogue: Catalogue, zone: Callable[[], str], *, clock: Clock) -> None:
        self._catalogue = catalogue
        self._zone = zone
        self._clock = clock

    def entries(self) -> list[Entry]:
        """Every schedule by name, also of agents that cannot be run."""
        zone, projects = self._zone(), self._catalogue.repositories()
        return [
            Entry(spec, spec.schedule, ScheduleKey(name, project), timetable_of(spec.schedule, zone))
            for name, spec in sorted(self._catalogue.agents().items())
            if spec.schedule is not None
            for project in projects_of(spec.schedule, projects)
        ]

    def find(self, name: str) -> Named:
        """What `agent` or `agent@project` means. Raises NotFound with what there is."""
        agent, _, project = name.partition("@")
        spec = self._catalogue.find(agent)
        if spec.schedule is None and spec.faults:
            said = f"The manifest of “{spec.name}” ({spec.source}) has faults: {' '.join(spec.faults)}"
            raise Invalid("agent_invalid", said)
        if spec.schedule is None:
            raise NotFound(
                "no_schedule",
                f"Agent “{spec.name}” has no schedule.",
                remedy=f'A line like `schedule = "0 6 * * *"` in its manifest ({spec.source}) gives it one.',
            )
        key = ScheduleKey(spec.name, project)
        found = [entry for entry in self.entries() if entry.key.agent == spec.name]
        chosen = [entry for entry in found if project in ("", entry.key.project)]
        if project and not chosen:
            there = ", ".join(entry.key.name for entry in found) or "none"
            raise NotFound("no_schedule", f"There is no schedule “{key.name}”. Those of {spec.name}: {there}.")
        return Named(key, chosen)

    def may_lack(self, agent: str) -> bool:
        """Whether that schedules of an agent are not seen now may be because a file cannot be read."""
        spec = self._catalogue.agents().get(agent)
        return bool(self._catalogue.project_faults()) or (spec is not None and bool(spec.faults))

    def next_runs(self, rows: Rows) -> Mapping[str, datetime]:
        """By agent, when the first of its schedules that do not rest is due."""
        now = self._clock.now()
        found: dict[str, datetime] = {}
        for entry in self.entries():
            due = None if entry.pause(rows).by else next_due(entry.standing(rows, now=now))
            if due is not None and entry.spec.script:
                found[entry.key.agent] = min(due, found.get(entry.key.agent, due))
        return found
