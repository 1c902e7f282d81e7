"""Spend: an attempt reserves before a call and settles after it; people see what is left, and set caps."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from datetime import timedelta
from typing import Any

from flask import Response

from clients.safety_spend import SpendClient
from clients.safety_spend_values import AccountView, CapView, PriceView, ReservationView, TokensUsed
from foundation.money import parse_dollars
from gateway.answering import area, reply
from gateway.schemas import spend as shapes
from gateway.schemas.documented import answers as documented
from gateway.state import caller

routes = area("spend")


@routes.get("/spend", responses=documented({200: shapes.Spend}))
def get_spend() -> Response:
    """What is spent, promised and left for each scope; the calls that are open; the attempts that are paused."""
    view = caller().safety(lambda safety, left: safety.spend.get(deadline=left))
    return reply(
        shapes.Spend(
            accounts=[_account(account) for account in view.accounts],
            open=[_reservation(one) for one in view.open],
            paused=[
                shapes.PausedAttempt(task_id=one.task_id, fence=one.fence, agent=one.agent, reason=one.reason)
                for one in view.paused
            ],
            stopped_by=view.stopped_by or None,
        )
    )


@routes.get("/spend/prices", responses=documented({200: shapes.Prices}))
def list_prices() -> Response:
    """The prices that are known."""
    found = caller().safety(lambda safety, left: safety.spend.prices(deadline=left))
    return reply(shapes.Prices(prices=[_price(price) for price in found.prices], fault=found.fault or None))


@routes.post("/spend/reserve", responses=documented({200: shapes.OneReservation}, 409, 415))
def reserve(body: shapes.SpendReserve) -> Response:
    """Promises money to a call before it is made. Needs an attempt's own credential (the file QUANTUM_CREDENTIAL).

    429: it does not fit under a cap; the attempt is paused until it does. Sent again it changes nothing.
    """
    return _one(
        lambda spend, left: spend.reserve(
            body.key,
            body.provider,
            body.model,
            input_tokens=body.input_tokens,
            output_tokens=body.output_tokens,
            deadline=left,
        )
    )


@routes.post("/spend/extend", responses=documented({200: shapes.OneReservation}, 404, 409, 415))
def extend(body: shapes.SpendExtend) -> Response:
    """Raises a reservation to new totals. Needs the attempt's credential."""
    return _one(
        lambda spend, left: spend.extend(
            body.key, input_tokens=body.input_tokens, output_tokens=body.output_tokens, deadline=left
        )
    )


@routes.post("/spend/settle", responses=documented({200: shapes.OneReservation}, 404, 409, 415))
def settle(body: shapes.SpendSettle) -> Response:
    """Books what a call has cost. Needs the attempt's credential."""
    actual = (
        TokensUsed(body.input_tokens or 0, body.output_tokens or 0)
        if body.dollars is None
        else parse_dollars(body.dollars)
    )
    return _one(lambda spend, left: spend.settle(body.key, actual, deadline=left))


@routes.post("/spend/release", responses=documented({200: shapes.OneReservation}, 404, 409, 415))
def release(body: shapes.SpendRelease) -> Response:
    """Gives a reservation back: the call was not made. Needs the attempt's credential."""
    return _one(lambda spend, left: spend.release(body.key, deadline=left))


@routes.post("/spend/correct", responses=documented({200: shapes.OneReservation}, 404, 409, 415))
def correct(body: shapes.SpendCorrect) -> Response:
    """Settles a call of an attempt that has ended, also one that was charged in full; recorded with its reason."""
    micros = parse_dollars(body.dollars)
    return _one(
        lambda spend, left: spend.correct(body.task_id, body.fence, body.key, micros, reason=body.reason, deadline=left)
    )


@routes.post("/spend/caps", responses=documented({200: shapes.OneCap}, 409, 415))
def set_cap(body: shapes.SpendCapChange) -> Response:
    """Sets a cap until it is set again or cleared; recorded with its reason."""
    micros = None if body.dollars is None else parse_dollars(body.dollars)

    def change(spend: SpendClient, left: timedelta) -> Coroutine[Any, Any, CapView | None]:
        if body.clear:
            return spend.clear_cap(body.scope, body.per, reason=body.reason, deadline=left)
        return spend.set_cap(body.scope, body.per, micros, reason=body.reason, deadline=left)

    cap = caller().safety(lambda safety, left: change(safety.spend, left))
    return reply(shapes.OneCap(cap=_cap(cap)))


def _one(work: Callable[[SpendClient, timedelta], Coroutine[Any, Any, ReservationView]]) -> Response:
    found = caller().safety(lambda safety, left: work(safety.spend, left))
    return reply(shapes.OneReservation(reservation=_reservation(found)))


def _reservation(view: ReservationView) -> shapes.Reservation:
    return shapes.Reservation.model_validate({name: getattr(view, name) for name in shapes.Reservation.model_fields})


def _account(view: AccountView) -> shapes.Account:
    return shapes.Account.model_validate(
        {
            "scope": view.scope,
            "per": view.per,
            "window": view.window or None,
            "spent_micros": view.spent_micros,
            "reserved_micros": view.reserved_micros,
            "remaining_micros": view.remaining_micros,
            "cap": _cap(view.cap),
            "opens_at": view.opens_at,
        }
    )


def _cap(view: CapView | None) -> shapes.Cap | None:
    if view is None:
        return None
    return shapes.Cap.model_validate(
        {
            "scope": view.scope,
            "per": view.per,
            "micros": view.micros,
            "origin": view.origin,
            "actor": view.actor or None,
            "reason": view.reason or None,
            "at": view.at,
        }
    )


def _price(view: PriceView) -> shapes.Price:
    return shapes.Price(
        provider=view.provider,
        model=view.model,
        valid_from=view.valid_from.isoformat(),
        valid_until=view.valid_until.isoformat() if view.valid_until else None,
        input_micros=view.input_micros,
        output_micros=view.output_micros,
        call_micros=view.call_micros,
    )
