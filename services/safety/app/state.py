"""Safety's state in memory, and the one way to change it: prepare a draft, make it durable, adopt it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TypeVar

from foundation.clock import Clock
from foundation.errors import Stale, Unavailable
from services.safety.app.draft import Draft, Owed
from services.safety.app.ladder import guard
from services.safety.app.trail import OWN_NAME, AuditTrail
from services.safety.domain.admission import Memory
from services.safety.domain.alert import AlertBook, Group, outlived
from services.safety.domain.alert_causes import note_audit_fault, note_breaker, note_budget, note_mode
from services.safety.domain.attempt import AttemptKey
from services.safety.domain.audit import AUDIT_BROKEN, Actor, AuditRecord
from services.safety.domain.book import Book
from services.safety.domain.breaker import Breaker
from services.safety.domain.budget import DEFAULT_BUDGET_RULES, BudgetRules, Grade
from services.safety.domain.budget_book import BudgetBook, BudgetRecords, Budgets
from services.safety.domain.mode import ModeStatus, effective
from services.safety.domain.roster import Place, Roster, forgotten
from services.safety.domain.spend_book import SpendBook
from services.safety.domain.spend_ledger import Ledger
from services.safety.domain.token import TokenRecord
from services.safety.ports import (
    OUTCOMES_KEPT_MAX,
    TOLD_KEPT_MAX,
    Changes,
    CheckpointFile,
    SafetyStore,
    Snapshot,
    StopSignal,
)

T = TypeVar("T")
K = TypeVar("K")

ADMISSIONS_KEPT_MAX = 100_000
_TRIES = 5
_STEP_MIN = timedelta(seconds=1)
"""A wall clock that is ahead of or behind the clock that counts sleep by more than this was set by somebody."""


class SafetyState:
    """Everything safety knows, loaded once and kept in step with its store.

    What must survive kill -9 is durable before anybody is told: each failure that a breaker counts, each success that
    ends a streak, every change of state, permit, mode, budget in force and token. A success that changes nothing but
    the window of the last 20 and a budget's count may be lost for up to a second of successes; the streak of failures,
    by which a breaker opens at exactly the third, is the same with and without it. A commit writes everything that is
    owed, so that the store is always the true state at some moment, and outcomes that are told again count once.
    """

    def __init__(
        self,
        store: SafetyStore,
        snapshot: Snapshot,
        stop_signal: StopSignal,
        clock: Clock,
        trail: AuditTrail,
        budget_rules: BudgetRules,
    ) -> None:
        self._store = store
        self.trail = trail
        self._stop_signal = stop_signal
        self.clock = clock
        self._lock = asyncio.Lock()
        self._admitted: dict[AttemptKey, int] = {}
        self._owed = Owed()
        self._running: set[asyncio.Task[object]] = set()
        self._revision = snapshot.revision
        self.epoch = snapshot.epoch
        self.revocation = snapshot.revocation
        self.mode_record = snapshot.mode
        self.breakers: dict[str, Breaker] = {}
        self.roster: dict[Place, datetime] = {}
        self._last_look = clock.now(), clock.boottime()
        self.tokens: dict[str, TokenRecord] = {}
        self.spend = SpendBook(snapshot.spend)
        self.budgets = Budgets()
        self._budget_rules = budget_rules
        self._taken_in: dict[AttemptKey, None] = {}
        self.alerts: dict[str, Group] = {}
        self.told: dict[str, None] = {}
        """Acts of other services that were recorded lately, so that one that is told again is recorded once."""
        self._take(snapshot)
        self._seen_stop_file = self.mode.stop_file

    @classmethod
    async def load(
        cls,
        store: SafetyStore,
        stop_signal: StopSignal,
        clock: Clock,
        *,
        audit_key: bytes,
        checkpoint: CheckpointFile,
        budget_rules: BudgetRules = DEFAULT_BUDGET_RULES,
    ) -> SafetyState:
        """Load the state and raise the epoch, so that nobody relies on an answer from before the start.

        The audit log's end is compared with its checkpoint; a fault is recorded, and found by every later check. It is
        how a database shows that was put back from a copy, so the mode is GUARDED then until a person has looked.
        """
        snapshot = await store.load()
        trail = AuditTrail(audit_key, checkpoint, snapshot.audit_head)
        fault = await trail.check_end(store)
        state = cls(store, snapshot, stop_signal, clock, trail, budget_rules)

        def start_anew(draft: Draft) -> None:
            draft.book.epoch += 1
            draft.must_be_durable = True
            if fault is not None:
                draft.audit(act=AUDIT_BROKEN, target=str(fault.number), reason=fault.sentence, tightens=True)
                note_audit_fault(draft.alerts, fault.sentence, draft.now)
                guard(draft, f"this database may be an older one, put back: {fault.sentence}")
            if draft.mode.stop_file:
                _tell_stop_file(draft)

        await state.change(start_anew)
        return state

    @property
    def mode(self) -> ModeStatus:
        """The mode that holds now; looks for the STOP file."""
        return effective(self.mode_record, self._stop_signal.read())

    def note_use(self, token: TokenRecord) -> None:
        """Keep a token's new last use; written with the next commit."""
        self.tokens[token.id] = token
        self._owed.token_ids.add(token.id)

    def fill_up_budgets(self, records: BudgetRecords) -> None:
        """Count what other records of the same budgets have counted beyond these; written with the next commit."""
        self._owed.budgets.minutes |= self.budgets.fill_up(records)

    async def change(self, work: Callable[[Draft], T]) -> T:
        """Run `work` on a draft, alone; return its result once what it changed is as durable as it must be.

        When another writer was first, the state is loaded again and `work` runs again. Raises Unavailable when that
        happens too often. A caller that gives up does not stop it: half of a commit would leave memory behind the
        store.
        """
        task = asyncio.create_task(self._change_alone(work))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return await asyncio.shield(task)

    async def _change_alone(self, work: Callable[[Draft], T]) -> T:
        async with self._lock:
            for _ in range(_TRIES):
                draft = self._draft()
                result = work(draft)
                self._note_alerts(draft)
                if not draft.needs_a_commit:
                    self._owed.add(self._adopt(draft))
                    return result
                if await self._commit(draft):
                    return result
                self._take(await self._store.load())
        raise Unavailable("safety_contended", "Safety's state was changed by others again and again.")

    async def flush(self) -> None:
        """Write what is owed; nothing happens when nothing is."""
        if self._owed or self.trail.behind:
            await self.change(_force)

    def _draft(self) -> Draft:
        mode = self.mode
        now = self.clock.now()
        boottime = self.clock.boottime()
        book = Book(self.breakers, self.epoch, Roster(self.roster))
        book.follow_clock(self._step_of_clock(now, boottime))
        draft = Draft(
            now=now,
            boottime=boottime,
            book=book,
            alerts=AlertBook(self.alerts),
            ledger=Ledger(self.spend),
            budgets=BudgetBook(self.budgets, self._budget_rules, now),
            mode=mode,
            mode_record=self.mode_record,
            revocation=self.revocation,
        )
        if mode.stop_file != self._seen_stop_file:
            book.epoch += 1
            draft.must_be_durable = True
            _tell_stop_file(draft)
        return draft

    def _step_of_clock(self, now: datetime, boottime: float) -> timedelta:
        """By how much the wall clock was set since the last change that was adopted; what it drifts is nothing."""
        last_now, last_boottime = self._last_look
        step = now - last_now - timedelta(seconds=boottime - last_boottime)
        return step if abs(step) >= _STEP_MIN else timedelta(0)

    def _note_alerts(self, draft: Draft) -> None:
        for change in draft.book.history:
            note_breaker(draft.alerts, change, draft.now)
        for scope, standing in draft.budgets.changed.items():
            known = self.budgets.standings.get(scope)
            note_budget(draft.alerts, known.grade if known else Grade.NORMAL, standing, draft.now)
        if draft.mode_record is not self.mode_record:
            after = draft.mode_record
            note_mode(draft.alerts, self.mode_record, after, by_itself=after.actor == OWN_NAME, now=draft.now)

    def budget_book(self) -> BudgetBook:
        """The budgets as of now, to look at; what is changed in it is lost."""
        return BudgetBook(self.budgets, self._budget_rules, self.clock.now())

    @property
    def memory(self) -> Memory:
        """What earlier calls left behind."""
        return Memory(taken_in=self._taken_in, admitted=self._admitted)

    async def _commit(self, draft: Draft) -> bool:
        """Write the draft and what is owed, then adopt it; False when another writer was first."""
        owed, self._owed = self._owed, Owed()
        records = self.trail.records((*owed.entries, *draft.entries))
        changes = self._changes(draft, owed, records)
        try:
            await self.trail.stage(records, required=draft.refusable)
            revision = await self._store.commit(changes)
        except Stale:
            self._owed.entries += owed.entries
            return False
        except BaseException as error:
            self._owed.add(owed)
            if draft.refusable or not records or not isinstance(error, Exception):
                raise
            return await self._commit_unaudited(draft, replace(changes, audit=()), error)
        self._adopt(draft)
        self._revision = revision
        await self.trail.publish(records)
        return True

    async def _commit_unaudited(self, draft: Draft, changes: Changes, why: Exception) -> bool:
        """Write what does not need the audit log without it: the entries stay owed. A tightening holds in any case."""
        self.trail.note_failure(why)
        owed, self._owed = self._owed, Owed(entries=list(self._owed.entries))
        try:
            revision = await self._store.commit(changes)
        except Stale:
            return False
        except Exception:
            self._owed = owed
            if not draft.entries or draft.ledger.changed:
                raise  # no promise of money without its record
            self._owed.add(self._adopt(draft))
            return True
        self._owed.entries += self._adopt(draft).entries
        self._revision = revision
        return True

    def _changes(self, draft: Draft, owed: Owed, records: tuple[AuditRecord, ...]) -> Changes:
        breakers = {scope: self.breakers[scope] for scope in owed.scopes} | draft.book.changed
        tokens = {token_id: self.tokens[token_id] for token_id in owed.token_ids} | draft.tokens
        return Changes(
            revision=self._revision,
            epoch=draft.book.epoch,
            revocation=draft.revocation,
            mode=draft.mode_record if owed.mode or draft.mode_record is not self.mode_record else None,
            breakers=tuple(breakers.values()),
            roster={place: self.roster[place] for place in owed.places if place in self.roster}
            | draft.book.roster.changed,
            tokens=tuple(tokens.values()),
            taken_in=(*owed.taken_in, *draft.decided.taken_in),
            history=tuple(draft.book.history),
            audit=records,
            spend=draft.ledger.changes(),
            alerts=tuple(({cause: self.alerts[cause] for cause in owed.alerts} | draft.alerts.changed).values()),
            alerts_forgotten=tuple(outlived(self.alerts | draft.alerts.changed, draft.now)),
            budgets=draft.budgets.records(owed.budgets),
        )

    def _adopt(self, draft: Draft) -> Owed:
        """Make the draft the state; returns what of it is owed to the store unless it was written."""
        self._last_look = draft.now, draft.boottime
        self.epoch = draft.book.epoch
        self.revocation = draft.revocation
        mode_moved = draft.mode_record is not self.mode_record
        self.mode_record = draft.mode_record
        self._seen_stop_file = draft.mode.stop_file
        self.breakers.update(draft.book.changed)
        self._adopt_roster(draft)
        self.tokens.update(draft.tokens)
        self.told.update(dict.fromkeys(entry.told for entry in draft.entries if entry.told))
        self.spend.adopt(draft.ledger.changes())
        self._adopt_alerts(draft)
        decided = draft.decided
        self._taken_in.update(decided.taken_in)
        for attempt in decided.taken_in:
            self._admitted.pop(attempt, None)
        self._admitted.update(decided.admitted)
        _trim(self._taken_in, OUTCOMES_KEPT_MAX)
        _trim(self._admitted, ADMISSIONS_KEPT_MAX)
        _trim(self.told, TOLD_KEPT_MAX)
        return Owed(
            scopes=set(draft.book.changed),
            places=set(draft.book.roster.changed),
            token_ids=set(draft.tokens),
            taken_in=list(decided.taken_in),
            mode=mode_moved,
            entries=list(draft.entries),
            budgets=draft.budgets.adopt(),
            alerts=draft.alerts.changed.keys() & self.alerts.keys(),
        )

    def _adopt_roster(self, draft: Draft) -> None:
        changed = draft.book.roster.changed
        if changed:
            self.roster.update(changed)
            for place in forgotten(self.roster, draft.now):
                del self.roster[place]

    def _adopt_alerts(self, draft: Draft) -> None:
        if draft.alerts.changed:
            self.alerts.update(draft.alerts.changed)
            for cause in outlived(self.alerts, draft.now):
                del self.alerts[cause]

    def _take(self, snapshot: Snapshot) -> None:
        now = self.clock.now()
        self.trail.follow(snapshot.audit_head)
        self._revision = snapshot.revision
        self.epoch = snapshot.epoch
        self.revocation = snapshot.revocation
        self.mode_record = snapshot.mode
        self.breakers = {scope: breaker.loaded(now) for scope, breaker in snapshot.breakers.items()}
        # Written with the next commit, or a service that is killed again and again would never see a wait end.
        self._owed.scopes |= {scope for scope, breaker in self.breakers.items() if breaker != snapshot.breakers[scope]}
        self.roster = dict(snapshot.roster)
        self.tokens = dict(snapshot.tokens)
        self.spend = SpendBook(snapshot.spend)
        self.alerts = dict(snapshot.alerts)
        self._taken_in = dict.fromkeys(snapshot.taken_in)
        self.told = dict.fromkeys(snapshot.told)
        self.budgets = Budgets.of(snapshot.budgets)


def _tell_stop_file(draft: Draft) -> None:
    mode = draft.mode
    if mode.stop_file:
        by = Actor(name=mode.actor or "unknown", source="the STOP file")
        draft.audit(act="stop_file_seen", target="mode", after="STOPPED", reason=mode.reason, by=by, tightens=True)
    else:
        draft.audit(act="stop_file_gone", target="mode", before="STOPPED", after=mode.mode.name, tightens=True)


def _force(draft: Draft) -> None:
    draft.must_be_durable = True


def _trim(memory: dict[K, T], size_max: int) -> None:
    """Forget the oldest beyond `size_max`; a dict keeps the order in which its keys came."""
    while len(memory) > size_max:
        del memory[next(iter(memory))]
