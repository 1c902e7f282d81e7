"""Changes to the audit log made through SQL with the database's key, each with the first record that they spoil."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

import apsw

from services.safety.adapters import sqlite_audit
from services.safety.adapters.memory import MemoryStore
from services.safety.domain.audit import AuditRecord, Head, chain

DATABASE_KEY = b"\x05" * 32
"""All that the attacker has: what is sealed with it is not what safety seals."""
COLUMNS = ("at", "actor", "actor_id", "source", "act", "target", "value_before", "value_after", "reason")

Mutation = Callable[[apsw.Connection, random.Random, int], int]
"""Changes the log of a number of records; returns the number of the first bad one."""


class OpenStore(MemoryStore):
    """Reads the log through one connection that is changed meanwhile."""

    def __init__(self, connection: apsw.Connection) -> None:
        super().__init__()
        self._connection = connection

    async def audit_after(self, number: int, limit: int) -> Sequence[AuditRecord]:
        """Records as they stand in the open transaction."""
        return sqlite_audit.after(self._connection, number, limit)


@contextmanager
def undone(connection: apsw.Connection) -> Iterator[None]:
    """What is done inside is undone at the end."""
    connection.execute("savepoint mutation")
    try:
        yield
    finally:
        connection.execute("rollback to mutation; release mutation")


def edit(connection: apsw.Connection, chance: random.Random, count: int) -> int:
    """One field of one record, nothing else."""
    number = chance.randint(1, count)
    _spoil(connection, chance, number)
    return number


def delete(connection: apsw.Connection, chance: random.Random, count: int) -> int:
    """One record is gone; half the time those behind it close the gap."""
    number = chance.randint(1, count)
    connection.execute("delete from audit where number = ?", (number,))
    if chance.random() < 0.5:
        _shift(connection, number, -1)
    return number


def insert(connection: apsw.Connection, chance: random.Random, count: int) -> int:
    """A record of the attacker's own, well chained, anywhere; those behind it make room."""
    after = chance.randint(0, count)
    found = _records(connection)
    _shift(connection, after, 1)
    before = found[after - 1].head if after else Head()
    (forged,) = chain(before, [replace(found[0].entry, act="token_issue", target="mallory")], DATABASE_KEY)
    sqlite_audit.write(connection, [forged])
    return after + 1


def reorder(connection: apsw.Connection, chance: random.Random, count: int) -> int:
    """Two records change places."""
    first, second = sorted(chance.sample(range(1, count + 1), 2))
    for old, new in ((first, 2_000_000), (second, first), (2_000_000, second)):
        connection.execute("update audit set number = ? where number = ?", (new, old))
    return first


def cut(connection: apsw.Connection, chance: random.Random, count: int) -> int:
    """The tail is gone."""
    number = chance.randint(1, count)
    connection.execute("delete from audit where number >= ?", (number,))
    return number


def cut_and_append(connection: apsw.Connection, chance: random.Random, count: int) -> int:
    """The tail is gone, and a forged one of any length is there in its place, chained as it should be."""
    number = chance.randint(1, count)
    found = _records(connection)
    connection.execute("delete from audit where number >= ?", (number,))
    before = found[number - 2].head if number > 1 else Head()
    entries = [replace(record.entry, target="mallory", told="") for record in found[number - 1 :]]
    entries = entries[: chance.randint(1, len(entries))] + entries[: chance.randint(0, 3)]
    sqlite_audit.write(connection, list(chain(before, entries, DATABASE_KEY)))
    return number


def restamp(connection: apsw.Connection, chance: random.Random, count: int) -> int:
    """One record is changed, and the digests from there on are computed again; half the time the seals are kept."""
    number = chance.randint(1, count)
    _spoil(connection, chance, number)
    found = _records(connection)
    keep = chance.random() < 0.5
    before = found[number - 2].head if number > 1 else Head()
    again = list(chain(before, [record.entry for record in found[number - 1 :]], DATABASE_KEY))
    for old, new in zip(found[number - 1 :], again, strict=True):
        seal = old.seal if keep else new.seal
        connection.execute(
            "update audit set previous = ?, digest = ?, seal = ? where number = ?",
            (new.previous, new.digest, seal, new.number),
        )
    return number


MUTATIONS: Sequence[Mutation] = (edit, delete, insert, reorder, cut, cut_and_append, restamp)


def _records(connection: apsw.Connection) -> Sequence[AuditRecord]:
    return sqlite_audit.after(connection, 0, 1_000_000)


def _spoil(connection: apsw.Connection, chance: random.Random, number: int) -> None:
    column = chance.choice(COLUMNS)
    if column == "at":
        moved = chance.choice([-1, 1, 10**9, 2**62]) if chance.random() < 0.5 else chance.randint(1, 10**6)
        connection.execute("update audit set at = at + ? where number = ?", (moved, number))
    else:
        connection.execute(f"update audit set {column} = {column} || ? where number = ?", (chance.choice("x "), number))


def _shift(connection: apsw.Connection, after: int, by: int) -> None:
    """Move the numbers behind a place; over far ones, because each must be free when it is taken."""
    connection.execute("update audit set number = number + 1000000 where number > ?", (after,))
    connection.execute("update audit set number = number - 1000000 + ? where number > 1000000", (by,))
