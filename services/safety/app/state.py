"""Safety's state in memory, and the one way to change it: prepare a draft, make it durable, adopt it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeVar

from foundation.clock import Clock
from foundation.errors import Stale, Unavailable
from services.safety.domain.admission import Decided, Memory
from services.safety.domain.attempt import AttemptKey
from services.safety.domain.book import Book
from services.safety.domain.breaker import Breaker
from services.safety.domain.mode import ModeRecord, ModeStatus, effective
from services.safety.domain.token import TokenRecord
from services.safety.ports import OUTCOMES_KEPT_MAX, Changes, SafetyStore, Snapshot, StopSignal

T = TypeVar("T")

ADMISSIONS_KEPT_MAX = 100_000
_TRIES = 5


@dataclass(slots=True, kw_only=True)
class Draft:
    """One change in preparation. What is set here is adopted once it is durable, or never.

    `must_be_durable` is set by whoever changes something that a crash must not undo; the rest is written with the next
    commit, at the latest a second later.
    """

    now: datetime
    book: Book
    mode: ModeStatus
    mode_record: ModeRecord
    tokens: dict[str, TokenRecord] = field(default_factory=dict)
    revocation: int
    decided: Decided = field(default_factory=Decided)
    must_be_durable: bool = False


@dataclass(slots=True)
class _Owed:
    """What memory holds newer than the store. Names only: what is written is what memory holds then."""

    scopes: set[str] = field(default_factory=set)
    token_ids: set[str] = field(default_factory=set)
    taken_in: list[AttemptKey] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.scopes or self.token_ids or self.taken_in)

    def add(self, other: _Owed) -> None:
        self.scopes |= other.scopes
        self.token_ids |= other.token_ids
        self.taken_in[:0] = other.taken_in


class SafetyState:
    """Everything safety knows, loaded once and kept in step with its store.

    What must survive kill -9 is durable before anybody is told: each failure that a breaker counts, each success that
    ends a streak, every change of state, permit, mode and token. A success that changes nothing but the window of the
    last 20 may be lost for up to a second of successes; the streak of failures, by which a breaker opens at exactly
    the third, is the same with and without it. A commit writes everything that is owed, so that the store is always
    the true state at some moment, and outcomes that are told again count once.
    """

    def __init__(self, store: SafetyStore, snapshot: Snapshot, stop_signal: StopSignal, clock: Clock) -> None:
        self._store = store
        self._stop_signal = stop_signal
        self.clock = clock
        self._lock = asyncio.Lock()
        self._admitted: dict[AttemptKey, int] = {}
        self._owed = _Owed()
        self._running: set[asyncio.Task[object]] = set()
        self._revision = snapshot.revision
        self.epoch = snapshot.epoch
        self.revocation = snapshot.revocation
        self.mode_record = snapshot.mode
        self.breakers: dict[str, Breaker] = {}
        self.tokens: dict[str, TokenRecord] = {}
        self._taken_in: dict[AttemptKey, None] = {}
        self._take(snapshot)
        self._seen_stop_file = self.mode.stop_file

    @classmethod
    async def load(cls, store: SafetyStore, stop_signal: StopSignal, clock: Clock) -> SafetyState:
        """Load the state and raise the epoch, so that nobody relies on an answer from before the start."""
        state = cls(store, await store.load(), stop_signal, clock)

        def start_anew(draft: Draft) -> None:
            draft.book.epoch += 1
            draft.must_be_durable = True

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
                if not (draft.must_be_durable or draft.book.must_be_durable):
                    self._owed.add(self._adopt(draft))
                    return result
                if await self._commit(draft):
                    return result
                self._take(await self._store.load())
        raise Unavailable("safety_contended", "Safety's state was changed by others again and again.")

    async def flush(self) -> None:
        """Write what is owed; nothing happens when nothing is."""
        if self._owed:
            await self.change(_force)

    def _draft(self) -> Draft:
        mode = self.mode
        book = Book(self.breakers, self.epoch)
        draft = Draft(
            now=self.clock.now(),
            book=book,
            mode=mode,
            mode_record=self.mode_record,
            revocation=self.revocation,
        )
        if mode.stop_file != self._seen_stop_file:
            book.epoch += 1
            draft.must_be_durable = True
        return draft

    @property
    def memory(self) -> Memory:
        """What earlier calls left behind."""
        return Memory(taken_in=self._taken_in, admitted=self._admitted)

    async def _commit(self, draft: Draft) -> bool:
        """Write the draft and what is owed, then adopt it; False when another writer was first."""
        owed, self._owed = self._owed, _Owed()
        breakers = {scope: self.breakers[scope] for scope in owed.scopes} | draft.book.changed
        tokens = {token_id: self.tokens[token_id] for token_id in owed.token_ids} | draft.tokens
        changes = Changes(
            revision=self._revision,
            epoch=draft.book.epoch,
            revocation=draft.revocation,
            mode=draft.mode_record if draft.mode_record is not self.mode_record else None,
            breakers=tuple(breakers.values()),
            tokens=tuple(tokens.values()),
            taken_in=(*owed.taken_in, *draft.decided.taken_in),
            history=tuple(draft.book.history),
        )
        try:
            revision = await self._store.commit(changes)
        except Stale:
            return False
        except BaseException:
            self._owed.add(owed)
            raise
        self._adopt(draft)
        self._revision = revision
        return True

    def _adopt(self, draft: Draft) -> _Owed:
        """Make the draft the state; returns what of it is owed to the store unless it was written."""
        self.epoch = draft.book.epoch
        self.revocation = draft.revocation
        self.mode_record = draft.mode_record
        self._seen_stop_file = draft.mode.stop_file
        self.breakers.update(draft.book.changed)
        self.tokens.update(draft.tokens)
        decided = draft.decided
        self._taken_in.update(decided.taken_in)
        for attempt in decided.taken_in:
            self._admitted.pop(attempt, None)
        self._admitted.update(decided.admitted)
        _trim(self._taken_in, OUTCOMES_KEPT_MAX)
        _trim(self._admitted, ADMISSIONS_KEPT_MAX)
        return _Owed(set(draft.book.changed), set(draft.tokens), list(decided.taken_in))

    def _take(self, snapshot: Snapshot) -> None:
        now = self.clock.now()
        self._revision = snapshot.revision
        self.epoch = snapshot.epoch
        self.revocation = snapshot.revocation
        self.mode_record = snapshot.mode
        self.breakers = {scope: breaker.loaded(now) for scope, breaker in snapshot.breakers.items()}
        self.tokens = dict(snapshot.tokens)
        self._taken_in = dict.fromkeys(snapshot.taken_in)


def _force(draft: Draft) -> None:
    draft.must_be_durable = True


def _trim(memory: dict[AttemptKey, T], size_max: int) -> None:
    """Forget the oldest beyond `size_max`; a dict keeps the order in which its keys came."""
    while len(memory) > size_max:
        del memory[next(iter(memory))]
