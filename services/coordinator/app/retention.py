"""Lets go of ended tasks by age, number and size, so that the database stays bounded."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Self

from foundation.clock import Clock
from foundation.log import get_logger
from services.coordinator.ports import Store, StoreTransaction
from services.coordinator.settings import CoordinatorSettings

PAGE = 500
_log = get_logger("coordinator")


@dataclass(frozen=True, slots=True, kw_only=True)
class RetentionRules:
    """How long, how many and how much; the first bound that is passed counts."""

    ended: timedelta
    undecided: timedelta
    keys: timedelta
    rows_max: int
    bytes_max: int

    @classmethod
    def of(cls, settings: CoordinatorSettings) -> Self:
        """As the settings say."""
        return cls(
            ended=timedelta(days=settings.retention_days),
            undecided=timedelta(days=settings.undecided_days),
            keys=settings.keys_good_for,
            rows_max=settings.retention_rows,
            bytes_max=settings.retention_bytes,
        )


class Retention:
    """Deletes in pages, so that no writer waits long behind one."""

    def __init__(self, store: Store, rules: RetentionRules, *, clock: Clock) -> None:
        self._store = store
        self._rules = rules
        self._clock = clock

    async def prune(self) -> int:
        """Delete until every bound holds; return how many tasks were deleted."""
        total = 0
        while deleted := await self._store.write(self._page):
            total += deleted
        await self._store.write(self._checks)
        if total:
            _log.info(f"{total} ended tasks were past their retention and are deleted.", action="tasks_pruned")
        return total

    def _checks(self, tx: StoreTransaction) -> int:
        """As long as what a person may still have to decide about: what they took away can be brought back."""
        return tx.prune_checks(ended_before=self._clock.now() - self._rules.undecided, limit=PAGE)

    def _page(self, tx: StoreTransaction) -> int:
        now, rules = self._clock.now(), self._rules
        return tx.prune(
            ended_before=now - rules.ended,
            decided_before=now - rules.undecided,
            rows_max=rules.rows_max,
            bytes_max=rules.bytes_max,
            keys_before=now - rules.keys,
            limit=PAGE,
        )


def rules_of(settings: CoordinatorSettings) -> RetentionRules:
    """The rules, as the settings have them."""
    return RetentionRules(
        ended=timedelta(days=settings.retention_days),
        undecided=timedelta(days=settings.undecided_days),
        keys=settings.keys_good_for,
        rows_max=settings.retention_rows,
        bytes_max=settings.retention_bytes,
    )
