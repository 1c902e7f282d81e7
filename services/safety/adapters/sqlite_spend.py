"""The spend ledger in its tables: read whole at the start, written by row."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date
from typing import Any, TypeVar

import apsw

from services.safety.adapters.rows import Row, to_micros, to_micros_or_none, to_moment, to_moment_or_none
from services.safety.domain.attempt import AttemptKey
from services.safety.domain.spend_caps import AccountKey, Cap, CapName, Per
from services.safety.domain.spend_prices import Price, Usage
from services.safety.domain.spend_records import (
    Ask,
    Balance,
    Block,
    Reservation,
    ReservationKey,
    SpendChanges,
    SpendGrant,
    SpendSnapshot,
    Stage,
)

K = TypeVar("K")
V = TypeVar("V")

_PUT_SECRET = "update spend_state set secret = ?"
_PUT_LATEST = "update spend_state set latest = ?"
_PUT_CAP = "insert or replace into spend_cap values (?, ?, ?, ?, ?, ?)"
_PUT_BALANCE = "insert or replace into spend_balance values (?, ?, ?, ?, ?)"
_PUT_GRANT = f"insert or replace into spend_grant values ({', '.join('?' * 12)})"
_PUT_RESERVATION = f"insert or replace into spend_reservation values ({', '.join('?' * 20)})"
_PUT_FAMILY = "insert or replace into spend_family values (?, ?, ?)"
_DROP_CAP = "delete from spend_cap where scope = ? and per = ?"
_DROP_BALANCE = 'delete from spend_balance where subject = ? and "window" = ?'
_DROP_GRANT = "delete from spend_grant where task = ? and fence = ?"
_DROP_RESERVATION = "delete from spend_reservation where task = ? and fence = ? and key = ?"
_DROP_FAMILY = "delete from spend_family where task = ?"


def load(connection: apsw.Connection) -> SpendSnapshot:
    """The whole ledger; what was settled is in the order in which it ended."""
    ((secret, latest),) = connection.execute("select secret, latest from spend_state")
    caps = map(_read_cap, connection.execute("select * from spend_cap"))
    balances = connection.execute("select * from spend_balance")
    grants = map(_read_grant, connection.execute("select * from spend_grant"))
    rows = connection.execute("select * from spend_reservation order by ended_at, task, fence, key")
    families = connection.execute("select * from spend_family")
    return SpendSnapshot(
        secret=secret,
        latest=to_moment_or_none(latest),
        caps={cap.name: cap for cap in caps},
        balances={
            AccountKey(subject, window): Balance(spent, reserved, to_moment(used_at))
            for subject, window, spent, reserved, used_at in balances
        },
        grants={grant.attempt: grant for grant in grants},
        reservations={one.key: one for one in map(_read_reservation, rows)},
        families={task: (root, to_moment(learned_at)) for task, root, learned_at in families},
    )


def write(connection: apsw.Connection, changes: SpendChanges) -> None:
    """Write what has changed."""
    if changes.secret is not None:
        connection.execute(_PUT_SECRET, (changes.secret,))
    if changes.latest is not None:
        connection.execute(_PUT_LATEST, (to_micros(changes.latest),))
    _write(connection, _DROP_CAP, changes.caps, _PUT_CAP, map(_cap_row, _set(changes.caps)))
    _write(
        connection,
        _DROP_BALANCE,
        changes.balances,
        _PUT_BALANCE,
        [_balance_row(key, balance) for key, balance in changes.balances.items() if balance is not None],
    )
    _write(connection, _DROP_GRANT, changes.grants, _PUT_GRANT, map(_grant_row, _set(changes.grants)))
    gone = {_reservation_key(key): value for key, value in changes.reservations.items()}
    _write(connection, _DROP_RESERVATION, gone, _PUT_RESERVATION, map(_reservation_row, _set(changes.reservations)))
    _write(
        connection,
        _DROP_FAMILY,
        {(task,): known for task, known in changes.families.items()},
        _PUT_FAMILY,
        [(task, known[0], to_micros(known[1])) for task, known in changes.families.items() if known is not None],
    )


def _write(
    connection: apsw.Connection, drop: str, changed: Mapping[Any, object | None], put: str, rows: Iterable[Row]
) -> None:
    if not changed:
        return
    connection.executemany(drop, [tuple(key) for key, value in changed.items() if value is None])
    connection.executemany(put, rows)


def _set(changed: Mapping[K, V | None]) -> list[V]:
    return [value for value in changed.values() if value is not None]


def _cap_row(cap: Cap) -> Row:
    assert cap.at is not None, "a cap that was set knows when"
    return (cap.name.scope, cap.name.per.value, cap.micros, cap.actor, cap.reason, to_micros(cap.at))


def _read_cap(row: Row) -> Cap:
    scope, per, micros, actor, reason, at = row
    return Cap(name=CapName(scope, Per(per)), micros=micros, origin="set", actor=actor, reason=reason, at=to_moment(at))


def _balance_row(account: AccountKey, balance: Balance) -> Row:
    return (*account, balance.spent, balance.reserved, to_micros(balance.used_at))


def _grant_row(grant: SpendGrant) -> Row:
    block = grant.block
    return (
        *grant.attempt,
        grant.root,
        grant.agent,
        " ".join(grant.providers),
        grant.token_id,
        grant.digest,
        to_micros(grant.granted_at),
        to_micros_or_none(grant.ended_at),
        *((*block.account, block.micros) if block else (None, None, None)),
    )


def _read_grant(row: Row) -> SpendGrant:
    task, fence, root, agent, providers, token_id, digest, granted_at, ended_at, subject, window, micros = row
    return SpendGrant(
        attempt=AttemptKey(task, fence),
        root=root,
        agent=agent,
        providers=tuple(providers.split()),
        token_id=token_id,
        digest=digest,
        granted_at=to_moment(granted_at),
        ended_at=to_moment_or_none(ended_at),
        block=None if subject is None else Block(AccountKey(subject, window), micros),
    )


def _reservation_key(name: ReservationKey) -> tuple[str, int, str]:
    return (*name.attempt, name.key)


def _reservation_row(one: Reservation) -> Row:
    price = one.price
    return (
        *_reservation_key(one.key),
        one.root,
        one.agent,
        one.ask.provider,
        one.ask.model,
        *one.ask.usage,
        *one.usage,
        price.valid_from.isoformat(),
        price.input_micros,
        price.output_micros,
        price.call_micros,
        one.micros,
        to_micros(one.made_at),
        one.stage.value,
        one.actual_micros,
        to_micros_or_none(one.ended_at),
    )


def _read_reservation(row: Row) -> Reservation:
    task, fence, key, root, agent, provider, model, *rest = row
    asked_in, asked_out, tokens_in, tokens_out, price_from, price_in, price_out, price_call, *rest = rest
    micros, made_at, stage, actual, ended_at = rest
    price = Price(
        provider=provider,
        model=model,
        valid_from=date.fromisoformat(price_from),
        input_micros=price_in,
        output_micros=price_out,
        call_micros=price_call,
    )
    return Reservation(
        key=ReservationKey(AttemptKey(task, fence), key),
        root=root,
        agent=agent,
        ask=Ask(provider, model, Usage(asked_in, asked_out)),
        usage=Usage(tokens_in, tokens_out),
        price=price,
        micros=micros,
        made_at=to_moment(made_at),
        stage=Stage(stage),
        actual_micros=actual,
        ended_at=to_moment_or_none(ended_at),
    )
