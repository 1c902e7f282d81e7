"""A backup while work comes in; everything deleted; restored with the recovery key alone: as it was."""

from __future__ import annotations

import asyncio
import json
import random
import re
import shutil
import statistics
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from time import perf_counter

import pytest

from cli.offline import SERVICES, ask_all, database_in
from clients.coordinator import CoordinatorClient
from clients.coordinator_values import TaskSpec
from foundation.secrets import AUDIT_KEY, DATABASE_KEY, USER_TOKEN, open_secret_store, user_account
from tests.acceptance.conftest import MakeSystem
from tests.acceptance.system import System
from tests.waiting import until

RATE, OFTEN = 200, 50
"""Submits per second: in the long ring, and ordinarily."""
WATCHED_SECONDS = 1.0
KILLS = 50


class Submitting:
    """So many submits a second, each answered or failed, in a thread with a loop of its own."""

    def __init__(self, system: System, rate: float) -> None:
        self._rate = rate
        self._socket, self._token = system.workspace.socket("coordinator"), system.token
        self._over = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)
        self.answered: list[tuple[float, float, str]] = []
        """When it was sent, how long the answer took, and the task's id."""
        self.failed: list[BaseException] = []

    def took(self, since: float, until: float) -> list[float]:
        """Seconds that those took which were sent in between, in order of size."""
        return sorted(seconds for at, seconds, _ in self.answered if since <= at < until)

    async def _run(self) -> None:
        async with (
            CoordinatorClient.dial(self._socket, token=lambda: self._token) as client,
            asyncio.TaskGroup() as all,
        ):
            begun = perf_counter()
            sent = 0
            while not self._over.is_set():
                while sent < (perf_counter() - begun) * self._rate:
                    all.create_task(self._submit(client))
                    sent += 1
                await asyncio.to_thread(self._over.wait, 0.002)

    async def _submit(self, client: CoordinatorClient) -> None:
        at = perf_counter()
        try:
            submitted = await client.submit([TaskSpec(agent="held")], deadline=timedelta(seconds=60))
        except BaseException as error:  # noqa: BLE001 - counted
            self.failed.append(error)
            return
        self.answered.append((at, perf_counter() - at, submitted.tasks[0].id))

    def __enter__(self) -> Submitting:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join(90)


def prepared(system: System) -> str:
    """A system with something to lose; the recovery key."""
    shown = system.quantum("init", code=0).out
    found = re.search(r"(?:[0-9a-f]{8}-){7}[0-9a-f]{8}", shown)
    assert found is not None
    system.agent("held", "exit 0", 'effects = "idempotent"')
    system.up()
    system.quantum("breaker", "force-open", "agent:held", "--reason", "kept shut", code=0)
    system.quantum("mode", "guarded", "--reason", "as it was", code=0)
    system.quantum("spend", "cap", "fleet", "3", "--per", "day", "--reason", "enough", code=0)
    system.quantum("token", "issue", "--name", "ann", "--scopes", "read", code=0)
    return found[0]


def standing(system: System) -> dict[str, object]:
    """What must be the same afterwards."""
    tokens = {(one["id"], one["name"], tuple(one["scopes"])) for one in system.ask("token", "list")["tokens"]}
    breakers = {one["scope"]: (one["state"], one["reason"]) for one in system.ask("breaker", "list")["breakers"]}
    mode, spend = system.ask("mode", "show"), system.ask("spend")
    return {"tokens": tokens, "breaker": breakers["agent:held"], "mode": mode, "caps": spend.get("caps")}


def look(system: System, seconds: float, rate: float) -> tuple[str, str, Submitting, tuple[float, float]]:
    """Make a backup under load; the recovery key, the backup's file, who submitted, and between which moments."""
    key = prepared(system)
    with Submitting(system, rate) as submitting:
        threading.Event().wait(seconds)
        until(lambda: len(submitting.answered) >= 10, "ten are answered")
        began = perf_counter()
        made = system.ask("backup", "create")["backup"]
        ended = perf_counter()
        threading.Event().wait(min(seconds, 0.5))
        until(lambda: len(submitting.took(began, ended)) >= 10, "ten that were sent meanwhile are answered")
    assert submitting.failed == []
    assert made["good"] is True
    return key, made["path"], submitting, (began, ended)


def compare(system: System, seconds: float, rate: float) -> None:
    """The whole of it: under load, deleted, put back, compared."""
    key, path, submitting, (began, ended) = look(system, seconds, rate)
    before, token = standing(system), system.token
    acts = [(one["number"], one["act"], one["digest"]) for one in system.ask("audit", "--limit", "500")["records"]]
    system.quantum("down", code=0)
    kept = system.folder / Path(path).name
    shutil.copyfile(path, kept)
    shutil.rmtree(system.workspace.state)
    words = ("restore", str(kept), "--recovery-key", "--tokens", "as-then", "--json")
    done = json.loads(system.quantum(*words, given=key, code=0).out)
    system.up()
    assert system.token == token
    assert standing(system) == before
    verdict = system.ask("audit", "--verify")
    after = {one["number"]: (one["act"], one["digest"]) for one in system.ask("audit", "--limit", "500")["records"]}
    in_backup = [act for act in acts if act[0] in after and act[1] != "backup_snapshot"]
    assert len(in_backup) >= 5
    assert all(after[number] == (act, digest) for number, act, digest in in_backup)
    assert verdict["good"] is True
    found = system.ask("queue", "stats")
    queued = done["open_tasks"]["queued"]
    sure = {task for at, took, task in submitting.answered if at + took < began}
    possible = {task for at, _, task in submitting.answered if at < ended}
    assert len(sure) <= queued <= len(possible)
    assert found["counts"]["queued"] == queued, found
    for task in random.Random(1).sample(sorted(sure), 2):
        assert system.task(task)["state"] == "queued"
    idle, during = submitting.took(0, began), submitting.took(began, ended)
    print(
        f"{len(submitting.answered)} submits, {queued} in the backup; answered in the median (99 %) in "
        f"{_ms(idle, 0.5)} ({_ms(idle, 0.99)}) ms before, {_ms(during, 0.5)} ({_ms(during, 0.99)}) ms, at most "
        f"{during[-1] * 1e3:.0f} ms, during {ended - began:.1f} s of backup"
    )


def _ms(seconds: Sequence[float], share: float) -> str:
    return f"{statistics.quantiles(seconds, n=1000)[int(share * 1000) - 1] * 1e3:.1f}"


def have_the_agent_make_one(system: System) -> None:
    """With the credential of its attempt, which opens nothing else."""
    system.quantum("run", "backup", code=0, timeout=180)
    (entry,) = system.ask("backup", "list")["backups"]
    assert entry["good"] is True
    acts = [one for one in system.ask("audit")["records"] if one["act"] == "backup_snapshot"]
    assert len(acts) == 1 and acts[0]["actor"].startswith("attempt ")


def test_under_submits_it_is_good_and_brings_everything_back(make_system: MakeSystem) -> None:
    system = make_system()
    compare(system, WATCHED_SECONDS, OFTEN)
    have_the_agent_make_one(system)


@pytest.mark.long
@pytest.mark.timeout(600)
def test_under_a_minute_of_submits(make_system: MakeSystem) -> None:
    compare(make_system(), 60, RATE)


@contextmanager
def _aside(system: System) -> Iterator[Path]:
    """A copy of `.quantum`, to begin each round from the same state."""
    copy = system.folder / "aside"
    shutil.copytree(system.workspace.state, copy, symlinks=True)
    yield copy


def _print_of(system: System) -> tuple[object, ...]:
    """What lies there now: both databases byte for byte, and the secrets that go with them."""
    secrets, root = open_secret_store(system.workspace, system.environ), user_account(system.workspace)
    files = [path.read_bytes() for path in (system.workspace.coordinator_db, system.workspace.safety_db)]
    return (*files, *(secrets.get(service, root) for service in (DATABASE_KEY, USER_TOKEN, AUDIT_KEY)))


def _is_sound(system: System) -> bool:
    """Whether both databases open with the key that is there, and the log with its checkpoint."""
    secrets, root = open_secret_store(system.workspace, system.environ), user_account(system.workspace)
    copies = system.folder / "look"
    shutil.rmtree(copies, ignore_errors=True)
    # A process of a restore that was killed may be at work there still, to no effect.
    shutil.copytree(system.workspace.state, copies, symlinks=True, ignore=shutil.ignore_patterns("restoring-*"))
    keys = {"key": secrets.get(DATABASE_KEY, root), "audit": str(copies / "audit"), "counts": None}
    keys["audit_key"] = secrets.get(AUDIT_KEY, root)
    asked = {service: {"path": str(database_in(copies, service)), **keys} for service in SERVICES}
    said = ask_all("check-copy", system.workspace, system.environ, asked)
    return all(one == {"faults": [], "notes": []} for one in said.values())


def _wait(child: subprocess.Popen[bytes], seconds: float) -> None:
    with suppress(subprocess.TimeoutExpired):
        child.wait(seconds)


@pytest.mark.long
@pytest.mark.timeout(1_200)
def test_killed_anywhere_the_old_state_holds_or_the_new_one(make_system: MakeSystem) -> None:
    system = make_system(backup_folder="../kept").init()
    system.quantum("backup", "create", code=0)
    store = open_secret_store(system.workspace, system.environ)
    of_backup = store.get(USER_TOKEN, user_account(system.workspace))
    store.set(USER_TOKEN, user_account(system.workspace), "the one since then")
    chance, states = random.Random(4), {"old": 0, "new": 0}
    with _aside(system) as copy:
        whole = perf_counter()
        system.quantum("restore", "latest", code=0)
        whole = perf_counter() - whole
        for _ in range(KILLS):
            shutil.rmtree(system.workspace.state, ignore_errors=True)
            shutil.copytree(copy, system.workspace.state, symlinks=True, dirs_exist_ok=True)
            before = _print_of(system)
            child = system.start("restore", "latest")
            # Most of the time is spent before anything is touched; half of the kills fall where it is.
            if chance.random() < 0.5:
                _wait(child, chance.uniform(0, whole))
            else:
                while child.poll() is None and not [*system.workspace.state.glob("restoring-*/keychain.sealed")]:
                    _wait(child, 0.001)
                _wait(child, chance.uniform(0, 0.2))
            if child.poll() is None:
                child.kill()
            child.communicate()
            system.quantum("backup", "list", code=0)  # whoever comes next
            after = _print_of(system)
            state = "old" if after == before else "new"
            assert after[3] == ("the one since then" if state == "old" else of_backup)
            assert _is_sound(system)
            states[state] += 1
    assert min(states.values()) >= 5, states
    print(f"killed {KILLS} times within {whole:.1f} s: {states}, none between")


@pytest.mark.long
@pytest.mark.timeout(600)
def test_after_isolate_it_comes_back_stopped_and_shuts_out_whom_isolate_has_shut_out(make_system: MakeSystem) -> None:
    """The whole way of a night on which somebody was in: isolated, put back, up again, let go by a person."""
    system = make_system()
    prepared(system)
    ann = system.ask("token", "issue", "--name", "ann since", "--scopes", "read")["token"]
    own = system.token
    assert [system.http("GET", "/agents/status", token=token)[0] for token in (ann, own)] == [200, 200]
    system.quantum("backup", "create", code=0)
    system.quantum("spend", "cap", "fleet", "1", "--per", "day", "--reason", "less", code=0)
    system.quantum("breaker", "force-open", "agent:other", "--reason", "it mails customers", code=0)
    system.quantum("isolate", "--reason", "a token was seen in a chat", code=0)
    done = json.loads(system.quantum("restore", "latest", "--json", code=0).out)
    assert done["revocations_unknown"] is None and done["mode"] == "STOPPED" and done["new_tokens"] == 5
    system.up()
    shut_out = [system.http("GET", "/agents/status", token=token)[0] for token in (ann, own)]
    assert shut_out == [401, 401] and system.http("GET", "/agents/status")[0] == 200
    assert system.ask("mode", "show")["mode"]["mode"] == "STOPPED"
    breakers = {one["scope"]: one["reason"] for one in system.ask("breaker", "list")["breakers"]}
    assert breakers["agent:other"] == "it mails customers"
    (record,) = [one for one in system.ask("audit")["records"] if one["act"] == "restore"]
    assert "revoked or replaced since" in record["after"]
    assert system.ask("audit", "--verify")["good"] is True
    system.quantum("resume", code=0)
    system.quantum("run", "backup", code=0, timeout=180)
    print(f"what was carried over: {done['carried']}")
