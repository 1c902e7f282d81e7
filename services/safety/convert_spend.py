"""The spend ledger as messages."""

from __future__ import annotations

from foundation.errors import Invalid
from protos.safety.v1 import admission_pb2, spend_pb2
from services.safety.app.spend_overview import AccountView, SpendView
from services.safety.convert import timestamp_out
from services.safety.domain.attempt import AttemptKey
from services.safety.domain.spend_caps import Cap
from services.safety.domain.spend_prices import Price, Usage
from services.safety.domain.spend_records import Reservation, SpendGrant, Stage

_STAGES = {
    Stage.HELD: spend_pb2.RESERVATION_STAGE_HELD,
    Stage.SETTLED: spend_pb2.RESERVATION_STAGE_SETTLED,
    Stage.RELEASED: spend_pb2.RESERVATION_STAGE_RELEASED,
    Stage.CHARGED: spend_pb2.RESERVATION_STAGE_CHARGED,
}


def actual_in(request: spend_pb2.SettleSpendRequest) -> Usage | int:
    """What a call has cost: tokens or micro-dollars; raises Invalid when it says neither."""
    match request.WhichOneof("actual"):
        case "used":
            return Usage(request.used.input_tokens, request.used.output_tokens)
        case "micros":
            return request.micros
        case _:
            raise Invalid("no_actual_cost", "A call is settled by the tokens that it used, or by what it cost.")


def tokens_in(
    request: spend_pb2.ReserveSpendRequest | spend_pb2.ExtendSpendRequest,
) -> tuple[int | None, int | None]:
    """The most tokens in and out; None where the request does not say."""
    return (
        request.input_tokens if request.HasField("input_tokens") else None,
        request.output_tokens if request.HasField("output_tokens") else None,
    )


def reservation_out(one: Reservation) -> spend_pb2.Reservation:
    """A reservation."""
    return spend_pb2.Reservation(
        attempt=_attempt_out(one.key.attempt),
        key=one.key.key,
        agent=one.agent,
        provider=one.ask.provider,
        model=one.ask.model,
        input_tokens=one.usage.input_tokens,
        output_tokens=one.usage.output_tokens,
        reserved_micros=one.micros,
        stage=_STAGES[one.stage],
        actual_micros=one.actual_micros,
        made_at=timestamp_out(one.made_at),
        ended_at=timestamp_out(one.ended_at),
    )


def cap_out(cap: Cap | None) -> spend_pb2.SpendCap | None:
    """A cap; None stays None, which is an absent field."""
    if cap is None:
        return None
    return spend_pb2.SpendCap(
        scope=cap.name.scope,
        per=cap.name.per.value,
        micros=cap.micros,
        origin=cap.origin,
        actor=cap.actor,
        reason=cap.reason,
        at=timestamp_out(cap.at),
    )


def spend_out(view: SpendView) -> spend_pb2.GetSpendResponse:
    """The ledger at one moment."""
    return spend_pb2.GetSpendResponse(
        accounts=map(_account_out, view.accounts),
        open=map(reservation_out, view.open),
        paused=[_paused_out(grant, reason) for grant, reason in view.paused],
        stopped_by=view.stopped_by,
    )


def price_out(price: Price) -> spend_pb2.Price:
    """A price."""
    return spend_pb2.Price(
        provider=price.provider,
        model=price.model,
        valid_from=price.valid_from.isoformat(),
        valid_until=price.valid_until.isoformat() if price.valid_until else "",
        input_micros=price.input_micros,
        output_micros=price.output_micros,
        call_micros=price.call_micros,
    )


def _account_out(view: AccountView) -> spend_pb2.SpendAccount:
    return spend_pb2.SpendAccount(
        scope=view.account.subject,
        per=view.account.per.value,
        window=view.account.window,
        spent_micros=view.balance.spent,
        reserved_micros=view.balance.reserved,
        cap=cap_out(view.cap),
        opens_at=timestamp_out(view.opens_at),
    )


def _paused_out(grant: SpendGrant, reason: str) -> spend_pb2.PausedAttempt:
    return spend_pb2.PausedAttempt(attempt=_attempt_out(grant.attempt), agent=grant.agent, reason=reason)


def _attempt_out(attempt: AttemptKey) -> admission_pb2.AttemptKey:
    return admission_pb2.AttemptKey(task_id=attempt.task, fence=attempt.fence)
