"""The statements of queries.sql by name, read once."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import apsw

from services.coordinator.adapters.rows import COLUMNS, Value

CHECK_WITHOUT_EVIDENCE = (
    "id, repository, folder, project, event, branch, old, new, topic, background, task_id, verdict, action, sentence,"
    " only_report, created_at, confirmed_at, ended_at, undone_at, told"
)
CHECK = f"{CHECK_WITHOUT_EVIDENCE}, evidence"
_NAME = re.compile(r"^-- name: (\w+)$", re.MULTILINE)


def _read(path: Path) -> Mapping[str, str]:
    _, *parts = _NAME.split(path.read_text())
    names, bodies = parts[::2], parts[1::2]
    return {name: _filled(_bare(body)) for name, body in zip(names, bodies, strict=True)}


def _filled(sql: str) -> str:
    for name, columns in (("task", COLUMNS), ("check", CHECK), ("check_without_evidence", CHECK_WITHOUT_EVIDENCE)):
        sql = sql.replace(f"{{{name}}}", columns)
    return sql


def _bare(sql: str) -> str:
    return "\n".join(line for line in sql.strip().splitlines() if not line.startswith("--")).strip()


def fetch(connection: apsw.Connection, name: str, values: Sequence[Value] = ()) -> list[Any]:
    """All rows of a statement.

    Fetched whole, always: a cursor that is left open, or that overlaps another one, keeps its snapshot (apsw), and
    a reader would see the same old figures for ever.
    """
    return connection.execute(SQL[name], values).fetchall()


SQL = _read(Path(__file__).with_name("queries.sql"))
