"""The audit log and the databases' key, in a system as it is installed."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from foundation.ids import random_bytes
from foundation.secrets import DATABASE_KEY, SecretStore, next_key_account, open_secret_store, user_account
from foundation.sqlite.connection import Location, connect
from tests.acceptance.system import REPOSITORY, System


@pytest.fixture
def system() -> Iterator[System]:
    made = System.make({})
    made.init()
    yield made
    made.end()


def secrets(system: System) -> SecretStore:
    return open_secret_store(system.workspace, system.environ)


def change_by_sql(system: System, sql: str) -> None:
    """What somebody does who has the databases' key."""
    key = secrets(system).get(DATABASE_KEY, user_account(system.workspace))
    assert key is not None
    connection = connect(Location(path=system.workspace.safety_db, key=bytes.fromhex(key)))
    connection.execute(sql)
    connection.close()


def cancel_of_another(system: System) -> str:
    """A task that somebody else submitted, cancelled by the user, once safety has heard of it."""
    system.agent("waits", "sleep 60")
    other = system.ask("token", "issue", "--name", "ci", "--scopes", "submit")["token"]
    task: str = system.http("POST", "/tasks/queue", {"agent": "waits"}, token=other)[1]["task"]["id"]
    mine = system.ask("submit", "waits")["tasks"][0]["id"]
    system.quantum("cancel", task, mine, code=0)
    system.until(lambda: [one for one in system.ask("audit")["records"] if one["act"] == "task_cancel"])
    return task


def test_an_act_is_in_the_log_a_changed_log_is_told_and_a_new_key_changes_neither(system: System) -> None:
    system.up()
    system.quantum("breaker", "force-open", "agent:build", "--reason", "it loops", code=0)
    cancelled_by_another = cancel_of_another(system)
    system.quantum("stop", "--all", "--reason", "enough", code=0)
    system.quantum("resume", code=0)
    seen = {"token_issue", "mode_tighten", "mode_loosen", "stop_file_seen", "stop_file_gone"}
    records = system.until(lambda: _with(system.ask("audit")["records"], seen), what="safety has seen it all")
    acts = {record["act"]: record for record in records}
    assert acts["audit_begin"]["number"] == 1
    held = acts["breaker_force_open"]
    assert (held["actor"], held["target"], held["reason"]) == ("user", "agent:build", "it loops")
    assert held["source"] == "quantum breaker by the local socket"
    cancel = acts["task_cancel"]
    assert (cancel["actor"], cancel["target"]) == ("user", f"task {cancelled_by_another}")
    assert cancel["source"] == "quantum cancel by the local socket, told by service coordinator"
    assert system.http("GET", "/audit?limit=1")[1]["records"][0]["number"] == records[0]["number"]
    assert system.ask("audit", "--verify")["good"] is True
    system.until(lambda: [line for line in system.ask("audit", "--access")["lines"] if line["route"] == "/audit"])

    system.quantum("down", code=0)
    rotated = system.ask("rotate", "key")
    assert (rotated["resumed"], len(rotated["recovery_key"])) == (False, 71)
    change_by_sql(system, "update audit set reason = 'all was well' where number = 3")
    system.up()
    assert system.ask("audit")["records"][0]["act"] == "database_key_rotate"
    assert system.quantum("rotate", "key").code == 73  # not while it runs
    told = system.quantum("audit", "--verify", "--json")
    assert (told.code, told.document["fault"]["number"]) == (1, 3)
    assert system.http("GET", "/audit/verify")[1]["fault"]["number"] == 3


def _with(records: list[Any], acts: set[str]) -> list[Any]:
    """All of them, once these acts are among them."""
    return records if acts <= {record["act"] for record in records} else []


@pytest.mark.long
def test_a_rotation_that_was_cut_short_between_the_databases_hinders_nothing(system: System) -> None:
    store, account = secrets(system), user_account(system.workspace)
    first = store.get(DATABASE_KEY, account)
    store.set(DATABASE_KEY, next_key_account(system.workspace), random_bytes(32).hex())
    arguments = ["-m", "services.coordinator", "rekey", "--workspace", str(system.root)]
    subprocess.run([sys.executable, *arguments], env=system.environ, cwd=REPOSITORY, check=True, timeout=60)
    system.up()
    system.quantum("queue", "pause", code=0)
    system.quantum("down", code=0)
    rotated = system.ask("rotate", "key")
    assert rotated["resumed"] is True
    assert store.get(DATABASE_KEY, account) not in (None, first)
    assert store.get(DATABASE_KEY, next_key_account(system.workspace)) is None
    system.up()
    assert system.ask("queue", "stats")["paused"] is True
    assert system.ask("audit", "--verify")["good"] is True
