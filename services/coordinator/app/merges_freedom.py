"""Whether merges into a repository are free, and a person's word that the next one is."""

from dataclasses import dataclass
from datetime import datetime

from foundation.clock import Clock
from foundation.errors import Conflict, FieldFault, Invalid, NotFound, QuantumError, did_you_mean
from foundation.repositories import GuardedRepository
from services.coordinator.app import merges_facts as facts
from services.coordinator.app.acts import acting
from services.coordinator.app.merges_alerts import tell_of_thaw
from services.coordinator.app.to_the_end import undisturbed
from services.coordinator.domain.merge_check import APPROVED_FOR
from services.coordinator.domain.merge_freedom import Freedom, Freeness, freedom
from services.coordinator.ports import Store, StoreTransaction
from services.coordinator.ports_merges import MergeSafety, Repositories


@dataclass(frozen=True, slots=True)
class SafetySays:
    """What is asked outside of the transaction that decides."""

    mode: str
    budgets: Freedom


async def require_guarded(repositories: Repositories, repository_id: str) -> GuardedRepository:
    """The repository of an id. Raises NotFound, code `unknown_repository`."""
    known = await repositories.guarded()
    found = known.get(repository_id)
    if found is None:
        near = did_you_mean(repository_id, known)
        raise NotFound(
            "unknown_repository",
            f"There is no guarded repository “{repository_id[:80]}”.",
            remedy=f"Did you mean {near}?" if near else "`quantum hooks install` guards one.",
        )
    return found


class MergeFreedom:
    """The strictest of what safety says and of the freeze after rollbacks."""

    def __init__(self, store: Store, repositories: Repositories, safety: MergeSafety, *, clock: Clock) -> None:
        self._store = store
        self._repositories = repositories
        self._safety = safety
        self._clock = clock

    async def __call__(self, repository_id: str) -> Freedom:
        """What holds for a merge now. Raises NotFound, Unavailable where safety cannot be asked."""
        repository = await require_guarded(self._repositories, repository_id)
        said = await self.ask(repository)
        return await self._store.read(lambda tx: self.judge(tx, repository.id, said))

    async def ask(self, repository: GuardedRepository) -> SafetySays:
        """Safety's part. Raises Unavailable."""
        return SafetySays(await self._safety.mode(), await self._safety.budgets(repository.project))

    def judge(self, tx: StoreTransaction, repository: str, said: SafetySays) -> Freedom:
        """All of it, by what the store has."""
        now = self._clock.now()
        return freedom(
            said.budgets,
            facts.freeze(tx, repository, now),
            said.mode,
            approved_until=facts.approved_until(tx, repository),
            repository=repository,
            now=now,
        )

    def admit(self, tx: StoreTransaction, repository: str, said: SafetySays) -> None:
        """Let a merge in that a person asks for, using the approval up. Raises Conflict where merges are not free."""
        held = self.judge(tx, repository, said)
        if held.freeness is not Freeness.FREE:
            code = "merge_needs_approval" if held.freeness is Freeness.APPROVAL else "merges_frozen"
            raise Conflict(code, f"Nothing is merged into {repository}: {held.reason}", remedy=held.remedy)
        if facts.approved_until(tx, repository) is not None:
            facts.use_approval(tx, repository)

    async def reason(self, repository_id: str) -> str:
        """What merges are held by, for people; "" also where nobody can tell just now."""
        try:
            return (await self(repository_id)).reason
        except QuantumError:
            return ""


class ApproveMerge:
    """Good for the next merge alone, for an hour; written to the audit log."""

    def __init__(self, store: Store, repositories: Repositories, *, clock: Clock) -> None:
        self._store = store
        self._repositories = repositories
        self._clock = clock

    async def __call__(self, repository_id: str, reason: str) -> datetime:
        """Until when it is good. Raises NotFound, and Invalid without a reason."""
        if not reason.strip():
            fault = FieldFault("reason", "is missing")
            raise Invalid("no_reason", "An approval needs a reason; it is kept.", fields=(fault,))
        repository = (await require_guarded(self._repositories, repository_id)).id
        by, now = acting(), self._clock.now()
        until = now + APPROVED_FOR

        def write(tx: StoreTransaction) -> None:
            held = facts.freeze(tx, repository, now)
            facts.approve(tx, repository, until, now)
            act = by.act("merge_approve", f"repository:{repository}", now=now, before=held, reason=reason)
            tx.note_act(act)
            tell_of_thaw(tx, repository, now=now)

        await undisturbed(self._store.write(write))
        return until
