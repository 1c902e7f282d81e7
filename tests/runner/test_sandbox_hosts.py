"""A sandbox with listed hosts reaches those, through the proxy, and nothing else."""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.agent_runner.warden.proxy import CONNECTIONS_MAX
from tests.programs import require
from tests.runner.sandboxes import Sandbox, SandboxUnderTest
from tests.runner.support import alive
from tests.waiting import until

_ASK = """#!/usr/bin/env python3
import os, socket, sys
def speak(host, port, first=b""):
    with socket.create_connection((host, port), timeout=60) as one:
        one.sendall(first)
        answer = one.recv(1000)
        if answer.startswith(b"HTTP/1.1 200"):
            one.sendall(b"hello")
            answer = one.recv(1000)
        return answer.decode()
proxy = os.environ["HTTPS_PROXY"].removeprefix("http://").split(":")
for target in sys.argv[1:]:
    way, host, port = target.split("/")
    try:
        if way == "direct":
            print(target, speak(host, int(port), b"hello"))
        else:
            said = speak(proxy[0], int(proxy[1]), f"{way} {host}:{port} HTTP/1.1\\r\\n\\r\\n".encode())
            print(target, said.replace("\\r\\n", " "))
    except OSError as error:
        print(target, "failed:", error)
"""


# Leaves a process behind that has this number.
_TAKE_NUMBER = """\
for _ in $(seq 100); do
    echo $(({number} - 1)) > /proc/sys/kernel/ns_last_pid
    sleep 600 &
    if [ $! = {number} ]; then echo $!; exit; fi
    kill -9 $!
done
"""


@pytest.fixture
def server() -> Iterator[int]:
    """A server on loopback that says what it was told, in capitals; its port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            while True:
                try:
                    client, _ = listener.accept()
                except OSError:
                    return
                with client:
                    client.sendall(client.recv(1000).upper())

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
    thread.join(60)


@pytest.fixture
def box(tmp_path: Path) -> Iterator[SandboxUnderTest]:
    require("bwrap", "bubblewrap")
    box = SandboxUnderTest(tmp_path)
    yield box
    box.close()


def _ask(box: SandboxUnderTest, key: str, hosts: list[str], *targets: str) -> dict[str, str]:
    script = box.warden.script("ask.py", _ASK)
    sandbox: Sandbox = ([], [], hosts, False)
    ended = box.warden.run(script, key, arguments=list(targets), folder=str(box.project), sandbox=sandbox)
    assert (ended.status, ended.stragglers) == (0, 0), box.said(ended)
    return dict(line.split(" ", 1) for line in box.said(ended).splitlines() if " " in line)


def test_listed_hosts_are_reached_through_the_proxy_alone(box: SandboxUnderTest, server: int) -> None:
    listed, other = f"CONNECT/127.0.0.1/{server}", f"CONNECT/127.0.0.1/{server + 1}"
    direct, plain, name = f"direct/127.0.0.1/{server}", f"GET/127.0.0.1/{server}", f"CONNECT/localhost/{server}"
    said = _ask(box, "a", [f"127.0.0.1:{server}"], listed, other, direct, plain, name)
    assert said[listed] == "HELLO"
    assert "403" in said[other] and "not in the manifest's list" in said[other]
    assert "failed" in said[direct], "what ignores the proxy has no network"
    assert "405" in said[plain] and "403" in said[name]


def test_each_list_is_for_those_alone_who_have_it(box: SandboxUnderTest, server: int) -> None:
    listed = f"CONNECT/127.0.0.1/{server}"
    assert _ask(box, "a", [f"127.0.0.1:{server}"], listed)[listed] == "HELLO"
    assert "403" in _ask(box, "b", ["example.org:443"], listed)[listed]


_HOLDS = """#!/usr/bin/env python3
import os, socket, sys, time
port, wanted, gate = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
held, answers = [], []
for _ in range(wanted):
    one = socket.socket(socket.AF_UNIX)  # not by the way on loopback, which has a bound of its own
    one.connect("/run/quantum/proxy.sock")
    try:
        one.sendall(f"CONNECT 127.0.0.1:{port} HTTP/1.1\\r\\n\\r\\n".encode())
        answers.append(one.recv(100).split()[1].decode())
    except OSError:
        answers.append("503")  # it was answered and closed before it had asked
    held.append(one)
print("opened", answers.count("200"), "refused", answers.count("503"), flush=True)
while os.path.exists(gate):
    time.sleep(0.05)
"""


@pytest.fixture
def silent() -> Iterator[tuple[int, list[socket.socket]]]:
    """A server on loopback that takes connections and says nothing; its port, and what it has open."""
    held: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0), backlog=1000) as listener:

        def serve() -> None:
            while True:
                try:
                    held.append(listener.accept()[0])
                except OSError:
                    return

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listener.getsockname()[1], held
        listener.shutdown(socket.SHUT_RDWR)
    thread.join(60)
    for one in held:
        one.close()


def test_one_sandbox_cannot_use_up_the_connections_of_another(
    box: SandboxUnderTest, server: int, silent: tuple[int, list[socket.socket]]
) -> None:
    port, held = silent
    hosts = [f"127.0.0.1:{port}", f"127.0.0.1:{server}"]
    gate = box.project / "gate"
    gate.touch()
    greedy = box.warden.script("holds.py", _HOLDS)
    sandbox: Sandbox = ([], [], hosts, False)
    arguments = [str(port), "300", str(gate)]
    box.warden.send(box.warden.order(greedy, "greedy", arguments=arguments, folder=str(box.project), sandbox=sandbox))
    until(lambda: len(held) >= CONNECTIONS_MAX, "all that one sandbox may have")
    listed = f"CONNECT/127.0.0.1/{server}"
    assert _ask(box, "modest", hosts, listed)[listed] == "HELLO"
    gate.unlink()
    ended = box.warden.ended("greedy")
    said = box.said(ended)
    print(f"of 300 connections: {said.strip()}; the server saw {len(held)}")
    assert said.strip() == f"opened {CONNECTIONS_MAX} refused {300 - CONNECTIONS_MAX}"
    assert len(held) == CONNECTIONS_MAX


def test_what_a_sandbox_has_left_open_ends_with_it(
    box: SandboxUnderTest, silent: tuple[int, list[socket.socket]]
) -> None:
    port, held = silent
    box.warden.run(
        box.warden.script("holds.py", _HOLDS),
        "a",
        arguments=[str(port), "5", "/nonexistent"],
        folder=str(box.project),
        sandbox=([], [], [f"127.0.0.1:{port}"], False),
    )
    until(lambda: len(held) == 5, "its connections")
    for one in held:
        one.settimeout(10)
        assert one.recv(1) == b"", "the proxy has closed its end, though the server keeps its own"
    folder = next(box.state.rglob("proxy"))
    until(lambda: not list(folder.iterdir()), "its socket is gone")


def test_a_proxy_that_was_killed_is_replaced(box: SandboxUnderTest, server: int) -> None:
    listed = f"CONNECT/127.0.0.1/{server}"
    assert _ask(box, "a", [f"127.0.0.1:{server}"], listed)[listed] == "HELLO"
    children = Path(f"/proc/{box.warden.pid}/task/{box.warden.pid}/children").read_text().split()
    assert len(children) == 1, "the proxy is the only child"
    os.kill(int(children[0]), signal.SIGKILL)
    # Not only a zombie, which it is already while a thread of its still holds what it has open.
    until(lambda: not Path(f"/proc/{children[0]}").exists(), "the end of the proxy")
    assert _ask(box, "b", [f"127.0.0.1:{server}"], listed)[listed] == "HELLO"


def test_whoever_gets_the_number_of_a_proxy_that_has_ended_is_taken_for_what_it_is(tmp_path: Path, server: int) -> None:
    require("bwrap", "bubblewrap")
    # Without cgroups, in which it would be found anyway.
    box = SandboxUnderTest(tmp_path, kernel_limits="off")
    try:
        for number in range(5):  # somebody else on this machine may have been quicker
            listed = f"CONNECT/127.0.0.1/{server}"
            assert _ask(box, f"a{number}", [f"127.0.0.1:{server}"], listed)[listed] == "HELLO"
            (proxy,) = Path(f"/proc/{box.warden.pid}/task/{box.warden.pid}/children").read_text().split()
            os.kill(int(proxy), signal.SIGKILL)
            until(lambda proxy=proxy: not Path(f"/proc/{proxy}").exists(), "the end of the proxy")  # type: ignore[misc]
            ended = box.start(_TAKE_NUMBER.format(number=proxy), f"b{number}", None, grace=0.2)
            if box.said(ended):
                break
        assert box.said(ended) == f"{proxy}\n", "another process was given its number"
        assert ended.stragglers == 1 and not alive(int(proxy))
    finally:
        box.close()
