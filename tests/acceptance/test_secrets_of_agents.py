"""A script that prints its secret in every form, byte by byte, leaves no trace of it; without masking it would."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.acceptance.canaries import Find, in_files, in_processes
from tests.acceptance.system import System
from tests.acceptance.test_no_secrets import decrypted

SECRET = 'canary "5ae1/77c2" äß+9d04 for the model'
_ENDS = ("succeeded", "failed", "dead")
OTHER = "canary-31f0-that-was-not-asked-for"

PRINTS = """
import base64, json, os, sys, time, urllib.parse
secret = open(os.environ["QUANTUM_SECRETS"] + "/openai").read()
forms = [secret, json.dumps(secret), json.dumps(secret, ensure_ascii=False), urllib.parse.quote(secret, safe=""),
         urllib.parse.quote(secret).lower(), secret.encode().hex()]
for before in range(3):
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        forms.append(encode(b"x" * before + secret.encode()).decode())
forms += [base64.encodebytes(b"Authorization: Basic user of the model " + secret.encode()).decode()]
print(len(forms), "forms", flush=True)
for form in forms:
    for byte in form.encode() + b"\\n":
        os.write(1, bytes([byte]))
for line in range(5_000):
    print(line, forms[line % len(forms)])
json.dump({"type": "canary", "summary": secret, "data": {"url": forms[3]}}, open(os.environ["QUANTUM_REPORT"], "w"))
print("printed all", flush=True)
while os.path.exists(os.environ["QUANTUM_WORKSPACE"] + "/go"):
    time.sleep(0.05)
"""


@pytest.fixture
def system() -> Iterator[System]:
    made = System.make({}).init()
    yield made
    made.end()


def _forms(secret: str) -> Mapping[str, str]:
    """What to look for, in the words of this test; of base64 what no neighbour decides."""
    data = secret.encode()
    return {
        "as it is": secret,
        "json": json.dumps(secret)[1:-1],
        "url": quote(secret, safe=""),
        "url, lower": quote(secret).lower(),
        "hex": data.hex(),
        **{f"base64 {before}": base64.b64encode(b"x" * before + data).decode()[4:-4] for before in range(3)},
    }


def _agent(system: System, name: str, *manifest: str) -> None:
    path = system.workspace.agents / f"{name}.py"
    head = ["#!/usr/bin/env python3", "# /// script", "# [tool.quantum]", *(f"# {line}" for line in manifest), "# ///"]
    path.write_text("\n".join(head) + PRINTS)
    path.chmod(0o755)


def _audited(system: System, act: str) -> list[str]:
    """What an act was done to, each time."""
    return [one["target"] for one in system.ask("audit")["records"] if one["act"] == act]


def _found(folder: Path) -> set[str]:
    return {find.secret for find in in_files(folder, _forms(SECRET))}


def test_a_secret_leaves_no_trace_in_whatever_form_it_is_printed(system: System, tmp_path: Path) -> None:
    for name, secret in (("openai", SECRET), ("other", OTHER)):
        said = system.quantum("secret", "set", name, given=f"{secret}\n", code=0)
        assert secret not in said.out + said.err
    assert [one["name"] for one in system.ask("secret", "list")["secrets"]] == ["openai", "other"]
    gate = system.root / "go"
    gate.touch()
    _agent(system, "leaky", 'secrets = ["openai"]')
    system.agent("greedy", "exit 0", 'secrets = ["openai", "missing"]')
    system.up()
    targets = ["secret openai", "secret other"]
    system.until(lambda: sorted(_audited(system, "secret_set")) == targets, what="both are recorded")
    task = system.ask("submit", "leaky")["tasks"][0]["id"]
    log = system.workspace.logs / "agent_leaky.log"
    system.until(lambda: log.exists() and "printed all" in log.read_text(), what="it has printed all")

    followed = system.quantum("logs", task, code=0).out
    running = {find for find in in_files(system.root, _forms(SECRET)) if "/slots/" not in find.place}
    processes = in_processes(system, {**_forms(SECRET), "other": OTHER})
    gate.unlink()
    ended = system.until(lambda: (one := system.task(task))["state"] == "succeeded" and one, what="it ended")
    refused = system.ask("submit", "greedy")["tasks"][0]["id"]
    dead = system.until(lambda: (one := system.task(refused))["state"] == "dead" and one, what="it is refused")
    reports = json.dumps(system.ask("reports"), ensure_ascii=False)
    system.quantum("down", code=0)
    plain = decrypted(system, tmp_path / "plain")

    marks = log.read_text().count("•••")
    print(f"{marks} marks in {log.stat().st_size} bytes of log; {len(followed)} characters followed; {dead['reason']}")
    assert marks > 1_000 and "•••" in followed and "•••" in ended["output_tail"] and "•••" in reports
    assert running == set() and processes == set()
    assert in_files(system.root, {**_forms(SECRET), "other": OTHER}) == set()
    shown = followed + json.dumps(ended, ensure_ascii=False) + reports
    assert [name for name, form in _forms(SECRET).items() if form in shown] == []
    assert in_files(plain, _forms(SECRET)) == set(), "not even to somebody with the databases' key"
    assert "quantum secret set missing" in dead["reason"]


@pytest.mark.long
def test_the_same_search_finds_every_form_where_nothing_is_masked(system: System) -> None:
    """The control: the secret comes from a file of the script's own, of which nobody knows that it is one."""
    (system.root / "openai").write_text(SECRET)
    _agent(system, "leaky")
    path = system.workspace.agents / "leaky.py"
    path.write_text(path.read_text().replace('os.environ["QUANTUM_SECRETS"]', 'os.environ["QUANTUM_WORKSPACE"]'))
    system.up()
    system.quantum("run", "leaky", code=0)
    (system.root / "openai").unlink()
    assert _found(system.workspace.logs) == set(_forms(SECRET))
    assert Find("as it is", ".quantum/coordinator.db") not in in_files(system.root, _forms(SECRET)), "it is encrypted"


def test_a_secret_param_is_seen_by_its_script_alone(system: System) -> None:
    body = 'grep -q canary-param "$QUANTUM_PARAMS" || exit 3; [ $# = 2 ] || exit 4; cat "$QUANTUM_PARAMS"; exit 0'
    system.agent("login", body, 'secret_params = ["password"]', "params_as_arguments = true")
    system.agent("open", body.replace("2", "4"), "params_as_arguments = true")
    system.up()
    shown = {}
    for name in ("login", "open"):
        said = system.quantum(
            "submit", name, "--param", "password=canary-param", "--param", "user=ada", "--json", code=0
        )
        task = said.document["tasks"][0]["id"]
        ended = _ended(system, task)
        assert ended["state"] == "succeeded", ended
        shown[name] = {
            "submit": said.out,
            "task": system.quantum("tasks", task).out,
            "tasks": system.quantum("tasks", "--json").out if name == "login" else "",
            "agents": system.quantum("agents", name, "--json").out,
            "output": system.quantum("logs", task).out,
            "log": system.until(lambda: _log_of(system, task), what="its log"),  # noqa: B023
            "http": json.dumps(system.http("GET", f"/tasks/{task}"), ensure_ascii=False),
        }
    assert [door for door, text in shown["login"].items() if "canary-param" in text] == []
    assert [door for door, text in shown["login"].items() if "•••" not in text] == []
    # The control: the same param where no manifest calls it secret.
    assert [door for door, text in shown["open"].items() if "canary-param" not in text] == ["tasks"]


def _log_of(system: System, task_id: str) -> str:
    """What an agent's log has of a task; empty as long as its output is not there."""
    logs = [path.read_text() for path in system.workspace.logs.glob("agent_*.log")]
    return next((text for text in logs if task_id in text), "")


def _ended(system: System, task_id: str) -> Mapping[str, object]:
    def look() -> Mapping[str, object] | None:
        task: Mapping[str, object] = system.task(task_id)
        return task if task["state"] in _ENDS else None

    return system.until(look, what="it ended")
