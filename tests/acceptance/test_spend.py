"""An agent that calls a cloud in a loop: paused at its cap within one call, and the same process when it goes on."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import ProxyHandler, Request, build_opener

import psutil
import pytest

from clients.coordinator import CoordinatorClient
from clients.coordinator_values import TaskSpec, TaskState
from foundation.money import parse_dollars
from tests.acceptance.deployment import Deployment, deployed, tasks_of
from tests.ports import free_port
from tests.programs import require
from tests.runner.frozen import stands_still
from tests.waiting import CLOCK, eventually, looks

DOCUMENT = Path(__file__).parents[2] / "docs" / "spending.md"
PRICES = '[[price]]\nprovider = "acme"\nmodel = "words-1"\nvalid_from = 2020-01-01\ncall = "1"\n'
# In all rather than per day: a test that runs over midnight must not find a new day's money.
FREE = (("attempt", "total"), ("agent", "day"), ("cloud", "day"), ("fleet", "day"), ("fleet", "month"))
CAPS = "".join(
    f'[[cap]]\nscope = "{scope}"\nper = "{per}"\ndollars = "{dollars}"\n'
    for scope, per, dollars in (*((*name, "none") for name in FREE), ("agent:poet", "total", "3"))
)
LOOP = """
def call_the_model(question, max_tokens):
    with open(os.path.join(os.environ["QUANTUM_WORKSPACE"], "calls"), "a") as calls:
        calls.write(f"{os.environ['QUANTUM_TASK_ID']} {os.getpid()}\\n")
    return "", {"input": 1, "output": 1}

while True:
    ask("a rhyme", 10)
"""
WATCHED_SECONDS = 2.0
GRANT_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Cloud:
    """A system with an agent that calls without an end, and what the provider has seen."""

    system: Deployment
    port: int

    @property
    def calls(self) -> list[tuple[str, int]]:
        """Every call that was made: the task and the process."""
        path = self.system.workspace.root / "calls"
        lines = path.read_text().split("\n")[:-1] if path.exists() else []
        return [(line.split()[0], int(line.split()[1])) for line in lines]

    def frozen(self) -> bool:
        """Whether every process of every attempt stands still."""
        found = [one for processes in self.system.scripts().values() for one in processes]
        return bool(found) and all(stands_still(one.pid) for one in found)

    async def raise_cap(self, dollars: int) -> None:
        """As `quantum spend cap` does."""
        async with self.system.safety() as safety:
            await safety.spend.set_cap("agent:poet", "total", parse_dollars(str(dollars)), reason="go on")

    async def paused(self, client: CoordinatorClient, task_id: str) -> str | None:
        """Why a task is paused, once its tree stands still."""
        why = await client.explain(task_id)
        return why.sentence if why.task.state is TaskState.PAUSED and self.frozen() else None

    async def calls_within(self, seconds: float) -> int:
        """How many calls have been made at the end of a time."""
        async for _ in looks(seconds):
            pass
        return len(self.calls)

    async def post(self, path: str, body: object, token: str) -> tuple[int, Any]:
        """One request to the gateway; 0 when nobody is there."""
        return await asyncio.to_thread(self._post, path, body, token)

    def _post(self, path: str, body: object, token: str) -> tuple[int, Any]:
        headers = {"X-Auth-Token": token, "Content-Type": "application/json"}
        request = Request(f"http://127.0.0.1:{self.port}{path}", json.dumps(body).encode(), headers)
        try:
            with build_opener(ProxyHandler({})).open(request, timeout=30) as answer:
                return answer.status, json.load(answer)
        except HTTPError as error:
            return error.code, json.load(error)
        except URLError:
            return 0, None


@asynccontextmanager
async def cloud(folder: Path) -> AsyncIterator[Cloud]:
    """Everything up, with the agent of the documentation."""
    port = free_port()
    async with deployed(folder, gateway_port=port, max_concurrent_agents=4) as system:
        config = system.workspace.config_file.parent
        (config / "prices.toml").write_text(PRICES)
        (config / "spend.toml").write_text(CAPS)
        printed = re.search(r"```python\n(.*?)```", DOCUMENT.read_text(), flags=re.DOTALL)
        assert printed, "the documentation shows no agent"
        agent = system.workspace.agents / "poet.py"
        agent.write_text(printed[1] + LOOP)
        agent.chmod(0o755)
        await system.up("safety", "coordinator", "runner-local")
        system.start("gateway")
        yield Cloud(system, port)


async def test_paused_at_the_cap_within_one_call_and_the_same_process_goes_on(tmp_path: Path) -> None:
    async with cloud(tmp_path) as at, at.system.coordinator() as client:
        await client.reload_agents()
        task = (await client.submit([TaskSpec(agent="poet")])).tasks[0]
        why = await eventually(lambda: at.paused(client, task.id), "it is paused at its cap")
        first = at.calls
        later = await at.calls_within(WATCHED_SECONDS)
        waiting = (await client.submit([TaskSpec(agent="poet")])).tasks[0]
        refused = await eventually(lambda: _why(client, waiting.id), "the next one waits for money")
        await client.cancel([waiting.id], reason="seen enough")

        await at.raise_cap(5)
        await eventually(lambda: len(at.calls) == 5, "it goes on and makes two more calls")
        await eventually(lambda: at.paused(client, task.id), "and is paused again")
        second = at.calls
        environ = psutil.Process(second[0][1]).environ()
        credential = Path(environ["QUANTUM_CREDENTIAL"])
        secret, mode = credential.read_text(), credential.stat().st_mode & 0o777

        stolen = await at.post("/tasks/queue", {"agent": "poet"}, secret)
        await client.cancel([task.id], reason="enough")
        await eventually(lambda: _ended(client, task.id), "it is cancelled")
        dead = await eventually(lambda: _refused(at, secret), "its credential has died with it")
        async with at.system.safety() as safety:
            spend = await safety.spend.get()
        logs = "".join(
            path.read_text(errors="replace") for path in at.system.workspace.logs.rglob("*") if path.is_file()
        )
    account = next(one for one in spend.accounts if (one.scope, one.per) == ("agent:poet", "total"))
    print(f"“{why}”; “{refused}”; the credential afterwards: {dead}")
    assert len(first) == later == 3
    assert {pid for _, pid in second} == {first[0][1]}, "the same process"
    assert "$3.00" in why and "spend cap" in refused
    assert (account.spent_micros, account.reserved_micros) == (parse_dollars("5"), 0)
    assert mode == 0o600 and not credential.exists()
    assert stolen[0] == 401, "a credential opens no other door"
    assert secret not in logs and secret not in "".join(environ.values())


async def test_the_lines_of_shell_in_the_documentation_reserve_and_settle(tmp_path: Path) -> None:
    require("curl")
    printed = re.search(r"```sh\n(spend\(\).*?)```", DOCUMENT.read_text(), flags=re.DOTALL)
    assert printed, "the documentation shows no lines of shell"
    async with cloud(tmp_path) as at, at.system.coordinator() as client:
        at.system.agent("payer", f"set -e\n{printed[1]}", manifest='uses = ["cloud:acme"]')
        await client.reload_agents()
        task = (await client.submit([TaskSpec(agent="payer")])).tasks[0]
        await eventually(lambda: _ended(client, task.id), "it has paid")
        state = (await client.get_task(task.id)).state
        async with at.system.safety() as safety:
            spend = await safety.spend.get()
    account = next(one for one in spend.accounts if (one.scope, one.per) == ("agent:payer", "total"))
    assert (state, account.spent_micros, account.reserved_micros) == (TaskState.SUCCEEDED, parse_dollars("1"), 0)


@pytest.mark.long
async def test_without_safety_nothing_is_spent_and_what_runs_pauses_and_can_be_ended(tmp_path: Path) -> None:
    async with cloud(tmp_path) as at, at.system.coordinator() as client:
        await client.reload_agents()
        await at.raise_cap(1_000_000)
        one, other = (await client.submit([TaskSpec(agent="poet")] * 2)).tasks
        await eventually(lambda: len({task for task, _ in at.calls}) == 2, "both spend")

        at.system.kill("safety")
        killed_at = CLOCK.boottime()
        made = len(at.calls)
        pids = {pid for _, pid in at.calls}
        late = (await client.submit([TaskSpec(agent="poet")])).tasks[0]
        most = await at.calls_within(WATCHED_SECONDS)
        await eventually(
            lambda: at.paused(client, one.id), "they pause when their grant ends", within=GRANT_SECONDS + 10
        )
        paused_after = CLOCK.boottime() - killed_at
        assert await at.calls_within(1.0) == most
        await client.cancel([one.id], reason="not needed")
        await eventually(lambda: _ended(client, one.id), "a person can still cancel")
        begun = len(at.system.scripts())

        await at.system.up("safety")
        await eventually(lambda: len(at.calls) > most, "with safety back, the other goes on")
        again = {pid for task, pid in at.calls if task == other.id}
        await eventually(lambda: late.id in {task for task, _ in at.calls}, "and what waited starts")
        at.system.kill("safety")
        (at.system.workspace.stop_file).write_text('{"who": "ann", "why": "enough", "at": "2026-11-23T00:00:00Z"}')
        await eventually(lambda: not at.system.scripts(), "and a stop stops, without safety")
        states = {task.id: task.state for task in (await tasks_of(client)).values()}
    print(f"{most - made} calls under way when safety died; paused after {paused_after:.1f} s")
    assert most - made <= 2, "each had at most one promise in hand"
    assert paused_after <= GRANT_SECONDS + 5
    assert begun == 1 and len(again) == 1 and again <= pids
    assert states[one.id] is TaskState.CANCELLED


async def _why(client: CoordinatorClient, task_id: str) -> str | None:
    why = await client.explain(task_id)
    return why.sentence if why.code == "spend" else None


async def _ended(client: CoordinatorClient, task_id: str) -> bool:
    return (await client.get_task(task_id)).state.ended


async def _refused(at: Cloud, secret: str) -> str | None:
    status, said = await at.post("/spend/settle", {"key": "late", "dollars": "1"}, secret)
    return f"{status} {said['code']}" if status == 401 else None
