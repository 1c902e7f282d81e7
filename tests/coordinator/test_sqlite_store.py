"""What only the encrypted SQLite store promises: what is on disk, and that no question reads every task."""

import asyncio
import sqlite3
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import apsw
import pytest

from foundation.errors import Invalid
from services.coordinator.adapters import rows, sqlite_limits
from services.coordinator.adapters.queries import SQL
from services.coordinator.adapters.rows import changed_fields, move_of
from services.coordinator.adapters.sqlite import MIGRATIONS, SqliteStore
from services.coordinator.domain.task import LimitUse, Task, lease
from services.coordinator.ports import StoreTransaction, TaskFilter
from tests.coordinator.stores import KEY, get, move, put
from tests.coordinator.tasks import EXITED_0, NOW, S, leased, stored, task


async def test_everything_is_there_after_a_reopening(tmp_path: Path) -> None:
    store = SqliteStore.open(tmp_path / "c.db", key=KEY)
    first, second = task(), task()
    await put(store, first, second)
    await move(store, first, lease(first, "r1"))
    await store.close()
    store = SqliteStore.open(tmp_path / "c.db", key=KEY)
    try:
        assert stored(await get(store, first.id)) == lease(first, "r1")
        assert await store.read(lambda tx: tx.position()) == 3
        assert await store.read(lambda tx: tx.counts()) == {("build", S.QUEUED): 2}
        await put(store, task())
        assert await store.read(lambda tx: tx.position()) == 4
        assert await store.check() == ()
    finally:
        await store.close()


async def test_nothing_on_disk_can_be_read_without_the_key(tmp_path: Path) -> None:
    store = SqliteStore.open(tmp_path / "c.db", key=KEY)
    await put(store, task(agent="a-very-secret-agent", params='{"password": "hunter2hunter2"}'))
    in_the_log = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    await store.close()
    in_the_file = (tmp_path / "c.db").read_bytes()
    for content in (in_the_log, in_the_file):
        assert b"hunter2" not in content and b"secret-agent" not in content and b"SQLite" not in content
    with pytest.raises(sqlite3.DatabaseError):
        sqlite3.connect(tmp_path / "c.db").execute("select * from tasks")
    with pytest.raises(Invalid):
        SqliteStore.open(tmp_path / "c.db", key=bytes(32))


async def test_the_check_sees_figures_that_are_not_true(tmp_path: Path) -> None:
    store = SqliteStore.open(tmp_path / "c.db", key=KEY)
    await put(store, task(), task())
    database = store._database
    await database.write(lambda connection: connection.execute("update figures set number = 3 where name = 'queued'"))
    await database.write(lambda connection: connection.execute("update figures set number = 1 where name = 'position'"))
    await database.write(lambda connection: connection.execute("insert into outputs values ('gone', 'x', '', 0)"))
    faults = await store.check()
    assert len(faults) == 3, faults
    await store.close()


async def test_a_read_cannot_write(tmp_path: Path) -> None:
    store = SqliteStore.open(tmp_path / "c.db", key=KEY)
    with pytest.raises(Exception, match=r"read-?only"):
        await store.read(lambda tx: tx.insert([task()]))
    await store.close()


async def test_no_read_holds_its_snapshot_for_the_next(tmp_path: Path) -> None:
    store = SqliteStore.open(tmp_path / "c.db", key=KEY)
    await put(store, *(task(state, agent=agent) for state in S for agent in ("a", "b", "c")), task(project="p"))
    reads: list[Callable[[StoreTransaction], object]] = [
        lambda tx: tx.page(TaskFilter(), before=None, limit=1),
        lambda tx: tx.page(TaskFilter(states=frozenset({S.QUEUED, S.DEAD})), before=None, limit=1),
        lambda tx: tx.matching(TaskFilter(agent="a"), after_id="", limit=1),
        lambda tx: tx.matching(TaskFilter(project="p"), after_id="", limit=1),
        lambda tx: (tx.counts(), tx.position(), tx.ready("a", after=None, limit=1), tx.next_due(), tx.output("x")),
        lambda tx: (tx.changes(after=0, limit=1), tx.held(after_id="", limit=1), tx.fact("x"), tx.size_bytes()),
        lambda tx: (tx.accepted("t", "k"), tx.outbox(limit=1), tx.reports(type="", project=""), tx.histories()),
        lambda tx: (tx.report(agent="", project=""), tx.refusals("x"), tx.in_clearing("x", after_id="", limit=1)),
    ]
    for read in reads:
        await store.read(read)
        # A deferred transaction holds no snapshot before its first statement, unless one was left behind.
        assert await store._database.read(lambda connection: connection.txn_state("main")) == apsw.SQLITE_TXN_NONE
    await store.close()


@pytest.fixture
def plain() -> apsw.Connection:
    """The schema in memory."""
    connection = apsw.Connection(":memory:")
    for path in sorted(MIGRATIONS.glob("*.sql")):
        connection.execute(path.read_text())
    return connection


# What may read a whole table, because the table is small or the question is asked once.
SMALL = (
    *("figures", "reports", "histories", "outbox", "acts", "json_each", "facts", "limit_sets", "refusals", "schedules"),
    *("failed_attempts", "CONSTANT ROW"),
)
ONCE = ("miscounted", "beyond_position", "orphans")


@pytest.mark.parametrize("name", sorted(set(SQL) - set(ONCE)))
def test_no_statement_reads_every_task_or_sorts_them(plain: apsw.Connection, name: str) -> None:
    sql = SQL[name]
    values = (None,) * sql.count("?") if "?1" not in sql else (None,) * max(n for n in range(99) if f"?{n}" in sql)
    plan = [row[-1] for row in plain.execute(f"explain query plan {sql}", values)]
    for step in plan:
        whole = step.startswith("SCAN") and "USING" not in step and not any(table in step for table in SMALL)
        sorting = "TEMP B-TREE" in step and name not in ("reports", "report", "blocked_on")
        assert (not whole and not sorting and "pragma" not in step) or name == "pages", plan


@pytest.mark.parametrize(
    ("name", "index"),
    [
        ("ready", "COVERING INDEX tasks_ready (agent=? AND labels=?)"),
        ("ready_after", "COVERING INDEX tasks_ready (agent=? AND labels=? AND (rank,ready_at,id)>(?,?,?))"),
        ("ready_labelled", "COVERING INDEX tasks_ready (agent=? AND labels=?)"),
        ("ready_labelled_after", "COVERING INDEX tasks_ready (agent=? AND labels=? AND (rank,ready_at,id)>(?,?,?))"),
        ("next_ready_labels", "COVERING INDEX tasks_ready (agent=? AND labels>?)"),
        ("due", "tasks_due"),
        ("next_due", "tasks_due"),
        ("held", "tasks_held (id>?)"),
        ("changes", "tasks_changed (change>?)"),
        ("open_ids_upwards", "COVERING INDEX tasks_listed_open (agent=? AND state=? AND id>?)"),
        ("open_ids_downwards", "COVERING INDEX tasks_listed_open (agent=? AND state=? AND id<?)"),
        ("finished_ids_upwards", "COVERING INDEX tasks_listed_finished (agent=? AND state=? AND id>?)"),
        ("finished_ids_downwards", "COVERING INDEX tasks_listed_finished (agent=? AND state=? AND id<?)"),
        ("project_ids_upwards", "tasks_of_project (project=? AND id>?)"),
        ("expired", "tasks_expiring (finished_at<?)"),
        ("expired_kept", "tasks_kept (finished_at<?)"),
        ("in_clearing", "tasks_cleared (clearing=? AND id>?)"),
        ("check_of_task", "merge_checks_of_task (task_id=?)"),
        ("open_checks", "merge_checks_open"),
        ("checks_to", "merge_checks_new (repository=? AND new=?)"),
        ("checks_from", "merge_checks_old (repository=? AND old=?)"),
        ("checks_page", "PRIMARY KEY (id<?)"),
        ("checks_page_of_project", "merge_checks_of_project (project=? AND id<?)"),
        ("checks_page_of_repository", "merge_checks_of_repository (repository=? AND id<?)"),
        ("rollbacks_since", "COVERING INDEX merge_checks_rolled_back (repository=? AND ended_at>?)"),
        ("untold_checks", "merge_checks_untold"),
        ("note_failed_attempt", "SEARCH failed_attempts / SCALAR SUBQUERY 2 / SEARCH failed_attempts"),
    ],
)
def test_each_walk_is_along_its_index(plain: apsw.Connection, name: str, index: str) -> None:
    sql = SQL[name]
    values = (None,) * (5 if "?5" in sql else sql.count("?"))
    plan = " / ".join(row[-1] for row in plain.execute(f"explain query plan {sql}", values))
    assert index in plan


def _moving(before: Task, now: Task, *, heard: bool = True) -> str:
    move = move_of(changed_fields(before, now), heard=heard)
    assert move is not None
    return move.sql


def _program(connection: apsw.Connection, sql: str) -> list[tuple[Any, ...]]:
    return connection.execute(f"explain {sql}", (None,) * sql.count("?")).fetchall()


HELD = leased()
ENDED = HELD._replace(state=S.SUCCEEDED, holder="", attempt=1, finished_at=NOW, measured=EXITED_0)


@pytest.mark.parametrize("sql", [SQL["insert_task"], _moving(HELD, ENDED)])
def test_no_table_is_built_for_a_row_that_is_written(plain: apsw.Connection, sql: str) -> None:
    """An `in` of three in a check or an index costs as much as the rest of the row."""
    assert "OpenEphemeral" not in {step[1] for step in _program(plain, sql)}
    plain.execute("create index t on tasks (agent) where state in ('queued', 'running', 'paused')")
    assert "OpenEphemeral" in {step[1] for step in _program(plain, sql)}


def test_a_lease_moves_a_task_in_two_small_indexes_only(plain: apsw.Connection) -> None:
    each = task()
    program = _program(plain, _moving(each, lease(each, "r1"), heard=False))
    written = {step[3] for step in program if step[1] == "OpenWrite"}
    pages = plain.execute("select name, rootpage from sqlite_schema where rootpage > 0").fetchall()
    assert {name for name, page in pages if page in written} == {"tasks", "tasks_ready", "tasks_held"}


async def test_the_same_limits_are_written_once_and_more_than_fit_stand_in_their_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_limits, "LIMIT_SETS_MAX", 2)
    store = SqliteStore.open(tmp_path / "c.db", key=KEY)
    measured = [
        replace(EXITED_0, limits=(LimitUse(name="memory", value=float(number % 4), enforcement="kernel"),))
        for number in range(8)
    ]
    tasks = [task(S.SUCCEEDED, measured=each) for each in (EXITED_0, *measured)]

    def failing(tx: StoreTransaction) -> None:
        tx.insert(tasks[:3])
        raise LookupError

    # What a work that is undone had found out about the sets is undone with it.
    await asyncio.gather(store.write(failing), put(store, *tasks[3:]), put(store, *tasks[:3]), return_exceptions=True)
    assert [stored(await get(store, each.id)) for each in tasks] == tasks
    written = "select count(limit_set), count(limits), count(distinct limit_set) from tasks"
    assert await store._database.read(lambda connection: connection.execute(written).get) == (4, 4, 2)
    await store.close()


def test_every_statement_is_used() -> None:
    source = "".join(path.read_text() for path in MIGRATIONS.parent.glob("*.py"))
    kinds = ("tasks", "open_ids", "finished_ids", "project_ids")
    composed = {f"{kind}_{way}" for kind in kinds for way in ("upwards", "downwards")}
    assert [name for name in SQL if f'"{name}"' not in source and name not in composed] == []


def test_limits_are_read_as_they_were_and_are_written() -> None:
    plain = LimitUse(name="memory", value=1.0, enforcement="kernel")
    told = LimitUse(name="sandbox", value=0.0, enforcement="kernel", detail="bubblewrap")
    old = '["memory", 1.0, "kernel", "cpu", 2.0, "none"]'
    assert rows._limits(old) == (plain, LimitUse(name="cpu", value=2.0, enforcement="none"))
    assert rows.written_limits(rows._limits(old)) == old, "without a detail nothing changes"
    assert rows._limits(rows.written_limits((plain, told))) == (plain, told)
    assert rows._limits(rows.written_limits(())) == ()
