"""Merge checks as people see them: one, or a page of them; leaving one, and having brought back what one took away."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from foundation.clock import Clock
from foundation.errors import Conflict, Invalid, NotFound
from foundation.ids import is_id
from services.coordinator.app.acts import acting
from services.coordinator.app.to_the_end import undisturbed
from services.coordinator.domain.merge_check import Action, MergeCheck, Stage, stage_of
from services.coordinator.ports import Store, StoreTransaction

PAGE_DEFAULT = 100
PAGE_MAX = 1_000
LEFT = "Somebody who waited for it has left, so that it only reports."


class Shown(NamedTuple):
    """A check as it stands; `progress`: what is being done, as a sentence, while it has not ended."""

    check: MergeCheck
    stage: Stage
    progress: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckPage:
    """Newest first, without evidence. `next_token` is empty on the last one."""

    checks: Sequence[Shown]
    next_token: str


def require_check(tx: StoreTransaction, check_id: str) -> MergeCheck:
    """Raises NotFound, code `unknown_check`."""
    check = tx.check(check_id) if is_id(check_id) else None
    if check is None:
        raise NotFound(
            "unknown_check",
            f"There is no merge check “{check_id[:80]}”.",
            remedy="`quantum merge list` shows those that are kept.",
        )
    return check


def shown(tx: StoreTransaction, check: MergeCheck) -> Shown:
    """A check with how far it is."""
    return Shown(check, stage_of(check, None if check.ended else tx.task(check.task_id)))


class Merges:
    """What needs nothing but the store."""

    def __init__(self, store: Store, *, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def get(self, check_id: str) -> Shown:
        """One check. Raises NotFound."""
        return await self._store.read(lambda tx: shown(tx, require_check(tx, check_id)))

    async def list(self, *, repository: str, project: str, size: int, token: str) -> CheckPage:
        """One page, 1 to 1,000 checks, 0 for 100. Raises Invalid for a size or a token that cannot be."""
        if not 0 <= size <= PAGE_MAX:
            raise Invalid("bad_page_size", f"A page holds 1 to {PAGE_MAX} checks, not {size}.")
        if token and not is_id(token):
            raise Invalid("bad_page_token", "This page token was not given out here.", remedy="Begin with no token.")
        limit = size or PAGE_DEFAULT

        def read(tx: StoreTransaction) -> list[Shown]:
            # One more than asked for says whether there is another page.
            found = tx.checks_page(repository=repository, project=project, before_id=token, limit=limit + 1)
            return [shown(tx, check) for check in found]

        found = await self._store.read(read)
        next_token = found[limit - 1].check.id if len(found) > limit else ""
        return CheckPage(checks=found[:limit], next_token=next_token)

    async def leave(self, check_id: str) -> Shown:
        """From now on it reports, and changes nothing in the repository; one that has ended stays as it is.

        So it does for all who wait for it: whoever has left works on in the work tree whose branch would be moved.
        """

        def write(tx: StoreTransaction) -> Shown:
            check = require_check(tx, check_id)
            if not check.ended and not check.only_report:
                check = replace(check, only_report=LEFT)
                tx.save_check(check)
            return shown(tx, check)

        return await self._store.write(write)

    async def undone(self, check_id: str) -> Shown:
        """A person has brought back what it took away. Raises NotFound, Conflict where it took nothing away."""
        by, now = acting(), self._clock.now()

        def write(tx: StoreTransaction) -> Shown:
            check = require_check(tx, check_id)
            if check.action is not Action.ROLLED_BACK:
                raise Conflict(
                    "nothing_undone",
                    f"Merge check {check.id} has taken nothing away that could be brought back.",
                    remedy=f"`quantum merge show {check.id}` says what it did.",
                )
            if check.undone_at is None:
                check = replace(check, undone_at=now)
                tx.save_check(check)
                target = f"repository:{check.repository}"
                tx.note_act(by.act("merge_undo", target, now=now, before=check.old, after=check.new))
            return shown(tx, check)

        return await undisturbed(self._store.write(write))
