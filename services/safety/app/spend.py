"""The spend ledger's verbs: reserve, extend, settle, release; what people see of it and set; what time brings."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import TypeVar

from foundation import tokens as token_form
from foundation.auth import Caller
from foundation.errors import Exhausted, Invalid, Unauthenticated, Unavailable
from foundation.ids import random_bytes
from foundation.log import get_logger
from foundation.money import format_dollars
from services.safety.app.draft import Draft
from services.safety.app.spend_calls import cost_of, require_estimate, require_key, usage_of
from services.safety.app.spend_lives import RETRY_AFTER, Lives
from services.safety.app.state import SafetyState
from services.safety.domain.admission import Decision, mode_refusal
from services.safety.domain.attempt import AttemptKey, Candidate, Outcome
from services.safety.domain.spend_alerts import note_cap, note_charged, note_overrun, note_room
from services.safety.domain.spend_caps import Cap, Caps, cap_name
from services.safety.domain.spend_credential import SECRET_BYTES
from services.safety.domain.spend_gate import SpendGate, SpendRenewal, Tariff, sentence_of
from services.safety.domain.spend_ledger import CapReached, Ledger
from services.safety.domain.spend_prices import Price, Usage
from services.safety.domain.spend_records import Ask, Reservation, ReservationKey, SpendGrant
from services.safety.domain.spend_tidy import what_to_forget

T = TypeVar("T")
log = get_logger("safety.spend")

SPEND = "spend"
"""The one scope of an attempt's credential; no token can be issued with it."""


class Spend:
    """What attempts and people do with the ledger. `tariff` says what prices and caps are written down now."""

    def __init__(
        self, state: SafetyState, tariff: Callable[[], Tariff] = Tariff, grace: timedelta = timedelta(minutes=15)
    ) -> None:
        """`grace` is how long a reservation outlives its attempt, or an attempt that nobody renews any more."""
        self._state = state
        self._tariff = tariff
        self._grace = grace
        self._lives = Lives(state.clock)

    # -- admission and renewal

    def gate(self, draft: Draft) -> SpendGate:
        """Spend's part of an admission."""
        return SpendGate(draft.ledger, self._tariff, draft.mode, lambda: random_bytes(SECRET_BYTES))

    def renewal(self, draft: Draft, attempts: Iterable[AttemptKey]) -> SpendRenewal:
        """Spend's part of a renewal; lets go those whose call would fit by now."""
        if self._state.spend.live:
            self._lives.renew(attempt for attempt in attempts if attempt in self._state.spend.grants)
        renewal = SpendRenewal(draft.ledger, self._tariff, draft.now)
        if renewal.let_go:
            draft.book.epoch += 1  # what waits for the same room may ask again
        for account in renewal.let_go:
            note_room(draft.alerts, account, draft.now)
        return renewal

    def take_in(self, draft: Draft, outcomes: Sequence[Outcome]) -> None:
        """Attempts have ended, and with them their credentials."""
        for outcome in outcomes if self._state.spend.grants else ():
            draft.ledger.end(outcome.attempt, now=draft.now)

    def credentials(
        self, draft: Draft, candidates: Sequence[Candidate], decisions: Sequence[Decision]
    ) -> Sequence[str]:
        """The credential of each candidate that was admitted and may spend or is identified; () when there is none."""
        if not any(candidate.uses or candidate.identified for candidate in candidates):
            return ()
        pairs = zip(candidates, decisions, strict=True)
        return [draft.ledger.credential(one.attempt) if decision.admitted else "" for one, decision in pairs]

    def begin(self, candidates: Sequence[Candidate], credentials: Sequence[str]) -> None:
        """Those who have got a credential have their first term, now that it is durable."""
        if credentials:
            pairs = zip(candidates, credentials, strict=True)
            self._lives.renew(candidate.attempt for candidate, credential in pairs if credential)

    # -- credentials

    def verify(self, text: str) -> Caller | None:
        """The attempt behind a credential; None for a text that is another kind of token.

        Raises Unauthenticated once its attempt has ended, or another attempt of its task has begun.
        """
        grant = self._behind(text)
        if grant is None:
            return None
        name = f"attempt {grant.attempt.task}:{grant.attempt.fence}"
        return Caller(token_id=grant.token_id, name=name, scopes=frozenset({SPEND}))

    def identify(self, text: str) -> AttemptKey:
        """The attempt behind a credential. Raises Unauthenticated as `verify` does, and for any other text."""
        grant = self._behind(text)
        if grant is None:
            raise Unauthenticated("unknown_credential", "This is the credential of no attempt.")
        return grant.attempt

    def _behind(self, text: str) -> SpendGrant | None:
        parsed = token_form.parse(text)
        attempt = self._state.spend.by_token.get(parsed.id)
        grant = self._state.spend.grants.get(attempt) if attempt else None
        if grant is None or not token_form.matches(parsed, grant.digest):
            return None
        _require_live(grant)
        return grant

    # -- calls

    async def reserve(
        self, token_id: str, key: str, provider: str, model: str, *, input_tokens: int | None, output_tokens: int | None
    ) -> Reservation:
        """Promise money to one call before it is made; the same key with the same call gets the same answer.

        Tokens are the most that the call can use. Raises Exhausted, code `spend_cap`, where it does not fit (the
        attempt is paused then until it would); Unavailable in a mode without new spend, and for an attempt whose lease
        was not renewed; Invalid for an unknown price or an estimate without a bound; Conflict, Denied and
        Unauthenticated as the ledger says.
        """
        require_key(key)
        ask = Ask(provider, model, usage_of(input_tokens, output_tokens))

        def work(draft: Draft) -> Reservation | CapReached:
            grant = self._grant(draft, token_id)

            def price(at: datetime) -> Price:
                # Asked for a new promise alone: one that was given is given again, whatever has changed since.
                _require_new_spend(draft)
                self._lives.require_renewed(grant.attempt)
                found = self._usable_tariff().prices.of(provider, model, at.date())
                require_estimate(found, input_tokens, output_tokens)
                return found

            answer = draft.ledger.reserve(grant, key, ask, price, self._caps(draft.ledger), now=draft.now)
            return _noted(draft, answer)

        return self._promised(await self._state.change(work))

    async def extend(
        self, token_id: str, key: str, *, input_tokens: int | None, output_tokens: int | None
    ) -> Reservation:
        """Raise a reservation to a new total of tokens; raises like `reserve`, and NotFound."""
        require_key(key)
        usage = usage_of(input_tokens, output_tokens)

        def work(draft: Draft) -> Reservation | CapReached:
            grant = self._grant(draft, token_id)
            _require_new_spend(draft)
            self._lives.require_renewed(grant.attempt)
            self._usable_tariff()
            return _noted(draft, draft.ledger.extend(grant, key, usage, self._caps(draft.ledger), now=draft.now))

        return self._promised(await self._state.change(work))

    async def settle(self, token_id: str, key: str, actual: Usage | int) -> Reservation:
        """Book what a call has cost: the tokens that it used, or micro-dollars. Raises NotFound, Conflict, Invalid."""
        require_key(key)
        cost = cost_of(actual)

        def work(draft: Draft) -> Reservation:
            name = ReservationKey(self._grant(draft, token_id).attempt, key)
            return self._freeing(draft, name, lambda: draft.ledger.settle(name, cost, now=draft.now))

        return self._told(await self._state.change(work))

    async def release(self, token_id: str, key: str) -> Reservation:
        """Give a reservation back: the call was not made. Raises NotFound, Conflict."""
        require_key(key)

        def work(draft: Draft) -> Reservation:
            name = ReservationKey(self._grant(draft, token_id).attempt, key)
            return self._freeing(draft, name, lambda: draft.ledger.release(name, now=draft.now))

        return await self._state.change(work)

    async def correct(self, attempt: AttemptKey, key: str, micros: int, *, reason: str) -> Reservation:
        """Settle in place of an attempt that has ended, also what was charged in full. Raises NotFound, Conflict."""
        require_key(key)
        cost = cost_of(micros)

        def work(draft: Draft) -> Reservation:
            name = ReservationKey(attempt, key)
            found = draft.ledger.reservation(name)
            done = self._freeing(draft, name, lambda: draft.ledger.settle(name, cost, now=draft.now))
            if done != found:
                before = f"{found.stage}, {format_dollars(found.micros)}" if found else ""
                draft.audit(
                    act="spend_correct",
                    target=f"{attempt.task}:{attempt.fence} {key}",
                    before=before,
                    after=f"{done.stage}, {format_dollars(micros)}",
                    reason=reason,
                )
            return done

        return self._told(await self._state.change(work))

    # -- caps

    async def set_cap(
        self, scope: str, per: str, micros: int | None, *, clear: bool, actor: str, reason: str
    ) -> Cap | None:
        """Set a cap until it is set again or cleared (then the configuration holds again); None as `micros`: no cap.

        Returns the cap that holds then, None without one. An attempt is named by any task of its family.
        """
        if micros is not None and micros < 0:
            raise Invalid("bad_amount", "A cap is not less than nothing.")

        def work(draft: Draft) -> Cap | None:
            name = cap_name(_rooted(draft.ledger, scope), per)
            caps = self._caps(draft.ledger)
            before = caps.holding(name)
            was_set = draft.ledger.was_set(name)
            if clear and was_set is None:
                return before
            made = Cap(name=name, micros=micros, origin="set", actor=actor, reason=reason, at=draft.now)
            draft.ledger.set_cap(name, None if clear else made)
            after = caps.holding(name)
            draft.book.epoch += 1
            draft.audit(
                act="spend_cap_clear" if clear else "spend_cap_set",
                target=f"{name.scope} per {name.per}",
                before=_cap_in_words(before),
                after=_cap_in_words(after),
                reason=reason,
            )
            return after

        return await self._state.change(work)

    # -- time

    async def sweep(self) -> int:
        """Charge what nobody settled in time, forget what nobody needs; returns how many were charged."""
        due = [name for name in self._state.spend.held if self._is_due(name)]
        tidy = what_to_forget(self._state.spend, self._state.clock.now(), self._grace)
        self._lives.keep(self._state.spend.live_attempts)
        if not due and not tidy:
            return 0

        def work(draft: Draft) -> None:
            for name in due:
                if draft.ledger.reservation(name) is not None:
                    charged = self._freeing(draft, name, partial(draft.ledger.charge, name, now=draft.now))
                    note_charged(draft.alerts, charged, draft.now)
            draft.ledger.forget(tidy)

        await self._state.change(work)
        for name in due:
            log.warning(
                f"Nobody settled reservation {name.key} of task {name.attempt.task}: it was charged in full.",
                action="spend_charged",
                task=name.attempt.task,
                key=name.key,
            )
        return len(due)

    def _is_due(self, name: ReservationKey) -> bool:
        grant = self._state.spend.grants.get(name.attempt)
        if grant is None:
            return True
        if grant.ended_at is not None:
            # An end that lies ahead was booked by a clock that was wrong; nobody may wait until that day.
            return abs(self._state.clock.now() - grant.ended_at) >= self._grace
        return self._lives.unrenewed(name.attempt) >= self._grace

    # -- shared

    def caps(self) -> Caps:
        """The caps that hold now."""
        return self._caps(Ledger(self._state.spend))

    @property
    def tariff(self) -> Tariff:
        """The prices and caps that are written down now."""
        return self._tariff()

    def _caps(self, ledger: Ledger) -> Caps:
        return Caps(self._tariff().caps, ledger.was_set)

    def _usable_tariff(self) -> Tariff:
        tariff = self._tariff()
        if tariff.fault:
            raise Unavailable("bad_spend_file", f"N{tariff.fault[1:]}.", retry_after=RETRY_AFTER)
        return tariff

    def _grant(self, draft: Draft, token_id: str) -> SpendGrant:
        attempt = self._state.spend.by_token.get(token_id)
        grant = draft.ledger.may_spend(attempt) if attempt else None
        if grant is None:
            raise _credential_ended()
        return grant

    def _freeing(self, draft: Draft, name: ReservationKey, work: Callable[[], Reservation]) -> Reservation:
        """Do something that may make room on the accounts of a reservation; who waits for it may ask again then."""
        ledger, caps, now = draft.ledger, self._caps(draft.ledger), draft.now
        found = ledger.reservation(name)
        full = [one for one in found.accounts if ledger.full((one,), 1, caps, now)] if found else []
        done = work()
        if any(not ledger.full((account,), 1, caps, now) for account in full):
            draft.book.epoch += 1
        if done.overrun and done != found:
            note_overrun(draft.alerts, done, now)
        return done

    def _promised(self, answer: Reservation | CapReached) -> Reservation:
        if isinstance(answer, Reservation):
            return answer
        # Raised after the change: that the call was refused is what pauses the attempt, and is kept.
        sentence = sentence_of(answer)
        log.warning(f"A call was refused: {sentence}.", action="spend_cap_reached", scope=answer.account.subject)
        scope = f"{answer.account.subject} DOLLARS --per {answer.account.per}"
        raise Exhausted(
            "spend_cap",
            f"{sentence[:1].upper()}{sentence[1:]}.",
            remedy=f"The attempt is paused until there is room: quantum spend cap {scope}",
            retry_after=RETRY_AFTER,
        )

    def _told(self, done: Reservation) -> Reservation:
        if done.overrun:
            log.warning(
                f"Call {done.key.key} of task {done.key.attempt.task} cost {format_dollars(done.overrun)} more than was"
                " reserved for it.",
                action="spend_overrun",
                task=done.key.attempt.task,
                agent=done.agent,
            )
        return done


def _noted(draft: Draft, answer: Reservation | CapReached) -> Reservation | CapReached:
    """A refusal is an alert the first time; sent again, it is no news."""
    if isinstance(answer, CapReached) and draft.ledger.changed:
        note_cap(draft.alerts, answer, draft.now)
    return answer


def _require_live(grant: SpendGrant) -> None:
    if grant.ended_at is not None:
        raise _credential_ended()


def _credential_ended() -> Unauthenticated:
    return Unauthenticated(
        "credential_ended",
        "This credential has died with its attempt.",
        remedy="What is still to be settled: quantum spend settle.",
    )


def _require_new_spend(draft: Draft) -> None:
    if not draft.mode.lets_spend:
        said = mode_refusal(draft.mode).reason
        raise Unavailable(
            "no_new_spend",
            f"{said[:1].upper()}{said[1:]}: nothing new is spent.",
            remedy="`quantum resume` goes back to NORMAL.",
            retry_after=RETRY_AFTER,
        )


def _rooted(ledger: Ledger, scope: str) -> str:
    kind, _, task = scope.partition(":")
    return f"attempt:{ledger.root_of(task, '')}" if kind == "attempt" and task else scope


def _cap_in_words(cap: Cap | None) -> str:
    return "no cap" if cap is None or cap.micros is None else f"{format_dollars(cap.micros)} ({cap.origin})"
