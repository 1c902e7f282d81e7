"""Tasks in SQLite: one transaction's inserts, guarded moves and reads."""

import json
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import chain

import apsw

from foundation.errors import Conflict, Internal, Stale
from services.coordinator.adapters.queries import SQL, fetch
from services.coordinator.adapters.rows import (
    PARAMS_INLINE_MAX,
    Row,
    are_alike,
    changed_fields,
    inserted,
    inserted_alike,
    moment,
    move_of,
    read_task,
    stamp,
)
from services.coordinator.adapters.sqlite_limits import LimitSets
from services.coordinator.domain.task import FINISHED, Task, TaskState
from services.coordinator.ports import ReadyEntry, TaskFilter

_LAST_ID = "\U0010ffff"  # sorts behind every id


class SqliteTasks:
    """The tasks as one transaction sees them.

    The position of changes and the counts per agent and state are kept here while the transaction runs, and
    written once, by `finish`.
    """

    def __init__(self, connection: apsw.Connection) -> None:
        self._connection = connection
        self._execute = connection.execute
        self._executemany = connection.executemany
        self._place = LimitSets(connection).place
        self._position: int | None = None
        self._counted: Counter[tuple[str, str]] = Counter()

    def finish(self) -> None:
        """Write what was kept until now."""
        if self._position is not None:
            self._execute(SQL["set_position"], (self._position,))
            self._position = None
        if self._counted:
            changed = [(agent, state, by) for (agent, state), by in self._counted.items() if by]
            self._executemany(SQL["add_to_counts"], changed)
            self._counted.clear()

    # -- writes

    def insert(self, tasks: Sequence[Task]) -> None:
        first = self._advance(len(tasks))
        try:
            if are_alike(tasks):
                self._execute(SQL["insert_alike"], inserted_alike(tasks, first, self._place))
            else:
                rows = [inserted(task, change, self._place) for change, task in enumerate(tasks, first)]
                self._executemany(SQL["insert_task"], rows)
        except apsw.ConstraintError as error:
            raise self._refused(tasks, error) from error
        long = [(task.id, task.params) for task in tasks if len(task.params) > PARAMS_INLINE_MAX]
        if long:
            self._executemany(SQL["insert_long_params"], long)
        edges = [(parent, task.id) for task in tasks for parent in dict.fromkeys(task.depends_on)]
        if edges:
            self._executemany(SQL["insert_dependency"], edges)
        for task in tasks:
            self._counted[task.agent, task.state] += 1

    def save(self, pairs: Sequence[tuple[Task, Task]]) -> None:
        """Replace each (before, after) as the port says; what a task asks for never changes after its insert."""
        if pairs:
            first = self._advance(len(pairs))
            self._move(pairs, [(first + at,) for at in range(len(pairs))])

    def lease(self, pairs: Sequence[tuple[Task, Task]]) -> None:
        self._move(pairs, [()] * len(pairs))

    def _move(self, pairs: Sequence[tuple[Task, Task]], changes: Sequence[tuple[int, ...]]) -> None:
        """Write what differs. `changes` has the new position of each pair, or nothing for what nobody is to hear of."""
        if len({before.id for before, _ in pairs}) < len(pairs):
            raise Internal("saved_twice", "A task was to be saved twice at once; the first change would be lost.")
        rows: defaultdict[str, list[Row]] = defaultdict(list)
        for (before, after), change in zip(pairs, changes, strict=True):
            if before.ended:
                raise Stale("ended", f"Task {before.id} has ended ({before.state}) and never changes again.")
            move = move_of(changed_fields(before, after), heard=bool(change))
            if move is None:
                raise Internal("request_changed", f"What task {before.id} asks for cannot be changed.")
            rows[move.sql].append(move.row(before, after, self._place, *change))
            if before.state is not after.state:
                self._counted[before.agent, before.state] -= 1
                self._counted[after.agent, after.state] += 1
        for sql, values in rows.items():
            self._update(sql, values, pairs)

    def _update(self, sql: str, rows: Sequence[Row], pairs: Sequence[tuple[Task, Task]]) -> None:
        before = self._connection.total_changes()
        try:
            self._executemany(sql, rows)
        except apsw.ConstraintError as error:
            raise Internal("impossible_task", f"A task would become what no task can be: {error}.") from error
        if self._connection.total_changes() - before != len(rows):
            raise self._stale(pairs)

    def _stale(self, pairs: Sequence[tuple[Task, Task]]) -> Stale:
        """Name one of those that are not as `before` says. Some are as `after` says: those were written already."""
        now = self.tasks([before.id for before, _ in pairs])
        for before, after in pairs:
            found = now.get(before.id)
            if found is None:
                return Stale("stale_fence", f"Task {before.id} does not exist any more.")
            if (found.state, found.fence) not in ((before.state, before.fence), (after.state, after.fence)):
                return Stale("stale_fence", f"Task {before.id} is {found.state} under fence {found.fence} by now.")
        return Stale("stale_fence", "A task was changed meanwhile.")

    def _refused(self, tasks: Sequence[Task], error: apsw.ConstraintError) -> Conflict | Internal:
        if "tasks.id" not in str(error):
            return Internal("impossible_task", f"A task would be what no task can be: {error}.")
        return Conflict("task_exists", f"A task of these exists already: {', '.join(task.id for task in tasks[:5])}.")

    def _advance(self, by: int) -> int:
        """Take the next positions and return the first of them."""
        first = self.position() + 1
        self._position = first + by - 1
        return first

    # -- reads

    def task(self, task_id: str) -> Task | None:
        found = self._read("task", (task_id,))
        return found[0] if found else None

    def tasks(self, task_ids: Sequence[str]) -> Mapping[str, Task]:
        if not task_ids:
            return {}
        return {task.id: task for task in self._read("tasks", (json.dumps(list(task_ids)),))}

    def page(self, wanted: TaskFilter, *, before: tuple[datetime, str] | None, limit: int) -> Sequence[Task]:
        """Newest first as the port says: by id downwards, because ids ascend with the moment of creation."""
        start = _LAST_ID if before is None else before[1]
        return self._walk(wanted, start, limit, downwards=True)

    def matching(self, wanted: TaskFilter, *, after_id: str, limit: int) -> Sequence[Task]:
        return self._walk(wanted, after_id, limit, downwards=False)

    def _walk(self, wanted: TaskFilter, start: str, limit: int, *, downwards: bool) -> Sequence[Task]:
        direction = "downwards" if downwards else "upwards"
        if not (wanted.project or wanted.agent or wanted.states):
            return self._read(f"tasks_{direction}", (start, limit))
        if wanted.project:
            states = json.dumps(sorted(wanted.states or TaskState))
            values = (wanted.project, start, wanted.agent, states, limit)
            ids = self._ids(f"project_ids_{direction}", values)
        else:
            walks = (
                self._ids(f"{_kind(state)}_ids_{direction}", (agent, state, start, limit))
                for agent, state in self._pairs(wanted)
            )
            ids = sorted(chain.from_iterable(walks), reverse=downwards)[:limit]
        found = self.tasks(ids)
        return [found[id_] for id_ in ids]

    def _pairs(self, wanted: TaskFilter) -> list[tuple[str, TaskState]]:
        """The (agent, state) pairs that the filter means and that hold tasks; each is a walk along one index."""
        return [
            (agent, state)
            for agent, state in self.counts()
            if wanted.agent in ("", agent) and (not wanted.states or state in wanted.states)
        ]

    def _ids(self, name: str, values: Row) -> list[str]:
        return [id_ for (id_,) in fetch(self._connection, name, values)]

    def counts(self) -> Mapping[tuple[str, TaskState], int]:
        self.finish()
        found = fetch(self._connection, "counts")
        return {(agent, TaskState(state)): tasks for agent, state, tasks in found}

    def ready(self, agent: str, *, after: ReadyEntry | None, limit: int, labels: str = "") -> Sequence[ReadyEntry]:
        queue = (agent, labels) if labels else (agent,)
        if after is None:
            rows = fetch(self._connection, "ready_labelled" if labels else "ready", (*queue, limit))
        else:
            name = "ready_labelled_after" if labels else "ready_after"
            place = (after.rank, stamp(after.ready_at), after.id)
            rows = fetch(self._connection, name, (*queue, *place, limit))
        return [ReadyEntry(rank, moment(ready_at), id_) for rank, ready_at, id_ in rows]

    def ready_labels(self, agent: str, *, after: str, limit: int) -> Sequence[str]:
        found: list[str] = []
        # One look along the index for each: what it costs is the number of queues, not of tasks.
        while len(found) < limit and (rows := fetch(self._connection, "next_ready_labels", (agent, after))):
            after = rows[0][0]
            found.append(after)
        return found

    def due(self, now: datetime, *, limit: int) -> Sequence[Task]:
        return self._read("due", (stamp(now), limit))

    def next_due(self) -> datetime | None:
        earliest = self._execute(SQL["next_due"]).get
        return None if earliest is None else moment(earliest)

    def held(self, *, after_id: str, limit: int) -> Sequence[Task]:
        return self._read("held", (after_id, limit))

    def blocked_on(self, parent_ids: Sequence[str]) -> Sequence[Task]:
        return self._read("blocked_on", (json.dumps(list(parent_ids)),)) if parent_ids else ()

    def unmet_parents(self, task_id: str) -> Sequence[Task]:
        task = self.task(task_id)
        if task is None:
            return ()
        parents = self.tasks(task.depends_on)
        return [parent for parent in parents.values() if parent.state is not TaskState.SUCCEEDED]

    def position(self) -> int:
        if self._position is not None:
            return self._position
        return int(self._execute(SQL["position"]).get)

    def changes(self, *, after: int, limit: int) -> Sequence[Task]:
        return self._read("changes", (after, limit))

    def in_clearing(self, clearing: str, *, after_id: str, limit: int) -> Sequence[Task]:
        return self._read("in_clearing", (clearing, after_id, limit))

    def _read(self, name: str, values: Row) -> list[Task]:
        return [read_task(row) for row in fetch(self._connection, name, values)]


def _kind(state: TaskState) -> str:
    """Which of the two indexes of agents and states has the tasks of a state."""
    return "finished" if state in FINISHED else "open"
