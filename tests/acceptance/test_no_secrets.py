"""No secret in databases, logs, arguments, environments or exports; and the same search finds what is not protected."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from foundation.secrets import AGENT_SECRET, DATABASE_KEY, open_secret_store, service_account, user_account
from foundation.sqlite.connection import Location, connect
from tests.acceptance.canaries import Find, in_files, in_processes, secrets_of
from tests.acceptance.system import System

PARAM, OUTPUT, ENVIRONMENT = "canary-param-5ae1", "canary-output-77c2", "canary-environment-9d04"
SLEEPS = "while [ -e go ]; do sleep 0.1; done"


@pytest.fixture
def system() -> Iterator[System]:
    made = System.make({})
    made.environ["CANARY_ENV"] = ENVIRONMENT
    made.init()
    yield made
    made.end()


def while_it_runs(system: System, agent: str, *words: str, kept: Path | None = None) -> set[Find]:
    """Run an agent until its processes have been searched; what was found. `kept`: where it puts its credential."""
    gate = system.root / "go"
    gate.touch()
    task = system.ask("submit", agent, *words)["tasks"][0]["id"]
    system.until(lambda: (system.root / f"began-{agent}").exists(), what=f"{agent} began")
    wanted = {**secrets_of(system), "param": PARAM, "environment": ENVIRONMENT}
    if kept is not None:
        wanted["attempt's credential"] = kept.read_text().strip()
    found = in_processes(system, wanted)
    gate.unlink()
    system.until(lambda: system.task(task)["state"] == "succeeded", what=f"{agent} ended")
    return found


def test_no_secret_is_anywhere_and_the_search_would_find_it(system: System, tmp_path: Path) -> None:
    secrets = secrets_of(system)
    alert = "canary-alert-31f0-secret"
    store = open_secret_store(system.workspace, system.environ)
    store.set(AGENT_SECRET, service_account(system.workspace, "hook"), alert)
    system.up()
    issued = system.ask("token", "issue", "--name", "ci", "--scopes", "read")["token"]
    secrets |= {"issued token": issued, "alert secret": alert}

    # An agent that prints what it must not, and one to which everything was told that may be told.
    elsewhere = tmp_path / "token"
    elsewhere.write_text(secrets["user token"] + "\n")
    kept = tmp_path / "credential"
    body = f'cp "$QUANTUM_CREDENTIAL" {kept}\ntouch began-leaky\n{SLEEPS}\ncat {elsewhere} {kept}\necho\necho {OUTPUT}'
    system.agent("leaky", body, 'uses = ["cloud:openai"]')
    system.agent(
        "open",
        f"touch began-open\n{SLEEPS}",
        'env = ["CANARY_ENV"]',
        "params_as_arguments = true",
    )
    leaky = while_it_runs(system, "leaky", "--param", f"password={PARAM}", kept=kept)
    secrets["attempt's credential"] = kept.read_text().strip()
    told = while_it_runs(system, "open", "--param", f"password={PARAM}")
    mistakes(system, issued)
    system.quantum("token", "revoke", system.ask("token", "list")["tokens"][-1]["id"], code=0)
    system.until(lambda: OUTPUT in logged(system), what="the output is logged")
    system.until(lambda: "leaky" in (system.root / "task_queue.json").read_text(), what="the queue is exported")
    running = in_files(system.folder, secrets | {"param": PARAM})
    system.quantum("down", code=0)

    assert {find for find in leaky if "environment of" not in find.place or find.secret != "environment"} == set()
    assert running == set()
    assert in_files(system.folder, secrets | {"param": PARAM}) == set()

    # The same search with each protection off.
    assert {find.secret for find in told if "argv" in find.place} == {"param"}
    agents = [find for find in told if "environment of" in find.place and "open" in find.place]
    assert {find.secret for find in agents} == {"environment"}
    assert Find("output", "ws/logs/agent_leaky.log") in in_files(system.folder, {"output": OUTPUT})
    assert Find("agent", "ws/task_queue.json") in in_files(system.folder, {"agent": "leaky"})
    plain = decrypted(system, tmp_path / "plain")
    assert in_files(plain, {"param": PARAM}) == {Find("param", "coordinator.db")}
    # Even to somebody with the databases' key: no token and no key lies in them.
    assert in_files(plain, secrets) == set()
    for name, secret in secrets.items():
        (plain / "note").write_text(f"… {secret} …")
        assert in_files(plain, {name: secret}) == {Find(name, "note")}


def mistakes(system: System, token: str) -> None:
    """A token where it does not belong: in an address, in a reason, in a param's name; a wrong one in the header."""
    request = urllib.request.Request(f"{system.url}/agents/status?token={token}", headers={"X-Auth-Token": f"{token}x"})
    with pytest.raises(urllib.error.HTTPError):
        urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=60)
    system.quantum("breaker", "force-open", "agent:x", "--reason", f"because {token}", code=0)
    system.quantum("queue", "pause", "--reason", f"because {token}", code=0)
    system.quantum("queue", "resume", code=0)


def logged(system: System) -> str:
    path = system.workspace.logs / "agent_leaky.log"
    return path.read_text() if path.exists() else ""


def decrypted(system: System, folder: Path) -> Path:
    """Copies of the databases without their protection."""
    text = open_secret_store(system.workspace, system.environ).get(DATABASE_KEY, user_account(system.workspace))
    assert text is not None
    folder.mkdir()
    for path in (system.workspace.coordinator_db, system.workspace.safety_db):
        source = connect(Location(path=path, key=bytes.fromhex(text)))
        lines = []
        for (table,) in source.execute("select name from sqlite_schema where type = 'table'").fetchall():
            lines += [json.dumps(row, default=_text) for row in source.execute(f"select * from {table}")]
        source.close()
        (folder / path.name).write_text("\n".join(lines))
    return folder


def _text(value: object) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)
