"""The command line against a real system: what the issue asks to be shown."""

from __future__ import annotations

import json
import os
import pty
import signal
import socket
import subprocess
from collections.abc import Callable

import pytest

from cli.processes.identity import of_agents
from tests.acceptance.system import System
from tests.waiting import PATIENCE_SECONDS

TEN_LINES = 'for i in 1 2 3 4 5 6 7 8 9 10; do echo "line $i"; done'
HOLDS = "echo started; sleep 300 & wait"


def test_run_exits_with_the_agents_own_code_and_shows_its_output(shared: System) -> None:
    shared.agent("seven", f"{TEN_LINES}\nexit 7")
    done = shared.quantum("run", "seven", code=7)
    assert done.out == "".join(f"line {number}\n" for number in range(1, 11))
    assert "exit 7" in done.err


def test_output_comes_while_the_agent_still_runs(shared: System) -> None:
    gate = shared.root / "gate"
    os.mkfifo(gate)
    shared.agent("waits", f'echo "before"; read word < "{gate}"; echo "after $word"')
    running = shared.start("run", "waits")
    assert running.stdout is not None
    assert running.stdout.readline() == b"before\n"
    # The agent blocks until somebody opens the gate, so that "before" was printed by a living process.
    gate.write_text("open\n")
    assert running.stdout.read() == b"after open\n"
    assert running.wait(PATIENCE_SECONDS) == 0


def test_ctrl_c_cancels_and_returns_when_the_process_is_gone(shared: System) -> None:
    shared.agent("holds", HOLDS)
    running = shared.start("run", "holds")
    assert running.stdout is not None
    assert running.stdout.readline() == b"started\n"
    assert of_agents(shared.root)
    running.send_signal(signal.SIGINT)
    assert running.wait(PATIENCE_SECONDS) == 130
    assert of_agents(shared.root) == []
    tasks = shared.ask("tasks", "--agent", "holds")["tasks"]
    assert tasks[0]["state"] == "cancelled"


def test_bytes_are_left_as_they_are(shared: System) -> None:
    shared.agent("umlaut", "printf 'no newline, \\303\\274'")
    done = subprocess.run(
        shared.argv("run", "umlaut"), cwd=shared.root, env=shared.environ, capture_output=True, check=True
    )
    assert done.stdout == b"no newline, \xc3\xbc"


def test_a_live_line_is_drawn_on_a_terminal_only(shared: System) -> None:
    shared.agent("holds", HOLDS)
    outer, inner = pty.openpty()
    running = shared.start("run", "holds", stderr=inner)
    os.close(inner)
    seen = b""
    while b"holds running" not in seen:
        seen += os.read(outer, 4096)
    running.send_signal(signal.SIGINT)
    while (more := _read_on(outer)) is not None:
        seen += more
    assert running.wait(PATIENCE_SECONDS) == 130
    assert b"cancelled" in seen
    os.close(outer)


def _read_on(descriptor: int) -> bytes | None:
    try:
        return os.read(descriptor, 4096) or None
    except OSError:  # the other end of a terminal has closed
        return None


def test_run_as_the_runbook_types_it(shared: System) -> None:
    project = shared.folder / "HabitQuest"
    project.mkdir(exist_ok=True)
    shared.quantum("projects", "add", "HabitQuest", str(project), code=0)
    shared.agent("where", 'pwd; cat "$QUANTUM_PARAMS"')
    shared.until(lambda: "where" in {agent["name"] for agent in shared.ask("agents")["agents"]})
    done = shared.quantum("run", "--task", "where", "--project", "HabitQuest", "--param", "mode=fast", code=0)
    assert done.out.splitlines()[0] == str(project)
    done = shared.quantum("run", "--agent", "where", "--params", '{"a": [1]}', code=0)
    assert json.loads(done.out.splitlines()[1]) == {"a": [1]}
    refused = shared.quantum("run", "where", "--project", "HabitQest", code=66)
    assert "HabitQuest" in refused.err


def test_json_is_one_document_also_when_it_fails(shared: System) -> None:
    shared.agent("seven", "exit 7")
    document = shared.quantum("run", "seven", "--json", code=7).document
    assert (document["exit_code"], document["task"]["state"]) == (7, "failed")
    refused = shared.quantum("run", "sevn", "--json", code=66)
    assert refused.document["error"]["code"] == "unknown_agent"
    assert refused.err == ""
    mistyped = shared.quantum("run", "--json", code=2)
    assert mistyped.document["error"]["code"] == "usage"


def test_a_second_up_names_the_first(shared: System) -> None:
    refused = shared.quantum("up", "--detach", code=73)
    supervisor = shared.running.supervisor
    assert supervisor is not None
    assert str(supervisor.pid) in refused.err
    assert len(refused.err.splitlines()) == 2


def test_status_is_true(shared: System) -> None:
    status = shared.ask("status")
    assert status["health"] == "ok"
    assert status["mode"]["mode"] == "NORMAL"
    assert {name for name, one in status["processes"].items() if one["serving"]} == {
        *("safety", "coordinator", "runner-local", "gateway"),
    }
    assert status["alerts"] == []


def test_the_token_is_the_one_the_gateway_takes(shared: System) -> None:
    shown = shared.quantum("token", "show", code=0).out.strip()
    assert shared.http("GET", "/agents/status", token=shown)[0] == 200
    assert shared.http("GET", "/agents/status", token="your-token")[0] == 401


def test_init_works_in_a_repository_and_overwrites_nothing(make_system: Callable[[], System]) -> None:
    system = make_system()
    subprocess.run(["git", "init", "-q", str(system.root)], check=True)
    (system.root / ".gitignore").write_text("*.pyc\r\nlogs/")
    config = system.root / "config" / "agent_config.json"
    config.parent.mkdir()
    config.write_text('{"timeout_seconds": 60}')
    first = system.quantum("init", code=0)
    assert first.out.count("recovery key") == 1
    assert (system.root / ".gitignore").read_bytes() == (
        b"*.pyc\r\nlogs/\n.quantum/\nagent_status.json\ntask_queue.json\n"
    )
    assert config.read_text() == '{"timeout_seconds": 60}'
    again = system.quantum("init", code=0)
    assert "nothing is missing" in again.out
    assert "recovery key" not in again.out


def test_a_lost_key_comes_back_by_the_recovery_key(make_system: Callable[[], System]) -> None:
    system = make_system()
    key = system.ask("init")["recovery_key"]
    for path in system.workspace.credentials.iterdir():
        path.unlink()
    lost = system.quantum("init", code=66)
    assert "quantum init --recovery-key" in lost.err
    wrong = system.quantum("init", "--recovery-key", given="0" * 64, code=77)
    assert "not kept" in wrong.err
    system.quantum("init", "--recovery-key", given=key, code=0)
    assert "nothing is missing" in system.quantum("init", code=0).out
    system.up()


def test_up_makes_what_is_missing_and_down_leaves_nothing(make_system: Callable[[], System]) -> None:
    system = make_system().up()
    running = system.running.alive
    assert set(running) == {"up", "safety", "coordinator", "runner-local", "gateway"}
    ended = system.ask("down")["ended"]
    assert ended >= len(running)
    assert not any(one.alive() for one in running.values())
    assert "Nothing runs" in system.quantum("down", code=0).out


def test_a_port_in_use_is_named_with_its_owner(workspace: System) -> None:
    with socket.create_server(("127.0.0.1", workspace.port)):
        refused = workspace.quantum("up", "--detach", code=73)
    assert f"Port {workspace.port} is in use by process {os.getpid()}" in refused.err
    assert not workspace.workspace.runtime.exists()


def test_what_a_killed_supervisor_leaves_is_named_and_ended(system: System) -> None:
    running = system.running
    assert running.supervisor is not None
    running.supervisor.send(signal.SIGKILL)
    system.until(lambda: not running.supervisor or not running.supervisor.alive())
    refused = system.quantum("up", "--detach", code=73)
    assert str(running.processes["coordinator"].pid) in refused.err
    system.quantum("down", code=0)
    assert not any(one.alive() for one in running.processes.values())
    system.up()


def test_a_killed_service_is_started_again(system: System) -> None:
    before = system.running.processes["safety"]
    before.send(signal.SIGKILL)

    def replaced() -> bool:
        now = system.running.processes.get("safety")
        # While safety is away, the exit code says so too.
        serving = system.quantum("status", "--json").document["processes"]["safety"]["serving"]
        return now is not None and now != before and bool(serving)

    system.until(replaced)


def test_a_service_that_does_not_start_fails_up_with_its_last_words(workspace: System) -> None:
    workspace.workspace.safety_db.write_bytes(os.urandom(8192))
    refused = workspace.quantum("up", "--detach", code=69)
    assert "safety ended 5 times" in refused.err
    assert "last words" in refused.err
    assert not workspace.workspace.runtime.exists()


def test_a_folder_without_rights_is_one_sentence(make_system: Callable[[], System]) -> None:
    system = make_system()
    blocked = system.root / "file"
    blocked.write_text("")
    refused = system.quantum("init", str(blocked / "ws"), code=77)
    assert "cannot be made a workspace" in refused.err
    assert len(refused.err.splitlines()) == 2


def test_debug_names_each_process_and_never_a_token(workspace: System) -> None:
    up = workspace.start("up", "--debug")
    assert up.stdout is not None
    assert up.stdout.readline().startswith(b"Everything is healthy")
    token = workspace.quantum("token", "show", code=0).out.strip()
    assert workspace.http("GET", "/agents/status", token=token)[0] == 200
    up.send_signal(signal.SIGTERM)
    assert up.stderr is not None
    said = up.stderr.read().decode()
    assert up.wait(PATIENCE_SECONDS) == 0
    for name in ("safety", "coordinator", "runner-local", "gateway"):
        assert f"{name} runs as process" in said
    assert token not in said
    assert "qtm_" not in said + workspace.workspace.system_log.read_text()


BAD_INPUT = [
    (("submit", "helo"), None, 66, "Did you mean “hello”?"),
    (("submit", "../x"), None, 65, "cannot be the name"),
    (("submit", "hello", "--params", "[]"), None, 65, "must be a JSON object"),
    (("submit", "hello", "--priority", "10"), None, 2, "range 0<=x<=9"),
    (("submit", "hello", "--project", "none"), None, 66, "no project"),
    (("submit", "hello", "--params", "-"), json.dumps({"x": "y" * 300_000}), 65, "at most 262144"),
    (("submit", "-"), '[{"agent": "hello"}, {"agent": "hello", "priority": 10}]', 65, "tasks[1].priority"),
    (
        ("submit", "-"),
        '[{"agent": "hello", "ref": "a", "depends_on": ["#b"]}, {"agent": "hello", "ref": "b", "depends_on": ["#a"]}]',
        65,
        "#a → #b → #a",
    ),
    (("submit", "typo"), None, 65, "timeot"),
    (("why", "nothing"), None, 66, "no task"),
    (("token", "issue", "--name", "x", "--scopes", "everything"), None, 65, "everything"),
    (("breaker", "reset", "never-ran"), None, 66, "never-ran"),
]


@pytest.fixture(scope="module")
def with_typo(shared: System) -> System:
    """The same, with an agent whose manifest has a slip."""
    shared.agent("typo", "true", 'timeot = "5m"')
    shared.quantum("agents", "--reload", code=0)
    return shared


@pytest.mark.parametrize(("words", "given", "code", "said"), BAD_INPUT, ids=lambda value: str(value)[:40])
def test_bad_input_is_one_clear_sentence_and_changes_nothing(
    with_typo: System, words: tuple[str, ...], given: str | None, code: int, said: str
) -> None:
    before = with_typo.http("GET", "/tasks/queue")
    refused = with_typo.quantum(*words, given=given)
    assert (refused.code, refused.out) == (code, "")
    assert said in refused.err
    assert with_typo.http("GET", "/tasks/queue") == before
    if code != 2:
        # The same as one document: a sentence, and what to do about it.
        error = with_typo.quantum(*words, "--json", given=given, code=code).document["error"]
        assert error["message"].endswith((".", "?"))


def test_everything_that_lists_speaks_json(shared: System) -> None:
    for words in (
        ("tasks",),
        ("agents",),
        ("agents", "hello"),
        ("reports",),
        ("projects", "list"),
        ("queue", "stats"),
        ("breaker", "list"),
        ("token", "list"),
        ("token", "show"),
        ("config", "show"),
        ("config", "check"),
        ("doctor",),
        ("stop", "--all", "--dry-run"),
        ("down", "--dry-run"),
        ("cancel", "--all", "--dry-run"),
        ("queue", "clear", "--dry-run"),
    ):
        assert isinstance(shared.quantum(*words, "--json").document, dict)
    assert shared.running.alive


def test_a_token_of_less_rights_is_refused_by_scope_and_can_be_revoked(shared: System) -> None:
    issued = shared.ask("token", "issue", "--name", "reader", "--scopes", "read", "--lifetime", "1h")
    assert shared.http("GET", "/tasks/queue", token=issued["token"])[0] == 200
    assert shared.http("POST", "/tasks/queue", {"agent": "hello"}, token=issued["token"])[0] == 403
    identifier = issued["info"]["id"]
    assert shared.ask("token", "revoke", identifier, "--dry-run")["dry_run"] is True
    assert shared.http("GET", "/tasks/queue", token=issued["token"])[0] == 200
    shared.quantum("token", "revoke", identifier, code=0)
    shared.until(lambda: shared.http("GET", "/tasks/queue", token=issued["token"])[0] == 401)


def test_run_says_why_it_waits(system: System) -> None:
    system.quantum("queue", "pause", "--reason", "for the test", code=0)
    waiting = system.start("run", "hello")
    assert waiting.stderr is not None
    said = waiting.stderr.readline().decode()
    assert "for the test" in said
    assert "quantum queue resume" in said
    system.quantum("queue", "resume", code=0)
    assert waiting.wait(PATIENCE_SECONDS) == 0
