"""All that the coordinator does about merges, made together: what is asked of it, and what it does by itself."""

from collections.abc import Callable

from foundation.clock import Clock
from foundation.ids import Ids
from services.coordinator.app.attachments import Attachments
from services.coordinator.app.changes import Changes
from services.coordinator.app.explain import Explain
from services.coordinator.app.log import ReadLog
from services.coordinator.app.merges import Merges
from services.coordinator.app.merges_conclude import SweepChecks
from services.coordinator.app.merges_confirm import ConfirmCheck
from services.coordinator.app.merges_freedom import ApproveMerge, MergeFreedom
from services.coordinator.app.merges_reconcile import Reconcile
from services.coordinator.app.merges_start import StartCheck
from services.coordinator.app.merges_task import CheckTasks
from services.coordinator.app.merges_tell import TellMerges
from services.coordinator.app.merges_watch import WatchCheck
from services.coordinator.ports import Catalogue, Store
from services.coordinator.ports_merges import MergeSafety, Repositories


class MergeGuard:
    """`sweep`, `tell` and `reconcile` are steps of loops; all else is asked for.

    `disk_short`: what is, or "". Each runner looks by itself, too, and may find it short a little longer.
    """

    def __init__(
        self,
        store: Store,
        catalogue: Catalogue,
        changes: Changes,
        repositories: Repositories,
        safety: MergeSafety,
        explain: Explain,
        read_log: ReadLog,
        attachments: Attachments,
        *,
        disk_short: Callable[[], str] = lambda: "",
        ids: Ids,
        clock: Clock,
    ) -> None:
        self.merges = Merges(store, clock=clock)
        self.watch = WatchCheck(self.merges, changes, explain, read_log)
        self.confirm = ConfirmCheck(store, safety, clock=clock)
        self.freedom = MergeFreedom(store, repositories, safety, clock=clock)
        self.approve = ApproveMerge(store, repositories, clock=clock)
        tasks = CheckTasks(catalogue)
        freedom = self.freedom

        def short() -> str:
            return disk_short() or attachments.disk_short()

        self.start = StartCheck(store, repositories, safety, freedom, tasks, changes, short, ids=ids, clock=clock)
        self.sweep = SweepChecks(store, changes, short, clock=clock)
        self.tell = TellMerges(store, safety)
        self.reconcile = Reconcile(store, repositories, self.start, ids=ids, clock=clock)
