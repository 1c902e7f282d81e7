"""Secrets planted wherever a person may put one, looked for in all that is written, made and sent: nowhere are they."""

from __future__ import annotations

import json
import shutil
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from cli.backups.archive import unpack
from cli.backups.checking import ENTRIES
from cli.workspace.settling import open_entries
from foundation.secrets import AGENT_SECRET, DATABASE_KEY, open_secret_store, user_account
from tests.acceptance.canaries import Find, in_files, in_processes, secrets_of
from tests.acceptance.system import System

KEY = "sk-proj-canary-9d04-" + "A1b2C3d4E5f6" * 3
"""As a provider's looks."""
PARAM, HIDDEN, ENVIRONMENT = "canary-param-5ae1-aaaa", "canary-hidden-31f0-bbbb", "canary-environment-77c2-cccc"
HOOK = "https://hooks.example.org/services/T0CANARY/B0CANARY/x1y2z3canaryz9"
DIES = 'cat "$QUANTUM_SECRETS/openai" >&2; echo; cat "$QUANTUM_PARAMS"; cat "$QUANTUM_CREDENTIAL"; exit 3'


@pytest.fixture
def system() -> Iterator[System]:
    made = System.make({})
    made.environ["CANARY_ENV"] = ENVIRONMENT
    made.init()
    yield made
    made.end()


def planted(system: System) -> dict[str, str]:
    """A key in the keychain, in params that are secret and such that are not, in the environment, in a channel."""
    system.quantum("secret", "set", "openai", given=f"{KEY}\n", code=0)
    channel = {"channels": {"webhook": {"url": HOOK, "level": "info"}}}
    (system.workspace.config_file.parent / "alert_config.json").write_text(json.dumps(channel))
    system.agent("dies", DIES, 'secrets = ["openai"]', 'secret_params = ["password"]', 'env = ["CANARY_ENV"]')
    return {**secrets_of(system), "key": KEY, "hidden param": HIDDEN, "environment": ENVIRONMENT}


def bundle_of(system: System, folder: Path) -> Path:
    """What `doctor --bundle` packs, unpacked."""
    system.quantum("doctor", "--bundle", str(folder.with_suffix(".tar.gz")))
    with tarfile.open(folder.with_suffix(".tar.gz")) as archive:
        archive.extractall(folder, filter="data")
    return folder


@pytest.mark.long
@pytest.mark.timeout(600)
def test_planted_secrets_are_in_no_bundle_backup_export_or_error_file(system: System, tmp_path: Path) -> None:
    wanted = planted(system)
    system.up()
    task = system.ask("submit", "dies", "--param", f"password={HIDDEN}", "--param", f"user={PARAM}")["tasks"][0]["id"]
    system.until(lambda: system.task(task)["state"] in ("failed", "dead"), what="it died")
    errors = system.until(lambda: [*(system.workspace.logs / "errors").glob("*.txt")], what="an error file")
    wanted |= {"issued": system.ask("token", "issue", "--name", "ci", "--scopes", "read")["token"]}
    system.quantum("breaker", "force-open", "agent:dies", "--reason", f"because of {wanted['issued']}", code=0)
    assert system.quantum("alerts", "test").code == 1, "nobody listens there"
    made = Path(system.ask("backup", "create")["backup"]["path"])
    places = {"bundle": bundle_of(system, tmp_path / "bundle"), "errors": errors[0].parent, "backups": made.parent}
    places["exports"] = tmp_path / "exports"
    places["exports"].mkdir()
    for name in ("agent_status.json", "task_queue.json"):
        shutil.copyfile(system.root / name, places["exports"] / name)
    found = {name: in_files(folder, wanted) for name, folder in places.items()}
    # What the owner has written open into a file of his own, or asked to be told to a script, goes nowhere either.
    open_ones = {"hook": HOOK.rpartition("/")[2], "param": PARAM}
    found |= {f"{name}, open": in_files(places[name], open_ones) for name in ("bundle", "backups", "exports")}
    found["logs"] = in_files(system.workspace.logs, {"hook": open_ones["hook"]})
    processes = in_processes(system, {name: text for name, text in wanted.items() if name != "environment"})
    system.quantum("isolate", code=0)
    wanted |= {f"{name}, after isolate": text for name, text in secrets_of(system).items()}
    system.quantum("restore", "latest", code=0)
    wanted |= {f"{name}, after the restore": text for name, text in secrets_of(system).items()}
    places["after"] = bundle_of(system, tmp_path / "after")
    found |= {"after": in_files(places["after"], wanted), "everything": in_files(system.root, wanted)}
    of_files = {name: sum(path.is_file() for path in folder.rglob("*")) for name, folder in places.items()}
    print(f"{len(wanted)} secrets, looked for in {of_files} files: {sum(map(len, found.values()))} found")
    assert min(of_files.values()) >= 1 and all(where == set() for where in found.values()), found
    assert processes == set()
    assert "•••" in errors[0].read_text()
    controls(system, made, wanted, tmp_path)


def controls(system: System, made: Path, wanted: Mapping[str, str], tmp_path: Path) -> None:
    """The same search where there is something to find: what the key opens, and a note."""
    store = open_secret_store(system.workspace, system.environ)
    key = bytes.fromhex(store.get(DATABASE_KEY, user_account(system.workspace)) or "")
    inside = tmp_path / "inside"
    inside.mkdir()
    unpack(made, key, inside, made.stem)
    (inside / "entries").write_text(json.dumps(open_entries(inside / ENTRIES, key)))
    assert Find("key", "entries") in in_files(inside, wanted)
    assert any(service == AGENT_SECRET for service, _, _ in open_entries(inside / ENTRIES, key))
    for name, secret in wanted.items():
        (inside / "note").write_text(f"… {secret} …")
        assert Find(name, "note") in in_files(inside, wanted)
