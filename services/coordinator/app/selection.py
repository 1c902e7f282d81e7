"""Which tasks a bulk verb means: ids or a filter, walked in pages."""

from collections.abc import Sequence
from dataclasses import dataclass

from foundation.errors import FieldFault, Invalid, NotFound
from services.coordinator.domain.task import Task
from services.coordinator.ports import StoreTransaction, TaskFilter

IDS_MAX = 10_000
PAGE = 500
SHOWN_MAX = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Ids or a filter, never both; `wanted` None: ids."""

    ids: tuple[str, ...] = ()
    wanted: TaskFilter | None = None

    def check(self) -> None:
        """Raises Invalid unless it says exactly one thing."""
        if bool(self.ids) == (self.wanted is not None):
            said = "Name the tasks by ids or by a filter, and not by both."
            raise Invalid("bad_selection", said, fields=(FieldFault("ids", said),))
        if len(self.ids) > IDS_MAX:
            said = f"A call names at most {IDS_MAX} ids, not {len(self.ids)}; use a filter."
            raise Invalid("too_many_ids", said, fields=(FieldFault("ids", said),))


def tasks_of_ids(tx: StoreTransaction, ids: Sequence[str]) -> list[Task]:
    """Each task once, in the order of the ids. Raises NotFound when one of them does not exist."""
    distinct = list(dict.fromkeys(ids))
    found = tx.tasks(distinct)
    missing = [task_id for task_id in distinct if task_id not in found]
    if missing:
        more = f" and {len(missing) - 1} others" if len(missing) > 1 else ""
        raise NotFound(
            "unknown_task",
            f"There is no task “{missing[0][:80]}”{more}; nothing was changed.",
            remedy="`quantum tasks` lists those that are kept.",
        )
    return [found[task_id] for task_id in distinct]
