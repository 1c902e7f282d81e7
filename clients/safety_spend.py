"""The spend ledger's client, over a channel to safety."""

from __future__ import annotations

from datetime import date, timedelta

import grpc.aio

from clients.calling import DEADLINE, ask
from clients.safety_spend_values import (
    AccountView,
    CapView,
    PausedAttempt,
    PriceList,
    PriceView,
    ReservationView,
    SpendView,
    TokensUsed,
)
from clients.wire_values import moment_in
from protos.safety.v1 import admission_pb2, spend_pb2, spend_pb2_grpc


class SpendClient:
    """Every method raises QuantumError alone, as SafetyClient's do.

    `reserve`, `extend`, `settle` and `release` need an attempt's own credential; sent again they change nothing.
    """

    def __init__(self, channel: grpc.aio.Channel) -> None:
        """The channel belongs to whoever opened it."""
        self._spend = spend_pb2_grpc.SpendServiceStub(channel)

    async def reserve(
        self,
        key: str,
        provider: str,
        model: str,
        *,
        input_tokens: int | None = None,
        output_tokens: int | None = None,
        deadline: timedelta = DEADLINE,
    ) -> ReservationView:
        """Promises money to a call that uses so many tokens at most.

        Raises Exhausted, code `spend_cap`, where it does not fit; Invalid for an unknown price or an estimate without a
        bound; Conflict for a key of another call; Unavailable while nothing new is spent.
        """
        request = spend_pb2.ReserveSpendRequest(
            key=key, provider=provider, model=model, input_tokens=input_tokens, output_tokens=output_tokens
        )
        return _reservation_from((await ask(self._spend.ReserveSpend, request, deadline)).reservation)

    async def extend(
        self,
        key: str,
        *,
        input_tokens: int | None = None,
        output_tokens: int | None = None,
        deadline: timedelta = DEADLINE,
    ) -> ReservationView:
        """Raises a reservation to a new total. Raises like `reserve`, and NotFound."""
        request = spend_pb2.ExtendSpendRequest(key=key, input_tokens=input_tokens, output_tokens=output_tokens)
        return _reservation_from((await ask(self._spend.ExtendSpend, request, deadline)).reservation)

    async def settle(self, key: str, actual: TokensUsed | int, *, deadline: timedelta = DEADLINE) -> ReservationView:
        """Books what a call has cost: the tokens that it used, or micro-dollars. Raises NotFound, Conflict, Invalid."""
        request = spend_pb2.SettleSpendRequest(key=key)
        if isinstance(actual, int):
            request.micros = actual
        else:
            request.used.CopyFrom(
                spend_pb2.TokensUsed(input_tokens=actual.input_tokens, output_tokens=actual.output_tokens)
            )
        return _reservation_from((await ask(self._spend.SettleSpend, request, deadline)).reservation)

    async def release(self, key: str, *, deadline: timedelta = DEADLINE) -> ReservationView:
        """Gives a reservation back: the call was not made. Raises NotFound, Conflict."""
        request = spend_pb2.ReleaseSpendRequest(key=key)
        return _reservation_from((await ask(self._spend.ReleaseSpend, request, deadline)).reservation)

    async def correct(
        self, task_id: str, fence: int, key: str, micros: int, *, reason: str, deadline: timedelta = DEADLINE
    ) -> ReservationView:
        """Settles in place of an attempt that has ended. Raises NotFound, Conflict, Invalid."""
        request = spend_pb2.CorrectSpendRequest(
            attempt=admission_pb2.AttemptKey(task_id=task_id, fence=fence), key=key, micros=micros, reason=reason
        )
        return _reservation_from((await ask(self._spend.CorrectSpend, request, deadline)).reservation)

    async def get(self, *, deadline: timedelta = DEADLINE) -> SpendView:
        """What is spent, promised and left now."""
        answer = await ask(self._spend.GetSpend, spend_pb2.GetSpendRequest(), deadline)
        return SpendView(
            accounts=tuple(map(_account_from, answer.accounts)),
            open=tuple(map(_reservation_from, answer.open)),
            paused=tuple(map(_paused_from, answer.paused)),
            stopped_by=answer.stopped_by,
        )

    async def prices(self, *, deadline: timedelta = DEADLINE) -> PriceList:
        """The prices that are known."""
        answer = await ask(self._spend.ListPrices, spend_pb2.ListPricesRequest(), deadline)
        return PriceList(prices=tuple(map(_price_from, answer.prices)), fault=answer.fault)

    async def set_cap(
        self, scope: str, per: str, micros: int | None, *, reason: str, deadline: timedelta = DEADLINE
    ) -> CapView | None:
        """Sets a cap (None: no cap) until it is set again or cleared. Raises Invalid."""
        request = spend_pb2.SetSpendCapRequest(scope=scope, per=per, micros=micros, reason=reason)
        answer = await ask(self._spend.SetSpendCap, request, deadline)
        return _cap_from(answer.cap) if answer.HasField("cap") else None

    async def clear_cap(
        self, scope: str, per: str, *, reason: str = "", deadline: timedelta = DEADLINE
    ) -> CapView | None:
        """Forgets what was set; returns what the configuration says, None without a cap. Raises Invalid."""
        request = spend_pb2.SetSpendCapRequest(scope=scope, per=per, clear=True, reason=reason)
        answer = await ask(self._spend.SetSpendCap, request, deadline)
        return _cap_from(answer.cap) if answer.HasField("cap") else None


def _reservation_from(message: spend_pb2.Reservation) -> ReservationView:
    return ReservationView(
        task_id=message.attempt.task_id,
        fence=message.attempt.fence,
        key=message.key,
        agent=message.agent,
        provider=message.provider,
        model=message.model,
        input_tokens=message.input_tokens,
        output_tokens=message.output_tokens,
        reserved_micros=message.reserved_micros,
        stage=spend_pb2.ReservationStage.Name(message.stage).removeprefix("RESERVATION_STAGE_").lower(),
        actual_micros=message.actual_micros if message.HasField("actual_micros") else None,
        made_at=moment_in(message, "made_at"),
        ended_at=moment_in(message, "ended_at"),
    )


def _account_from(message: spend_pb2.SpendAccount) -> AccountView:
    return AccountView(
        scope=message.scope,
        per=message.per,
        window=message.window,
        spent_micros=message.spent_micros,
        reserved_micros=message.reserved_micros,
        cap=_cap_from(message.cap) if message.HasField("cap") else None,
        opens_at=moment_in(message, "opens_at"),
    )


def _cap_from(cap: spend_pb2.SpendCap) -> CapView:
    return CapView(
        scope=cap.scope,
        per=cap.per,
        micros=cap.micros if cap.HasField("micros") else None,
        origin=cap.origin,
        actor=cap.actor,
        reason=cap.reason,
        at=moment_in(cap, "at"),
    )


def _paused_from(message: spend_pb2.PausedAttempt) -> PausedAttempt:
    attempt = message.attempt
    return PausedAttempt(task_id=attempt.task_id, fence=attempt.fence, agent=message.agent, reason=message.reason)


def _price_from(message: spend_pb2.Price) -> PriceView:
    return PriceView(
        provider=message.provider,
        model=message.model,
        valid_from=date.fromisoformat(message.valid_from),
        valid_until=date.fromisoformat(message.valid_until) if message.valid_until else None,
        input_micros=message.input_micros,
        output_micros=message.output_micros,
        call_micros=message.call_micros,
    )
