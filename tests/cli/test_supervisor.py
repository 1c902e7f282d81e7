"""The supervisor with small programs of its own: restarts, gives up, ends in order, kills what does not end."""

from __future__ import annotations

import json
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from cli.processes.bell import Bell
from cli.processes.gateway_address import GatewayAddress
from cli.processes.identity import Process, process
from cli.processes.running import read_running
from cli.processes.spawning import last_words, open_capped
from cli.processes.supervisor import Program, Supervisor
from foundation.clock import SystemClock
from foundation.errors import Unavailable
from foundation.own_python import child_environment
from foundation.workspace import Workspace


class _Well(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b'{"status": "ok"}')

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@contextmanager
def gateway() -> Iterator[int]:
    """A port that says that all is well."""
    with HTTPServer(("127.0.0.1", 0), _Well) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


def python(code: str) -> tuple[str, ...]:
    """A program."""
    return (sys.executable, "-c", code)


STAYS = "import signal; signal.signal(signal.SIGTERM, lambda *_: exit(0)); signal.pause()"


def supervise(
    folder: Path, wanted: list[Program], port: int, on_healthy: Callable[[Bell, Supervisor], None]
) -> Supervisor:
    """Run until the callback stops it."""
    supervisor = Supervisor(Workspace(folder), wanted, GatewayAddress("127.0.0.1", port), {}, SystemClock())
    with Bell() as bell:
        supervisor.run(bell, lambda: on_healthy(bell, supervisor))
    return supervisor


def test_what_runs_is_written_down_and_ended(folder: Path) -> None:
    seen: dict[str, Process] = {}

    def healthy(bell: Bell, supervisor: Supervisor) -> None:
        running = read_running(Workspace(folder))
        assert running is not None
        seen.update(running.alive)
        bell.stop()

    with gateway() as port:
        supervise(folder, [Program(name="one", argv=python(STAYS), end_seconds=5)], port, healthy)
    assert set(seen) == {"up", "one"}
    assert not seen["one"].alive()
    assert read_running(Workspace(folder)) is None


def test_the_later_stage_ends_first(folder: Path) -> None:
    record = folder / "record"
    tells = (
        "import signal, sys\n"
        f"def end(*_):\n    open({str(record)!r}, 'a').write(sys.argv[1] + ' '); exit(0)\n"
        f"signal.signal(signal.SIGTERM, end); open({str(record)!r} + sys.argv[1], 'w'); signal.pause()"
    )
    wanted = [
        Program(name=name, argv=(*python(tells), name), end_seconds=5, stage=stage)
        for stage, name in enumerate(("first", "second", "third"))
    ]

    def healthy(bell: Bell, supervisor: Supervisor) -> None:
        # Only once each has its handler can it tell when it ended.
        while not all(Path(f"{record}{program.name}").exists() for program in wanted):
            bell.wait(0.02)
        bell.stop()

    with gateway() as port:
        supervise(folder, wanted, port, healthy)
    assert record.read_text() == "third second first "


def test_a_killed_one_is_started_again(folder: Path) -> None:
    started: list[Process] = []

    def healthy(bell: Bell, supervisor: Supervisor) -> None:
        started.append(supervisor.processes()["one"])
        started[0].send(signal.SIGKILL)
        watcher.start()

    def watch() -> None:
        while True:
            running = read_running(Workspace(folder))
            now = running.processes.get("one") if running else None
            if now is not None and now != started[0] and now.alive():
                started.append(now)
                assert running is not None
                assert running.supervisor is not None
                running.supervisor.send(signal.SIGTERM)
                return
            threading.Event().wait(0.02)

    watcher = threading.Thread(target=watch, daemon=True)
    with gateway() as port:
        supervise(folder, [Program(name="one", argv=python(STAYS), end_seconds=5)], port, healthy)
    watcher.join()
    assert not any(one.alive() for one in started)


def test_one_that_cannot_start_is_given_up_with_its_last_words(folder: Path) -> None:
    out = folder / "one.out"
    sulks = Program(name="one", argv=python("exit('no such luck')"), end_seconds=5, out=out)
    stays = Program(name="two", argv=python(STAYS), end_seconds=5)
    with pytest.raises(Unavailable, match=r"one ended 5 times .* no such luck"):
        supervise(folder, [stays, sulks], 1, lambda bell, supervisor: None)
    assert out.read_text().count("no such luck") >= 5, "more, if it once took so long to end that it had been steady"
    assert read_running(Workspace(folder)) is None


def test_one_that_ignores_sigterm_is_killed(folder: Path) -> None:
    ready = folder / "ready"
    deaf = python(
        f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); open({str(ready)!r}, 'w'); signal.pause()"
    )
    ended: list[Process] = []

    def healthy(bell: Bell, supervisor: Supervisor) -> None:
        while not ready.exists():
            bell.wait(0.02)
        ended.extend(supervisor.processes().values())
        bell.stop()

    with gateway() as port:
        supervise(folder, [Program(name="deaf", argv=deaf, end_seconds=0.3)], port, healthy)
    assert [one.alive() for one in ended] == [False]


def test_not_healthy_before_every_door_is_open(folder: Path) -> None:
    door = folder / "door"
    opens = python(
        "import socket, signal\n"
        f"server = socket.socket(socket.AF_UNIX); server.bind({str(door)!r}); server.listen()\n"
        "signal.signal(signal.SIGTERM, lambda *_: exit(0)); signal.pause()"
    )
    seen: list[bool] = []

    def healthy(bell: Bell, supervisor: Supervisor) -> None:
        seen.append(door.exists())
        bell.stop()

    with gateway() as port:
        supervise(folder, [Program(name="one", argv=opens, end_seconds=5, door=door)], port, healthy)
    assert seen == [True]


def test_a_folder_of_the_workspace_is_never_imported_in_place_of_ours(folder: Path) -> None:
    import subprocess

    (folder / "services").mkdir()
    (folder / "services" / "__init__.py").write_text("raise SystemExit('the wrong one')")
    done = subprocess.run(
        [sys.executable, "-m", "services.safety", "--help"],
        cwd=folder,
        env=child_environment({}),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_what_children_say_is_capped(tmp_path: Path) -> None:
    path = tmp_path / "one.out"
    path.write_bytes(b"x" * (1024 * 1024 + 1))
    import os

    os.close(open_capped(path))
    assert path.stat().st_size == 0
    assert (tmp_path / "one.out.1").stat().st_size > 1024 * 1024
    path.write_text("a\nb\nc\n")
    assert last_words(path, lines=2) == "b / c"
    assert last_words(tmp_path / "none", lines=2) == ""


def test_what_was_said_at_each_start_is_repeated_once(tmp_path: Path) -> None:
    path = tmp_path / "words.out"
    path.write_text("begins\n" + "cannot open\nlook there\n" * 5)
    assert last_words(path, lines=3) == "begins / cannot open / look there"


def test_an_identity_is_of_one_start(tmp_path: Path) -> None:
    import os

    own = process(os.getpid())
    assert own is not None
    assert own.alive()
    later = Process(own.pid, "another start")
    assert not later.alive()
    assert not later.send(signal.SIGKILL)
    assert process(2**22 + 1) is None


def test_runtime_that_cannot_be_read_is_a_sentence(folder: Path) -> None:
    from foundation.errors import Invalid

    (folder / ".quantum" / "runtime.json").write_text(json.dumps({"port": 1}))
    with pytest.raises(Invalid, match="it is not known what runs"):
        read_running(Workspace(folder))
