"""`quantum isolate`: within five seconds nothing runs, the port is closed, and no token of before opens anything."""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import subprocess
from pathlib import Path

import pytest

from cli.processes.identity import of_agents
from cli.processes.running import read_running, targets
from foundation.secrets import SERVICE_TOKEN, open_secret_store, service_account
from tests.acceptance.system import System
from tests.acceptance.test_doctor_faults import marks
from tests.measured import measured

WITHIN_SECONDS = 5.0
AGENTS = 10
STUBBORN = "trap '' TERM INT HUP\n(trap '' TERM; exec env -i sleep 300) &\nwhile :; do sleep 300; done"
"""Ignores whatever asks it to end, and has a child that carries no mark of ours."""


def crowd(system: System) -> set[int]:
    """Ten agents that run; every pid below the runner."""
    system.agent("stubborn", STUBBORN, 'effects = "idempotent"')
    system.quantum("submit", "-", given=json.dumps([{"agent": "stubborn"}] * AGENTS), code=0)
    system.until(lambda: len(sleepers(system)) >= AGENTS, what="ten that carry no mark")
    return {one.pid for one in targets(system.workspace).values()}


def sleepers(system: System) -> list[int]:
    """The unmarked children: below the runner, and with no environment."""
    found = []
    for one in targets(system.workspace).values():
        try:
            empty = not Path(f"/proc/{one.pid}/environ").read_bytes()
        except OSError:
            continue
        if empty:
            found.append(one.pid)
    return found


def lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0] not in (b"Z", b"X")
    except OSError:
        return False


def closed(system: System) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", system.port)) != 0


def credentials(system: System) -> list[str]:
    store = open_secret_store(system.workspace, {})
    names = ("coordinator", "safety", "runner", "gateway")
    return [store.get(SERVICE_TOKEN, service_account(system.workspace, name)) or "" for name in names]


@pytest.mark.parametrize("within", measured(WITHIN_SECONDS))
def test_nothing_runs_and_nobody_gets_in(system: System, within: float) -> None:
    before, services = system.token, credentials(system)
    assert system.http("GET", "/agents/status", token=before)[0] == 200
    pids = crowd(system)
    done = system.ask("isolate", "--reason", "a stranger")
    alive = sorted(pid for pid in pids if lives(pid))
    print(
        f"isolated within {done['seconds']} s: {done['processes_ended']} processes, {done['processes_killed']} killed"
    )
    assert (alive, of_agents(system.root), read_running(system.workspace)) == ([], [], None)
    assert closed(system)
    assert done["seconds"] <= within
    assert (done["isolated"], done["tokens_revoked"], done["faults"]) == (True, 5, [])
    assert before != system.token
    assert not set(credentials(system)) & set(services)


@pytest.mark.long
def test_the_old_tokens_open_nothing_and_the_way_back_leads_back(system: System) -> None:
    other = system.ask("token", "issue", "--name", "elsewhere", "--scopes", "read,admin")["token"]
    before = system.token
    assert [system.http("GET", "/agents/status", token=token)[0] for token in (before, other)] == [200, 200]
    crowd(system)
    assert system.ask("isolate", "--reason", "a stranger")["tokens_revoked"] == 6
    done = system.ask("isolate")
    assert (done["isolated"], done["processes_ended"], done["tokens_revoked"]) == (True, 0, 5)
    system.up()
    assert [system.http("GET", "/agents/status", token=token)[0] for token in (before, other)] == [401, 401]
    assert system.http("GET", "/agents/status", token=system.token)[0] == 200
    good = [one for one in system.ask("token", "list")["tokens"] if one["name"] != "git hooks"]
    names = ["service coordinator", "service gateway", "service runner", "service safety", "user"]
    assert sorted(one["name"] for one in good) == names
    acts = [one for one in system.ask("audit", "--limit", "50")["records"] if one["act"] == "isolate"]
    assert [one["reason"] for one in acts] == ["isolated by hand", "a stranger"]
    assert system.quantum("audit", "--verify").code == 0
    assert of_agents(system.root) == [], "the order to stop stands"
    assert marks(system)["emergency stop"] == "WARN"
    system.quantum(*done["way_back"][1].split()[1:], code=0)
    system.until(lambda: of_agents(system.root), what="what waited runs again after the way back")


@pytest.mark.long
def test_with_safety_hung_and_a_database_gone_it_says_what_is_missing(system: System) -> None:
    safety = system.running.processes["safety"]
    os.kill(safety.pid, signal.SIGSTOP)
    pids = crowd_of_one(system)
    kept = system.workspace.safety_db.with_suffix(".kept")
    system.workspace.safety_db.rename(kept)
    done = system.quantum("isolate", "--json", code=70).document
    assert sorted(pid for pid in pids if lives(pid)) == []
    assert closed(system)
    assert done["tokens_revoked"] is None
    assert "safety.db" in done["faults"][0]
    print(f"with safety hung: {done['seconds']} s, {done['faults']}")
    assert done["seconds"] <= WITHIN_SECONDS
    assert marks(system)["emergency stop"] == "FAIL", "it was cut short"
    kept.rename(system.workspace.safety_db)
    assert system.ask("isolate")["tokens_revoked"] == 5
    assert marks(system)["emergency stop"] == "WARN"


def crowd_of_one(system: System) -> set[int]:
    return {one.pid for one in targets(system.workspace).values()}


@pytest.mark.long
def test_cut_short_anywhere_it_is_brought_to_its_end(workspace: System) -> None:
    """kill -9 at 20 moments; the next one ends it, and only its tokens are good."""
    system, cut, chance = workspace, 0, random.Random(6)
    tokens = {system.token}
    for _ in range(20):
        started = system.start("isolate", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            started.wait(0.2 + 1.6 * chance.random())
        except subprocess.TimeoutExpired:
            started.kill()
            cut += 1
        started.wait()
        tokens.add(system.token)
    assert system.ask("isolate")["isolated"]
    tokens.add(system.token)
    system.up()
    good = [token for token in tokens if system.http("GET", "/agents/status", token=token)[0] == 200]
    print(f"cut short {cut} of 20 times; {len(tokens)} tokens were in the keychain, {len(good)} is good")
    assert cut > 0
    assert good == [system.token]
