"""examples/client.py and the line for buf curl in docs/http.md, as typed, against the server that every service has."""

from __future__ import annotations

import asyncio
import os
import re
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.examples.stand_in import EXIT_CODE, TOKEN, coordinator
from tests.repository.tracked import ROOT


@dataclass(frozen=True, kw_only=True, slots=True)
class Ended:
    """What became of a program."""

    exit_code: int
    stdout: str
    stderr: str


async def run(*argv: str, stdin: str = "", **environment: str) -> Ended:
    """Run a program to its end while the server goes on answering."""
    process = await asyncio.create_subprocess_exec(
        *argv,
        cwd=ROOT,
        env={**os.environ, **environment},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    stdout, stderr = await asyncio.wait_for(process.communicate(stdin.encode()), timeout=30)
    return Ended(exit_code=process.returncode or 0, stdout=stdout.decode(), stderr=stderr.decode())


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder with a path short enough for a socket."""
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        yield Path(name)


@pytest.fixture
async def socket(folder: Path) -> AsyncIterator[str]:
    """The socket of a coordinator."""
    path = folder / "run" / "coordinator.sock"
    path.parent.mkdir(mode=0o700)
    async with coordinator(path):
        yield str(path)


async def client(socket: str, *words: str, token: str = TOKEN) -> Ended:
    """Run the example."""
    return await run(sys.executable, "-m", "examples.client", "--socket", socket, *words, stdin=f"{token}\n")


async def test_output_comes_through_and_so_does_the_exit_code(socket: str) -> None:
    ended = await client(socket, "seven", '{"name": "Ada"}')
    assert ended.stdout == "one\ntwo\nthree\n"
    assert ended.exit_code == EXIT_CODE
    assert "task1 failed" in ended.stderr


async def test_a_refusal_is_one_sentence(socket: str) -> None:
    ended = await client(socket, "sevn")
    assert ended.exit_code == 1
    assert ended.stderr == "NOT_FOUND: There is no agent “sevn”. Did you mean “seven”?\n"


async def test_a_wrong_token_is_refused(socket: str) -> None:
    ended = await client(socket, "seven", token="qtm_wrong")
    assert ended.exit_code == 1
    assert ended.stderr.startswith("UNAUTHENTICATED: ")


async def test_where_prints_the_socket_of_the_workspace(folder: Path) -> None:
    (folder / "config").mkdir()
    (folder / "config" / "agent_config.json").write_text("{}")
    where = {"QUANTUM_WORKSPACE": str(folder), "XDG_RUNTIME_DIR": str(folder)}
    ended = await run(sys.executable, "-m", "examples.client", "--where", **where)
    assert ended.exit_code == 0, ended.stderr
    assert ended.stdout.strip().endswith("/coordinator.sock")


async def test_nobody_there_is_a_sentence_too(folder: Path) -> None:
    ended = await client(str(folder / "nothing.sock"), "seven")
    assert ended.exit_code == 1
    assert ended.stderr.startswith("UNAVAILABLE: ")


async def test_the_buf_curl_line_as_it_is_typed(folder: Path, socket: str) -> None:
    page = (ROOT / "docs" / "http.md").read_text()
    line = re.search(r"^printf 'x-auth-token.*?ListTasks$", page, re.MULTILINE | re.DOTALL)
    assert line, "docs/http.md no longer shows the line"
    quantum = folder / "quantum"
    quantum.write_text(f"#!/bin/sh\n[ \"$*\" = 'token show' ] && echo {TOKEN}\n")
    quantum.chmod(0o755)
    path = os.pathsep.join([str(folder), str(Path(sys.executable).parent), os.environ["PATH"]])
    ended = await run("sh", "-c", line[0], PATH=path, SOCKET=socket, HOME=str(folder))
    assert ended.exit_code == 0, ended.stderr
    assert '"agent": "seven"' in ended.stdout
