"""Tells the error budgets of projects what checks found, until safety has answered."""

from dataclasses import replace

from foundation.errors import Exhausted, Invalid, TimedOut, Unavailable
from foundation.log import get_logger
from services.coordinator.domain.merge_check import MergeCheck, Verdict
from services.coordinator.ports import Store, StoreTransaction
from services.coordinator.ports_merges import MergeSafety

BATCH = 100
_log = get_logger("coordinator")


class TellMerges:
    """Oldest first; safety counts each check once, however often it is told."""

    def __init__(self, store: Store, safety: MergeSafety) -> None:
        self._store = store
        self._safety = safety
        self._away = False

    async def step(self) -> None:
        """Tell everything that waits; while safety cannot be asked, or cannot write, it waits on."""
        while checks := await self._store.read(lambda tx: tx.untold_checks(limit=BATCH)):
            for check in checks:
                if not await self._tell(check):
                    return

    async def _tell(self, check: MergeCheck) -> bool:
        try:
            await self._safety.record(check.project, check.id, bad=check.verdict is Verdict.BAD)
        except (Unavailable, TimedOut, Exhausted) as error:
            if not self._away:
                _log.warning(f"Merge checks are told to the budgets later: {error.message}", action="merges_wait")
            self._away = True
            return False
        except Invalid as error:
            _log.error(f"Merge check {check.id} counts in no budget: {error.message}", action="merge_not_counted")
        self._away = False
        await self._store.write(lambda tx: _told(tx, check.id))
        return True


def _told(tx: StoreTransaction, check_id: str) -> None:
    check = tx.check(check_id)
    if check is not None:
        tx.save_check(replace(check, told=True))
