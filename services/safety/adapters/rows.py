"""How safety's values lie in rows of its database, both ways."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, assert_never, cast

from services.safety.domain.attempt import AttemptKey
from services.safety.domain.book import BreakerChange
from services.safety.domain.breaker import (
    Breaker,
    Closed,
    ForcedClosed,
    ForcedOpen,
    HalfOpen,
    Open,
    Permit,
    State,
    StateName,
)
from services.safety.domain.deadline import Deadline
from services.safety.domain.token import TokenRecord

Row = tuple[Any, ...]

_EPOCH = datetime.fromtimestamp(0, UTC)
_MICROSECOND = timedelta(microseconds=1)


def to_micros(moment: datetime) -> int:
    """Microseconds since 1970 in UTC."""
    return (moment - _EPOCH) // _MICROSECOND


def to_micros_or_none(moment: datetime | None) -> int | None:
    """Microseconds since 1970 in UTC; None stays None."""
    return None if moment is None else to_micros(moment)


def to_moment(micros: int) -> datetime:
    """The aware UTC moment."""
    return _EPOCH + timedelta(microseconds=micros)


def to_moment_or_none(micros: int | None) -> datetime | None:
    """The aware UTC moment; None stays None."""
    return None if micros is None else to_moment(micros)


def breaker_row(breaker: Breaker) -> Row:
    """A breaker in the order of its table's columns."""
    actor: str | None = None
    trips: int | None = None
    successes: int | None = None
    until: Deadline | None = None
    permit: Permit | None = None
    match breaker.state:
        case Closed():
            pass
        case Open():
            until, trips = breaker.state.deadline, breaker.state.trips
        case HalfOpen():
            trips, successes, permit = breaker.state.trips, breaker.state.successes, breaker.state.permit
        case ForcedOpen():
            actor = breaker.state.actor
        case ForcedClosed():
            actor, until = breaker.state.actor, breaker.state.deadline
        case _:
            assert_never(breaker.state)
    return (
        breaker.scope,
        breaker.state.name.value,
        breaker.epoch,
        breaker.consecutive,
        breaker.recent,
        breaker.attempts,
        breaker.reason,
        actor,
        trips,
        successes,
        *_deadline_columns(until),
        *((permit.holder.task, permit.holder.fence) if permit else (None, None)),
        *_deadline_columns(permit.deadline if permit else None),
        " ".join(breaker.culprits),
    )


def read_breaker(row: Row) -> Breaker:
    """The breaker in a row of its table."""
    scope, state, epoch, consecutive, recent, attempts, reason, *of_state, culprits = row
    return Breaker(
        scope=scope,
        state=_read_state(StateName(state), of_state),
        epoch=epoch,
        consecutive=consecutive,
        recent=recent,
        attempts=attempts,
        reason=reason,
        culprits=tuple(culprits.split(" ")) if culprits else (),
    )


def token_row(token: TokenRecord) -> Row:
    """A token in the order of its table's columns."""
    return (
        token.id,
        token.name,
        token.digest,
        " ".join(sorted(token.scopes)),
        to_micros(token.created_at),
        to_micros_or_none(token.expires_at),
        to_micros_or_none(token.revoked_at),
        to_micros_or_none(token.last_used_at),
        token.succeeds,
        token.runner,
        to_micros_or_none(token.used_at),
    )


def read_token(row: Row) -> TokenRecord:
    """The token in a row of its table."""
    token_id, name, digest, scopes, created_at, expires_at, revoked_at, last_used_at, succeeds, runner, used_at = row
    return TokenRecord(
        id=token_id,
        name=name,
        digest=digest,
        scopes=frozenset(scopes.split()),
        created_at=to_moment(created_at),
        expires_at=to_moment_or_none(expires_at),
        revoked_at=to_moment_or_none(revoked_at),
        last_used_at=to_moment_or_none(last_used_at),
        succeeds=succeeds,
        runner=runner,
        used_at=to_moment_or_none(used_at),
    )


def change_row(change: BreakerChange) -> Row:
    """A line of history in the order of its table's columns, without its number."""
    return (
        change.scope,
        to_micros(change.at),
        change.before.value,
        change.after.value,
        change.epoch,
        change.reason,
        change.actor,
    )


def read_change(row: Row) -> BreakerChange:
    """The line of history in a row."""
    scope, at, before, after, epoch, reason, actor = row
    return BreakerChange(
        scope=scope,
        at=to_moment(at),
        before=StateName(before),
        after=StateName(after),
        epoch=epoch,
        reason=reason,
        actor=actor,
    )


def _deadline_columns(deadline: Deadline | None) -> tuple[int | None, int | None]:
    return (None, None) if deadline is None else (to_micros(deadline.at), deadline.full // _MICROSECOND)


def _read_deadline(at: int | None, full: int | None) -> Deadline | None:
    if at is None or full is None:
        return None
    return Deadline(at=to_moment(at), full=timedelta(microseconds=full))


def _read_state(name: StateName, of_state: list[Any]) -> State:
    """The state in its own columns; the table's checks say which are there in which state."""
    actor, trips, successes, until_at, until_full, task, fence, permit_at, permit_full = of_state
    until = _read_deadline(until_at, until_full)
    match name:
        case StateName.CLOSED:
            return Closed()
        case StateName.OPEN:
            return Open(deadline=cast(Deadline, until), trips=trips)
        case StateName.HALF_OPEN:
            deadline = _read_deadline(permit_at, permit_full)
            permit = Permit(holder=AttemptKey(task, fence), deadline=deadline) if deadline else None
            return HalfOpen(trips=trips, successes=successes, permit=permit)
        case StateName.FORCED_OPEN:
            return ForcedOpen(actor=actor)
        case StateName.FORCED_CLOSED:
            return ForcedClosed(actor=actor, deadline=cast(Deadline, until))
